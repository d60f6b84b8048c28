/* The body of a test, built when it is opened: findings first, the raw message last. */
const facts = (pairs) => h("dl", { class: "facts" }, pairs.map(([key, value]) => h("div", {}, h("dt", {}, h("bdi", {}, text(key))), h("dd", {}, h("bdi", {}, text(value))))));
const scroll = (label, table) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
const cells = (row, kind) => row.map((cell) => h(kind, kind === "th" ? { scope: "col" } : { class: "n" }, h("bdi", {}, cell)));
let regions = 0;
/* Regions of one kind are told apart by a number. */
const unique = (label) => `${label} (${++regions})`;

function testBody(test) {
  const parts = [];
  if (test.entries.length > 1) parts.push(overview(test));
  const many = test.entries.length > 1;
  for (const entry of test.entries) {
    parts.push(many ? entryFold(test, entry) : h("section", { class: "entry", id: entryId(test, entry), "aria-label": unique(`Record ${text(entry.name)}`) }, entryTitle(entry), entryParts(test, entry)));
  }
  if (test.pictures) parts.push(h("section", { class: "pictures", "aria-label": unique("Pictures") }, test.pictures.map(picture)));
  if (test.message !== undefined) parts.push(fold("The message as pytest printed it", () => h("pre", { class: "message", tabindex: "0", role: "region", "aria-label": unique("Message of the test") }, text(test.message))));
  parts.push(h("p", { class: "acts" }, copyButton("Copy rerun command", text(test.rerun), text(test.id)), h("a", { class: "plain", href: `#${test.anchor}`, "data-go": test.anchor }, "Link to this test"), test.entries.length ? "" : h("span", { class: "quiet" }, "it recorded nothing")));
  return h("div", { class: "body" }, parts);
}
const entryId = (test, entry) => `${test.anchor}-e${test.entries.indexOf(entry)}`;
const entryTitle = (entry) => [h("h4", {}, h("bdi", {}, text(entry.name)), entry.kind !== entry.name ? h("span", { class: "quiet" }, " ", h("bdi", {}, text(entry.kind))) : ""),
  h("span", { class: "chips" }, entry.state !== "none" ? chip("state", entry.state) : "", entry.baseline ? chip("comparison", entry.baseline.status) : "")];
