/* Curves over seeds, and quantities along the depth. */
const SERIES = ["before", "after", "base-before", "base-after"];
const WORDS = {
  before: "start", after: "after", "base-before": `${KNOWN}, start`, "base-after": `${KNOWN}, after`, flagged: "a finding",
  zero: "exactly 0", lost: "not finite", seed: "single seeds", mean: "mean", band: "± 1 standard deviation",
  baseline: `${KNOWN} mean`, "base-band": `${KNOWN} ± 1 standard deviation`, statistic: "what the seeds say",
  accepts: "enough to accept", rejects: "enough to reject", level: "level to compare with", allowed: "allowed",
};
const KEYS = {
  flagged: "M17 1l5 5-5 5-5-5z", zero: "M12 6a5 5 0 1 0 10 0a5 5 0 1 0-10 0", lost: "M12 1l10 10m0-10l-10 10",
};
const legend = (kinds) => h("ul", { class: "legend", "aria-label": "Legend" }, kinds.map((kind) => h("li", {},
  s("svg", { viewBox: "0 0 34 12", "aria-hidden": "true" }, s("path", { class: `k-${kind}`, d: KEYS[kind] ?? (/band|allowed/.test(kind) ? "M1 11V2h32v9z" : "M1 6h32") })), WORDS[kind])));

/* Places on the x axis: [first, −count] where they count up by one. */
const places = (xs) => (xs.length === 2 && xs[1] < 0 ? Array.from({ length: -xs[1] }, (_, i) => xs[0] + i) : xs);
function lineChart(chart) {
  if (!chart.lines.length) return h("figure", { class: "line" }, h("figcaption", {}, name(text(chart.title), "strong")), h("p", { class: "empty" }, "no value is finite"));
  const axes = chart.xs.map(places);
  const lines = chart.lines.map(([series, x, packed]) => ({ series, xs: axes[x], ys: unpacked(packed, chart.range, chart.log) }));
  const bands = chart.bands.map(([series, x, low, high]) => ({ series, xs: axes[x], low: unpacked(low, chart.range, chart.log), high: unpacked(high, chart.range, chart.log) }));
  const levels = (chart.levels || []).filter(([, y]) => typeof y === "number" && (y > 0 || !chart.log));
  const seen = [...lines.flatMap((line) => line.ys), ...(chart.log ? [] : bands.flatMap((band) => [...band.low, ...band.high])), ...levels.map((level) => level[1])]
    .filter((y) => y !== null && (y > 0 || !chart.log));
  const all = axes.flat();
  const y = chart.log ? Scale.around(seen, true) : Scale.calm(seen);
  const frame = new Frame([Math.min(...all), Math.max(...all)], y);
  const ends = new Scale(frame.from, frame.to, false).ticks(6).filter((x) => x >= frame.from && Number.isInteger(x));
  const marks = ends.map((x) => s("text", { class: "m", x: frame.over(x), y: 211 }, String(x)));
  for (const [label, value] of levels) frame.level(value, `${text(label)} ${number(value)}`, "level");
  const decided = lines.find((line) => line.series === "statistic");
  if (decided) frame.parts.push(...marker(frame, decided.xs.at(-1), `last look: ${decided.xs.at(-1)} ${chart.x}`, 180));
  const areas = bands.map((band) => s("path", { class: band.series, d: area(frame, band) }));
  const grouped = Map.groupBy ? Map.groupBy(lines, (line) => line.series) : groupBy(lines, (line) => line.series);
  const paths = [...grouped].map(([series, mine]) => s("path", { class: series, d: mine.map((line) => frame.path(line.xs, line.ys)).join("") }));
  const title = text(chart.title);
  const svg = s("svg", { class: "l", viewBox: "0 0 520 232", "data-base": 196, "aria-hidden": "true" },
    frame.parts, areas, paths, marks, s("text", { class: "m", x: 285, y: 228 }, chart.x));
  const told = lines.filter((line) => line.series !== "seed");
  const [first] = told.length ? told : lines;
  const tell = (i) => [`${chart.x} ${first.xs[i]}`, ...told.map((line) => `${WORDS[line.series]}: ${number(line.ys[i] ?? null)}`), ...levels.map(([label, value]) => `${text(label)}: ${number(value)}`)].join("\n");
  const seeds = grouped.get("seed");
  const figure = h("figure", { class: "line" }, h("figcaption", {}, name(title, "strong"), chart.log ? h("span", { class: "quiet" }, " log scale") : ""),
    explorable(svg, `${title} by ${chart.x}`, first.xs.length, (i) => frame.over(first.xs[i]), tell),
    chart.note ? h("p", { class: "quiet" }, text(chart.note)) : "");
  if (seeds && bands.length) {
    figure.classList.add("folded");
    figure.append(h("button", { type: "button", class: "plain small", "aria-pressed": "false", onclick: (event) => {
      const open = !figure.classList.toggle("folded");
      event.currentTarget.setAttribute("aria-pressed", String(open));
    } }, `Single seeds (${seeds.length})`));
  }
  return figure;
}
function groupBy(items, key) {
  const found = new Map();
  for (const item of items) found.set(key(item), [...(found.get(key(item)) || []), item]);
  return found;
}
function area(frame, band) {
  let path = "", run = [];
  const end = () => {
    if (run.length) path += `M${[...run.map((i) => `${frame.over(band.xs[i])} ${frame.up(band.high[i])}`), ...run.reverse().map((i) => `${frame.over(band.xs[i])} ${frame.up(band.low[i])}`)].join("L")}Z`;
    run = [];
  };
  band.xs.forEach((_, i) => { if (band.low[i] === null || band.high[i] === null) end(); else run.push(i); });
  end();
  return path;
}

