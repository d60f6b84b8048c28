/* Small drawings: histograms, measured against limit, dots of seeds, the strip of layers. */
const HIST = { width: 320, top: 16, base: 96, height: 128, bins: 40 };
const ROLE_NAMES = ["weights", "activations", "gradients"];

function resample([low, high], bins, [from, to]) {
  const found = new Array(HIST.bins).fill(0), width = (to - from) / HIST.bins, own = (high - low) / bins.length;
  bins.forEach((share, i) => {
    if (!share) return;
    const start = (low - from + i * own) / width, end = start + own / width;
    const first = Math.min(Math.max(Math.floor(start), 0), HIST.bins - 1), last = Math.min(Math.max(Math.floor(end), 0), HIST.bins - 1);
    if (first === last || end <= start) found[first] += share;
    else for (let k = first; k <= last; k++) found[k] += (share * Math.max(Math.min(end, k + 1) - Math.max(start, k), 0)) / (end - start);
  });
  return found;
}
const LEFT_OUT = -1;
const moments = (packed) => ({ mean: float(packed.slice(0, 5)), std: float(packed.slice(5, 10)) });
const drawnPart = (packed) => (packed.length > 20 ? { range: [float(packed.slice(10, 15)), float(packed.slice(15, 20))], bins: shares(packed.slice(20)) } : { range: null, bins: null });
/* The series of a chart with what they share resolved: {code, mean, std, lost, range, bins, twin}. */
function seriesOf(chart) {
  const found = chart[2].map(([code, packed, tail = null, lost = 0]) => ({ code, packed, lost, ...moments(packed), twin: tail !== null && tail >= 0 ? tail : null, leftOut: tail === LEFT_OUT }));
  for (const one of found) {
    if (one.twin === null) Object.assign(one, drawnPart(one.packed));
    else Object.assign(one, drawnPart(found.find((other) => other.code === one.twin).packed));
  }
  return found;
}
/* A narrow peak hides a wide histogram beside it, and a spike hides its own tails. */
function helpsLog(all) {
  const peaks = all.map((bins) => Math.max(...bins));
  if (Math.max(...peaks) > 8 * Math.min(...peaks)) return true;
  return all.some((bins) => {
    const ranked = bins.filter((share) => share > 0).sort((a, b) => b - a);
    return ranked.length > 4 && ranked[0] > 5 * ranked[2];
  });
}
function histogram(chart, common) {
  const figure = h("figure", {});
  const all = seriesOf(chart), caption = text(chart[1]);
  const now = all.filter((one) => one.code < 2), lost = now.reduce((sum, one) => sum + one.lost, 0);
  const spread = `std ${[...new Set(now.map((one) => number(one.std)))].join(" → ")}`;
  const same = all.some((one) => one.twin !== null) ? `, ${KNOWN} the same` : "";
  const constant = now.every((one) => one.range && one.range[0] === one.range[1]) && new Set(now.map((one) => one.range[0])).size === 1;
  figure.append(h("figcaption", {}, name(caption, "strong"), ` ${constant ? `all ${number(now[0].range[0])}` : spread}${lost ? `, ${lost} not finite` : ""}${same}`));
  figure.redraw = () => {
    const drawn = figure.querySelector(".hist");
    const next = histogramBox(all, caption, common?.(chart[0]));
    if (drawn) drawn.replaceWith(next); else figure.append(next);
  };
  figure.redraw();
  return figure;
}
function histogramBox(all, caption, common) {
  const there = all.filter((one) => one.range && one.twin === null);
  if (all.some((one) => one.leftOut)) return h("p", { class: "empty hist" }, "left out of this page, which would else be too large; run.json holds it");
  if (!there.length) return h("p", { class: "empty hist" }, all.some((one) => one.lost) ? "no finite value to draw" : "no values to draw");
  let low = Math.min(...there.map((one) => one.range[0])), high = Math.max(...there.map((one) => one.range[1]));
  if (common) [low, high] = common;
  if (!(high > low) || !Number.isFinite(high - low)) {
    const room = Math.abs(low) / 2 || 1;
    [low, high] = [low - room, high + room];
  }
  const isWhole = new Set(there.map((one) => `${one.range}/${one.bins.length}`)).size === 1 && there[0].range[0] === low && there[0].range[1] === high;
  const spikes = there.filter((one) => one.range[0] === one.range[1]);
  const drawn = there.filter((one) => one.range[0] < one.range[1]).map((one) => ({ ...one, shares: isWhole ? one.bins : resample(one.range, one.bins, [low, high]) }));
  const log = drawn.length > 0 && (scaleOfCounts() === "log" || (scaleOfCounts() === "auto" && helpsLog(drawn.map((one) => one.shares))));
  const top = Math.max(...drawn.flatMap((one) => one.shares), 0) || 1;
  const floor = Math.min(...drawn.flatMap((one) => one.shares).filter((share) => share > 0), top) / 2;
  const place = (share) => (!log ? share / top : share <= floor ? 0 : Math.log(share / floor) / Math.log(top / floor));
  const x = (value) => round(((value - low) / (high - low)) * HIST.width);
  const steps = (one) => `M0 ${HIST.base}${one.shares.map((share, i) => `V${round(HIST.base - (HIST.base - HIST.top) * place(share))}H${round(((i + 1) * HIST.width) / one.shares.length)}`).join("")}V${HIST.base}`;
  const order = [...drawn].sort((a, b) => (b.code > 1) - (a.code > 1) || a.code - b.code);
  const paths = order.map((one) => s("path", { class: `h-${SERIES[one.code]}`, d: steps(one) }));
  const lines = spikes.map((one, i) => [s("path", { class: `spike h-${SERIES[one.code]}`, d: `M${x(one.range[0])} ${HIST.base}V${HIST.top}` }), s("text", { class: x(one.range[0]) > 200 ? "r" : "", x: x(one.range[0]) + (x(one.range[0]) > 200 ? -6 : 6), y: HIST.top + 12 + 14 * i }, `${WORDS[SERIES[one.code]]}: all ${number(one.range[0])}`)]);
  const zero = x(0), middle = zero > 70 && zero < 250;
  const svg = s("svg", { class: "h", viewBox: `0 0 ${HIST.width} ${HIST.height}`, role: "img", "aria-label": `${caption}: ${all.filter((one) => one.twin === null).map((one) => `${WORDS[SERIES[one.code]]} mean ${number(one.mean)}, std ${number(one.std)}`).join("; ")}` },
    paths, lines, s("path", { class: "x", d: `M0 ${HIST.base}H${HIST.width}` }),
    s("text", { x: 2, y: 111 }, number(low, high - low)), s("text", { class: "r", x: HIST.width - 2, y: 111 }, number(high, high - low)),
    middle ? [s("path", { class: "x", d: `M${zero} ${HIST.base}v4` }), s("text", { class: "m", x: zero, y: 111 }, "0")] : "",
    s("text", { class: "m", x: HIST.width / 2, y: 125 }, "value"),
    drawn.length ? s("text", { x: 2, y: 10 }, `% of values: peak ${percent(top)} a bin${log ? ", log scale" : ""}`) : "");
  svg.addEventListener("pointermove", (event) => {
    if (!drawn.length) return;
    const area = svg.getBoundingClientRect(), part = Math.min(Math.max((event.clientX - area.left) / area.width, 0), 0.9999);
    const count = drawn[0].shares.length, i = Math.floor(part * count), edge = (k) => number(low + ((high - low) * k) / count, (high - low) / count);
    tip([`${edge(i)} to ${edge(i + 1)}`, ...drawn.map((one) => `${WORDS[SERIES[one.code]]}: ${percent(one.shares[Math.floor(part * one.shares.length)])}`)].join("\n"), event);
  }, { passive: true });
  svg.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
  return h("div", { class: "hist" }, svg);
}