function entryFold(test, entry) {
  const box = (wrong(entry) ? unfolded : fold)(entryTitle(entry), () => entryParts(test, entry), "entry");
  box.id = entryId(test, entry);
  return box;
}
function overview(test) {
  const [columns, rows] = test.overview;
  return scroll(unique("All records of the test"), h("table", { class: "overview" }, h("thead", {}, h("tr", {}, cells(["record", "health", data.against ? "side by side" : "baseline", "findings", ...columns.map(text)], "th"))),
    h("tbody", {}, test.entries.map((entry, i) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, text(entry.name))), h("td", {}, chip("state", entry.state)), h("td", {}, chip("comparison", entry.baseline?.status ?? "none")), h("td", { class: "n" }, String(entry.findings?.length || "")), rows[i].map((cell) => h("td", { class: "n" }, h("bdi", {}, text(cell)))))))));
}
function entryParts(test, entry) {
  const parts = [];
  const jump = (i) => goLayer(test, entry, i);
  if (entry.state === "fail" || entry.state === "warn") parts.push(layerStrip(entry, false, jump));
  if (entry.findings) {
    const quiet = entry.state === "expected" ? "quieted" : "";
    if (entry.expected !== undefined) parts.push(h("p", { class: "reason" }, chip("state", "expected"), " ", h("bdi", {}, text(entry.expected)), ": nobody has to act on what was found"));
    parts.push(findingList(entry.findings, entry.moreFindings, quiet, entry.since === undefined || quiet ? "" : text(entry.since)));
  }
  if (entry.layers) parts.push(depthCharts(entry.layers, severities(entry)));
  if (entry.baseline) parts.push(baselinePart(entry.baseline));
  if (entry.sides) parts.push(h("h5", {}, "Layer by layer ", h("span", { class: "quiet" }, h("bdi", {}, KNOWN), " → ", h("bdi", {}, NOW), " where they differ")), panelPart(entry.sides));
  if (entry.ignored) parts.push(h("h5", {}, "Ignored ", h("span", { class: "quiet" }, "these do not count")), findingList(entry.ignored, entry.moreIgnored, "quieted"));
  const overSeeds = [entry.looks ? [h("h5", {}, "Seeds"), h("p", {}, h("bdi", {}, text(entry.path))), chartsPart(entry.looks)] : "",
    entry.metrics ? metricsPart(entry.metrics) : "", entry.curves ? [h("h5", {}, "Curves"), chartsPart(entry.curves)] : ""];
  if (entry.landscape?.ways.length) overSeeds.push(landscapePart(entry.landscape));
  if (entry.scatters) overSeeds.push(h("h5", {}, "Points by moment"), h("div", { class: "lines" }, entry.scatters.map(scatterPart)));
  if (entry.confusion) overSeeds.push(confusionPart(entry.confusion));
  const layers = entry.layers ? layersPart(test, entry) : "";
  parts.push(severities(entry).size ? [layers, overSeeds] : [overSeeds, layers]);
  for (const [title, panel] of entry.panels || []) parts.push(fold(h("bdi", {}, text(title)), () => panel.map(panelPart), "minor panel"));
  return parts;
}
function chartsPart(charts) {
  const kinds = [...new Set(charts.flatMap((chart) => [...chart.lines, ...chart.bands].map(([series]) => series)))];
  return [kinds.length > 1 ? legend(kinds) : "", h("div", { class: "lines" }, charts.map(lineChart))];
}
function baselinePart(baseline) {
  const parts = [h("h5", {}, data.against ? "Side by side" : "Baseline"), h("p", {}, chip("comparison", baseline.status), " ", h("bdi", {}, text(baseline.text)))];
  for (const note of baseline.notes || []) parts.push(h("p", { class: "note" }, h("bdi", {}, text(note))));
  if (baseline.differences) {
    parts.push(scroll(unique(`Differences from ${data.against ? KNOWN : "the baseline"}`), h("table", {}, h("thead", {}, h("tr", {}, cells(["value", KNOWN, NOW, "allowed", "times the allowed"], "th"))),
      h("tbody", {}, baseline.differences.map(([key, now, known, allowed, excess]) => h("tr", {}, h("th", { scope: "row" }, name(text(key))), cells([text(known), text(now), text(allowed), Number.isFinite(excess) ? `${number(excess)}×` : ""], "td")))))));
    if (baseline.more) parts.push(h("p", { class: "quiet" }, `and ${baseline.more} more in run.json`));
  }
  if (baseline.origin && !data.against) parts.push(fold("Where the baseline comes from", () => facts(baseline.origin)));
  return parts;
}
function metricsPart(metrics) {
  const value = (x) => h("td", { class: "n" }, x === null ? "–" : number(x));
  return [h("h5", {}, "Metrics"), scroll(unique("Metrics"), h("table", { class: "metrics" }, h("thead", {}, h("tr", {}, cells(["metric", "mean ± sd", "least", "greatest", KNOWN, "values"], "th"))),
    h("tbody", {}, metrics.map(([title, mean, low, high, known, values, expected, lost]) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, text(title))), h("td", { class: "n" }, text(mean)), value(low), value(high), value(known), h("td", {}, dots(values, expected), lost ? h("span", { class: "bad" }, ` ${lost} of ${values.length} not finite`) : ""))))))];
}