/* A quantity from layer to layer. `lines` are {series, ys}; an exact zero has a row of its own below a log axis. */
function depthChart({ title, names, lines, limit, most, begins, flagged }) {
  const finite = lines.flatMap((line) => line.ys).filter((y) => typeof y === "number");
  const positive = finite.filter((y) => y > 0);
  if (!finite.length) return h("p", { class: "empty" }, `${title}: no value is finite`);
  const bound = typeof limit === "number" ? limit : null;
  const spread = positive.length ? Math.max(...positive, bound ?? 0) / Math.min(...positive, bound > 0 ? bound : Infinity) : 1;
  const log = positive.length > 0 && finite.every((y) => y >= 0) && (spread > 30 || positive.length < finite.length);
  const y = Scale.around([...(log ? positive : finite), ...(bound !== null && (bound > 0 || !log) ? [bound] : [])], log);
  const zeros = log && finite.length > positive.length, lost = lines.some((line) => line.ys.some((value) => typeof value === "string"));
  const frame = new Frame([0, names.length - 1], y, 150);
  const base = zeros ? 176 : 150;
  if (bound !== null && (bound > 0 || !log)) {
    const at = frame.up(bound), upper = most ? at : FRAME.top;
    frame.parts.unshift(s("path", { class: "allowed", d: `M${FRAME.left} ${upper}H${FRAME.right}V${most ? 150 : at}H${FRAME.left}Z` }));
    frame.level(bound, `allowed ${most ? "at most" : "at least"} ${number(bound)}`, "limit");
  }
  if (zeros) frame.parts.push(s("text", { class: "r", x: FRAME.left - 6, y: 174 }, "0"), s("path", { class: "g", d: `M${FRAME.left} 170H${FRAME.right}` }));
  const small = names.length > 60 ? 2.2 : 3.4;
  const out = (value) => bound !== null && typeof value === "number" && (most ? value > bound : value < bound);
  lines.forEach((line, order) => {
    const dots = { fine: "", flagged: "", zero: "", lost: "" };
    line.ys.forEach((value, i) => {
      const x = frame.over(i);
      if (typeof value === "string") dots.lost += `M${x - 4} ${FRAME.top - 8}l8 8m0-8l-8 8`;
      else if (zeros && value === 0) dots.zero += `M${x - 3.5} 170a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0`;
      else if (value !== null && !order && (out(value) || (bound === null && flagged?.has(i)))) dots.flagged += `M${x} ${round(frame.up(value) - small - 1.4)}l${small + 1.4} ${small + 1.4}l-${small + 1.4} ${small + 1.4}l-${small + 1.4}-${small + 1.4}z`;
      else if (value !== null && !order) dots.fine += `M${x} ${frame.up(value)}h0`;
    });
    frame.parts.push(s("path", { class: line.series, d: frame.path(line.ys.map((_, i) => i), line.ys.map((value) => (typeof value === "number" ? value : null))) }));
    frame.parts.push(s("path", { class: "points", d: dots.fine, "stroke-width": small * 2 }), s("path", { class: "k-zero", d: dots.zero }), s("path", { class: names.length > 60 ? "k-flagged dense" : "k-flagged", d: dots.flagged }), s("path", { class: "k-lost", d: dots.lost }));
  });
  if (begins >= 0) frame.parts.push(...beginning(frame, begins, names[begins], base));
  const kinds = [...lines.map((line) => line.series), ...(bound !== null ? ["allowed"] : []), ...(flagged?.size || lines[0].ys.some(out) ? ["flagged"] : []), ...(zeros ? ["zero"] : []), ...(lost ? ["lost"] : [])];
  const svg = s("svg", { class: "l", viewBox: `0 0 520 ${base + 40}`, "data-base": base, "aria-hidden": "true" }, frame.parts,
    s("text", { x: FRAME.left, y: base + 34 }, `first layer`), s("text", { class: "r", x: FRAME.right, y: base + 34 }, `last layer`));
  const tell = (i) => [names[i] || "(model)", ...lines.map((line) => `${WORDS[line.series]}: ${number(line.ys[i] ?? null)}`)].join("\n");
  return h("figure", { class: "line depth" }, h("figcaption", {}, h("strong", {}, title), h("span", { class: "quiet" }, `${log ? ", log scale" : ""}, along ${names.length} layers`)),
    explorable(svg, `${title} from layer to layer`, names.length, (i) => frame.over(i), tell), legend([...new Set(kinds)]));
}
/* Where the trouble begins: a mark with the layer's name. */
const beginning = (frame, i, label, base) => marker(frame, i, `begins at ${shorten(label || "the model", 34)}`, base + 16, "begin");
function marker(frame, place, words, at, kind = "moment") {
  const x = frame.over(place), right = x > 285;
  return [s("path", { class: kind, d: `M${x} ${FRAME.top}V${frame.height}` }), s("text", { class: `${kind} ${right ? "r" : ""}`, x: x + (right ? -5 : 5), y: at }, words)];
}
const shorten = (words, most) => (words.length <= most ? words : `${words.slice(0, Math.floor(most / 2))}…${words.slice(words.length - Math.floor(most / 2) + 1)}`);

