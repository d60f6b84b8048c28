/* What is looked at step by step: ways over a landscape, points by moment; and who is taken for whom. */
function stepper(count, tell, draw) {
  const out = h("output", { class: "quiet" }), range = h("input", { type: "range", min: "0", max: String(count - 1), value: String(count - 1), "aria-label": "Step" });
  const go = (to) => {
    range.value = String(Math.min(Math.max(to, 0), count - 1));
    const words = tell(Number(range.value));
    out.textContent = words;
    range.setAttribute("aria-valuetext", words);
    draw(Number(range.value));
  };
  const button = (words, label, by) => h("button", { type: "button", class: "plain small", "aria-label": label, onclick: () => go(Number(range.value) + by) }, words);
  range.addEventListener("input", () => go(Number(range.value)));
  return { go, box: h("div", { class: "stepper" }, button("◀", "One step back", -1), range, button("▶", "One step on", 1), out) };
}
function plane(xs, ys, [left, below]) {
  const y = Scale.around(ys, false), frame = new Frame([Math.min(...xs), Math.max(...xs)], y);
  const marks = new Scale(frame.from, frame.to, false).ticks(6).filter((x) => x >= frame.from).map((x) => s("text", { class: "m", x: frame.over(x), y: 211 }, number(x, frame.to - frame.from)));
  return { frame, parts: [frame.parts, marks, s("text", { class: "m", x: 285, y: 228 }, below), s("text", { x: 4, y: 8 }, left)] };
}
const scene = (parts) => s("svg", { class: "l", viewBox: "0 0 520 232", "aria-hidden": "true" }, parts);
const grid = (land, axis) => Array.from({ length: land.size }, (_, i) => land.low[axis] + ((land.high[axis] - land.low[axis]) * i) / (land.size - 1));
const dotsAt = (places) => places.map(([x, y]) => `M${x} ${y}h0`).join("");