/* Histograms of the layers with findings at once, those of the others and the table on demand. */
const OPEN_LAYERS = 8;
function layersPart(test, entry) {
  const layers = entry.layers, marked = severities(entry), count = layers.names.length;
  const flagged = [...marked.keys()].sort((a, b) => a - b);
  let shared = false;
  const common = (role) => (shared ? ranges(layers)[role] : undefined);
  const parts = [];
  const tools = h("p", { class: "acts" }, h("button", { type: "button", class: "plain small", "aria-pressed": "false", onclick: (event) => {
    shared = !shared;
    event.currentTarget.setAttribute("aria-pressed", String(shared));
    for (const figure of event.currentTarget.closest(".layered").querySelectorAll(".hists figure")) figure.redraw();
  } }, "Same axis for all weights, activations and gradients"));
  const series = SERIES.filter((_, code) => layers.charts.some((charts) => charts.some((chart) => chart[2].some((one) => one[0] === code && one[2] !== LEFT_OUT))));
  if (series.length) parts.push(h("h5", {}, flagged.length ? "Histograms of the layers with findings" : "Histograms"), legend(series), tools);
  parts.push(flagged.slice(0, OPEN_LAYERS).map((i) => layerHistograms(test, entry, i, marked, common)));
  if (flagged.length > OPEN_LAYERS) parts.push(h("p", { class: "quiet" }, `and ${flagged.length - OPEN_LAYERS} more below`));
  const title = h("h5", {}, "All layers ", h("span", { class: "quiet" }, `${count}`, layers.moments.length > 1 ? [", ", h("bdi", {}, layers.moments.map(text).join(" → "))] : ""));
  const all = fold(title, () => [layers.facts ? facts(layers.facts) : "", layerTable(test, entry, marked), leftOutOf(layers) ? h("p", { class: "note" }, leftOut(layers)) : "",
    h("p", { class: "quiet" }, "Biases beside weights are not drawn; run.json holds their numbers."),
    layers.names.map((_, i) => fold([name(text(layers.names[i]) || "(model)"), h("span", { class: "quiet" }, " histograms")], () => layerHistograms(test, entry, i, marked, common), "minor"))], "layers");
  all.id = `${entryId(test, entry)}-layers`;
  if (layers.unseen) parts.push(h("p", { class: "note" }, "Not observed: ", h("bdi", {}, layers.unseen.map(text).join(", "))));
  parts.push(all);
  return h("div", { class: "layered" }, parts);
}
const leftOutOf = (layers) => layers.charts.filter((charts) => charts.some((chart) => chart[2].some((one) => one[2] === LEFT_OUT))).length;
const leftOut = (layers) => `The histograms of ${leftOutOf(layers)} of ${plural(layers.charts.length, "layer")} are left out of this page, which would else be too large; run.json holds them.`;
function layerHistograms(test, entry, i, marked, common) {
  const layers = entry.layers, charts = layers.charts[i];
  const ids = (entry.findings || []).filter((finding) => [finding.layer, ...(finding.layers || [])].includes(layers.names[i])).map((finding) => text(finding.id));
  return h("section", { class: `layer v-${marked.get(i) || "none"}`, "aria-label": unique(`Layer ${text(layers.names[i])}`) }, h("h6", {}, name(text(layers.names[i]) || "(model)"), " ", h("span", { class: "quiet" }, h("bdi", {}, [text(layers.kinds[i]), text(layers.shapes[i]), text(layers.acts[i])].filter(Boolean).join(", "))), " ", [...new Set(ids)].map((id) => h("span", { class: "id" }, h("bdi", {}, id)))),
    charts.length ? h("div", { class: "hists" }, charts.map((chart) => histogram(chart, common))) : h("p", { class: "empty" }, "nothing was recorded to draw"));
}
/* The range of all histograms of a role. */
function ranges(layers) {
  return ROLE_NAMES.map((_, role) => {
    const all = layers.charts.flatMap((charts) => charts || []).filter((chart) => chart[0] === role).flatMap(seriesOf).filter((one) => one.range).flatMap((one) => one.range);
    return all.length ? [Math.min(...all), Math.max(...all)] : undefined;
  });
}
function layerTable(test, entry, marked) {
  const layers = entry.layers, ids = new Map();
  for (const finding of entry.findings || []) for (const place of new Set([finding.layer, ...(finding.layers || [])])) ids.set(place, [...(ids.get(place) || []), text(finding.id)]);
  const known = data.columns.map((_, k) => layers.rows.some((lines) => lines.some((line) => line.split("\t")[k] !== "-")));
  const row = (place, i) => {
    const [start, after] = layers.rows[i].map((line) => line.split("\t"));
    const joined = (start || []).map((cell, k) => {
      const there = [...new Set([cell, after?.[k] ?? cell].filter((each) => each !== "-"))];
      return there.join(" → ") || "–";
    });
    return h("tr", { class: `v-${marked.get(i) || "none"}`, id: `${entryId(test, entry)}-l${i}` }, h("th", { scope: "row" }, name(text(place) || "(model)"), (ids.get(place) || []).map((id) => [" ", h("span", { class: "id" }, h("bdi", {}, id))])),
      h("td", {}, h("bdi", {}, text(layers.kinds[i])), " ", h("span", { class: "quiet" }, text(layers.shapes[i]), layers.acts[i] && text(layers.acts[i]) ? [" ", h("bdi", {}, text(layers.acts[i]))] : "")), joined.filter((_, k) => known[k]).map((cell) => h("td", { class: "n" }, cell)));
  };
  return scroll(unique("Layers"), h("table", { class: "layer-table" }, h("thead", {}, h("tr", {}, cells(["layer", "kind", ...data.columns.map(text).filter((_, k) => known[k])], "th"))), h("tbody", {}, layers.names.map(row))));
}

function picture([title, media, content]) {
  const image = h("img", { alt: text(title), decoding: "async" });
  if (media === "svg") svgSource(content).then((source) => { image.src = source; }, () => image.replaceWith(h("p", { class: "empty" }, "not a picture")));
  else if (content) image.src = `data:image/png;base64,${content}`;
  return h("figure", {}, media === "png" && !content ? h("p", { class: "empty" }, "not a picture") : image, h("figcaption", {}, h("bdi", {}, text(title))));
}
function panelPart([kind, first, rest]) {
  if (kind === "facts") return facts(first);
  if (kind === "drawing") return picture([first, "svg", rest]);
  if (kind === "text") return h("p", {}, h("bdi", {}, text(first)));
  return scroll(unique("Table"), h("table", {}, h("thead", {}, h("tr", {}, cells(first.map(text), "th"))), h("tbody", {}, rest.map(([head, ...row]) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, text(head))), cells(row.map(text), "td"))))));
}