/* The measured value on a bar, with the side that is allowed; logarithmic where the two lie far apart. */
function bar(finding) {
  const { measured, limit, most } = finding;
  if (typeof measured !== "number" || typeof limit !== "number") return "";
  const both = [measured, limit], size = both.map(Math.abs);
  const log = both.every((value) => value >= 0) && limit > 0 && (measured === 0 ? limit < 1e-3 : Math.max(...both) / Math.min(...both) > 20);
  let place;
  if (log) {
    const low = Math.log(measured === 0 ? limit / 1e3 : Math.min(...both) / 3), high = Math.log(Math.max(...both) * 3);
    place = (value) => (value > 0 ? (Math.log(value) - low) / (high - low) : 0);
  } else {
    const low = Math.min(0, ...both), high = Math.max(0, ...both) || 1, room = (high - low) * 0.15;
    place = (value) => (value - low + (low < 0 ? room : 0)) / (high - low + room + (low < 0 ? room : 0));
  }
  const x = (value) => round(4 + 212 * Math.min(Math.max(place(value), 0), 1));
  const at = x(measured), edge = x(limit);
  return s("svg", { class: "gauge", viewBox: "0 0 220 16", role: "img", "aria-label": `measured ${number(measured)}, allowed ${limitWords(finding)}${log ? ", on a log scale" : ""}` },
    s("rect", { class: "track", x: 0, y: 4, width: 220, height: 8, rx: 4 }),
    s("rect", { class: "fine", x: most ? 0 : edge, y: 4, width: Math.max(most ? edge : 220 - edge, 0), height: 8, rx: 4 }),
    s("path", { class: "edge", d: `M${edge} 1V15` }),
    s("path", { class: size[0] === 0 ? "at hollow" : "at", d: `M${at} 2l6 6l-6 6l-6-6z` }));
}
const limitWords = ({ measured, limit, most }) => `${measured === limit ? "more than" : most ? "at most" : "at least"} ${number(limit)}`;