function profileChart(finding) {
  const [places, values] = finding.profile;
  const names = places.map(text), layer = text(finding.layer);
  const bad = values.findIndex((value) => typeof value === "number" && typeof finding.limit === "number" && (finding.most ? value > finding.limit : value < finding.limit));
  const own = finding.layer === undefined ? -1 : names.indexOf(layer);
  return depthChart({ title: text(finding.quantity), names, lines: [{ series: "before", ys: values }], limit: finding.limit, most: finding.most, begins: own >= 0 ? own : bad });
}
/* Activations and gradients along the depth, from what the layers' charts hold. */
function depthCharts(layers, marked) {
  const names = layers.names.map(text);
  if (names.length < 3) return "";
  const along = (title, role, value) => {
    const lines = SERIES.map((series, code) => ({ series, ys: layers.charts.map((charts) => {
      const mine = charts && charts.filter((chart) => chart[0] === role).sort((a, b) => (text(b[1]) > text(a[1]) ? -1 : 1))[0];
      const one = mine && mine[2].find((each) => each[0] === code);
      return one ? value(moments(one[1])) : null;
    }) })).filter((line) => line.ys.some((y) => y !== null));
    return lines.length ? depthChart({ title, names, lines, flagged: marked, begins: firstBad(marked) }) : null;
  };
  const rms = ({ mean, std }) => (mean === null || std === null ? null : Math.hypot(mean, std));
  const charts = [along("activation std", 1, ({ std }) => std), along("gradient rms", 2, rms)].filter(Boolean);
  return charts.length ? h("div", { class: "lines" }, charts) : "";
}