function landscapePart(land) {
  const values = unpacked(land.values, land.range), flat = land.low.length === 1, first = grid(land, 0);
  const { frame, parts } = plane(first, flat ? values.filter((v) => v !== null) : grid(land, 1), flat ? ["objective", "w"] : ["w1", "w0"]);
  const ground = flat ? s("path", { class: "mean", d: frame.path(first, values) }) : contours(frame, land, values);
  const seen = s("path", { class: "way" }), here = s("path", { class: "here" });
  const picture = scene([parts, ground, seen, here]);
  let way = land.ways[0];
  const place = (i) => [Math.min(Math.max(frame.over(way[2][i]), FRAME.left), FRAME.right), frame.up(flat ? way.at(-1)[i] : way[3][i])];
  const known = (i) => way[2][i] !== null && way.at(-1)[i] !== null;
  const control = () => stepper(way[2].length, (i) => [`step ${i * way[1]}`, ...way.slice(2, -1).map((w, k) => `w${flat ? "" : k} ${number(w[i])}`), `objective ${number(way.at(-1)[i])}`].join(", "), (i) => {
    const been = Array.from({ length: i + 1 }, (_, k) => k).filter(known).map(place);
    seen.setAttribute("d", flat ? dotsAt(been) : been.length ? `M${been.map((p) => p.join(" ")).join("L")}` : "");
    here.setAttribute("d", known(i) ? dotsAt([place(i)]) : "");
  });
  const holder = h("div", {});
  const choose = (one) => { way = one; const steps = control(); holder.replaceChildren(steps.box); steps.go(way[2].length - 1); };
  const seeds = land.ways.length > 1 ? h("label", {}, "Seed ", h("select", { onchange: (event) => choose(land.ways[event.target.selectedIndex]) }, land.ways.map(([seed]) => h("option", {}, String(seed))))) : "";
  if (way) choose(way);
  return [h("h5", {}, "The way over the objective"), h("figure", { class: "line scene" }, h("figcaption", {}, h("strong", {}, flat ? "objective along w" : "objective, darker is higher"), " ", seeds), picture, holder)];
}
/* A field of values as a few shades, one path each. */
function contours(frame, land, values) {
  const levels = 10, [low, high] = land.range, paths = Array.from({ length: levels }, () => ""), n = land.size;
  const x = grid(land, 0).map((v) => frame.over(v)), y = grid(land, 1).map((v) => frame.up(v));
  const wide = (x[n - 1] - x[0]) / (n - 1), tall = (y[0] - y[n - 1]) / (n - 1);
  values.forEach((value, k) => {
    const level = value === null ? -1 : Math.min(Math.floor((levels * (value - low)) / (high - low || 1)), levels - 1);
    if (level >= 0) paths[level] += `M${round(x[Math.floor(k / n)] - wide / 2)} ${round(y[k % n] - tall / 2)}h${round(wide + 0.3)}v${round(tall + 0.3)}h-${round(wide + 0.3)}z`;
  });
  return paths.map((d, level) => s("path", { class: "field", d, "fill-opacity": String(0.06 + (0.6 * level) / levels) }));
}
function scatterPart(scatter) {
  const [title, x, y] = scatter.names.map(text), all = (k) => scatter.moments.flatMap((moment) => moment[k]).filter((v) => v !== null);
  const { frame, parts } = plane(all(1), all(2), [y, x]);
  const dots = s("path", { class: "here small" });
  const steps = stepper(scatter.moments.length, (i) => text(scatter.moments[i][0]), (i) => {
    const [, xs, ys] = scatter.moments[i];
    dots.setAttribute("d", dotsAt(xs.map((v, k) => [v, ys[k]]).filter(([a, b]) => a !== null && b !== null).map(([a, b]) => [frame.over(a), frame.up(b)])));
  });
  steps.go(scatter.moments.length - 1);
  return h("figure", { class: "line scene" }, h("figcaption", {}, name(title, "strong")), scene([parts, dots]), steps.box);
}
function confusionPart({ classes, counts, mistaken }) {
  const row = (i) => counts.slice(i * classes, (i + 1) * classes), sums = Array.from({ length: classes }, (_, i) => row(i).reduce((a, b) => a + b, 0));
  const shade = (i, j) => (sums[i] && counts[i * classes + j] ? 1 + Math.min(Math.floor(4 * Math.sqrt(counts[i * classes + j] / sums[i])), 4) : 0);
  const names = Array.from({ length: classes }, (_, i) => String(i));
  const table = h("table", { class: "confusion" }, h("thead", {}, h("tr", {}, cells(["is", ...names, "right"], "th"))), h("tbody", {}, names.map((is, i) => h("tr", {}, h("th", { scope: "row" }, is),
    row(i).map((count, j) => h("td", { class: `n s${shade(i, j)}${i === j ? " right" : ""}` }, count ? String(count) : "")), h("td", { class: "n" }, sums[i] ? percent(counts[i * classes + i] / sums[i]) : "–")))));
  const parts = [h("h5", {}, "What is taken for what ", h("span", { class: "quiet" }, "rows: what it is; columns: what the models say, all seeds together")), scroll(unique("Confusion"), table)];
  if (mistaken.length) parts.push(h("p", { class: "quiet" }, "Most often mistaken"), h("div", { class: "mistaken" }, mistaken.map(([place, truth, predicted, count, pixels, width]) => h("figure", {}, pixels ? shades(pixels, width, `sample ${place}`) : "", h("figcaption", {}, `${truth} taken for ${predicted}, ${count}×`, h("span", { class: "quiet" }, ` sample ${place}`))))));
  return parts;
}
function shades(pixels, width, label) {
  const bytes = Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0)), canvas = h("canvas", { width, height: Math.floor(bytes.length / width), role: "img", "aria-label": label });
  const pen = canvas.getContext("2d"), image = pen.createImageData(canvas.width, canvas.height);
  bytes.subarray(0, canvas.width * canvas.height).forEach((shade, k) => image.data.set([255 - shade, 255 - shade, 255 - shade, 255], 4 * k));
  pen.putImageData(image, 0, 0);
  return canvas;
}