/* The values of one metric over seeds as dots, those of the baseline as ticks below. */
function dots(values, known) {
  const there = values.filter((value) => typeof value === "number"), base = known.filter((value) => typeof value === "number");
  if (there.length < 2) return "";
  const all = [...there, ...base], low = Math.min(...all), high = Math.max(...all), size = Math.max(Math.abs(low), Math.abs(high));
  const scale = high - low <= 1e-5 * size ? new Scale(low - size / 10 - 1e-12, high + size / 10 + 1e-12, false) : Scale.around(all, false);
  const x = (value) => round(4 + 132 * scale.place(value));
  return s("svg", { class: "s", viewBox: "0 0 140 22", role: "img", "aria-label": `${there.length} values from ${number(Math.min(...there))} to ${number(Math.max(...there))}` },
    s("path", { class: "g", d: "M4 9H136" }), s("path", { class: "dot", d: there.map((value) => `M${x(value)} 9h0`).join("") }), s("path", { class: "tick", d: base.map((value) => `M${x(value)} 15v6`).join("") }));
}

/* The severity of each layer, by its place: what the findings of an entry say. */
function severities(entry) {
  const places = new Map((entry.layers?.names || []).map((place, i) => [place, i])), found = new Map();
  for (const finding of entry.findings || []) {
    if (finding.severity === "info") continue;
    for (const place of new Set([finding.layer, ...(finding.layers || [])])) {
      const i = places.get(place);
      if (i !== undefined && found.get(i) !== "error") found.set(i, finding.severity);
    }
  }
  return found;
}
/* Where the trouble begins: the first layer with an error, else with a warning; -1 for none. */
function firstBad(marked) {
  const bad = [...marked.keys()].filter((i) => marked.get(i) === "error");
  return marked.size ? Math.min(...(bad.length ? bad : marked.keys())) : -1;
}
/* One cell per layer in the order in which they run: full and crossed for an error, half for a warning. */
function layerStrip(entry, mini, jump) {
  const names = entry.layers?.names;
  if (!names?.length) return "";
  const marked = severities(entry), width = mini ? 120 : 520, height = mini ? 12 : 22, cell = width / names.length, gap = cell > 4 ? 1 : 0;
  const paths = { fine: "", warning: "", error: "", cross: "" };
  names.forEach((_, i) => {
    const x = round(i * cell), w = round(cell - gap), kind = marked.get(i) || "fine", top = kind === "warning" ? height / 2 : 0;
    paths[kind] += `M${x} ${top}h${w}V${height}h-${w}z`;
    if (kind === "error" && cell > 6) paths.cross += `M${x + 1} ${height - 1}L${x + w - 1} 1`;
  });
  const first = firstBad(marked), count = marked.size;
  const label = `${plural(names.length, "layer")}${count ? `, ${count} with findings, trouble begins at ${text(names[first]) || "the model"}` : ", none with findings"}`;
  const svg = s("svg", { class: mini ? "strip mini" : "strip", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("title", {}, label), Object.entries(paths).filter(([, d]) => d).map(([kind, d]) => s("path", { class: kind, d })));
  if (mini) return svg;
  svg.addEventListener("click", (event) => {
    const area = svg.getBoundingClientRect();
    jump(Math.min(Math.floor(((event.clientX - area.left) / area.width) * names.length), names.length - 1));
  });
  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect(), i = Math.min(Math.max(Math.floor(((event.clientX - area.left) / area.width) * names.length), 0), names.length - 1);
    tip(`${text(names[i]) || "(model)"} ${text(entry.layers.kinds[i])}${marked.get(i) ? `: ${marked.get(i)}` : ""}`, event);
  }, { passive: true });
  svg.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
  return h("div", { class: "strips" }, svg, h("p", { class: "quiet" }, `${plural(names.length, "layer")}, first to last: `, count
    ? ["begins at ", h("button", { type: "button", class: "link", onclick: () => jump(first) }, name(text(names[first]) || "(model)"))] : "none has a finding"));
}
