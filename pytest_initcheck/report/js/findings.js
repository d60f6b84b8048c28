/* Findings: the same block in a problem's card and in its test, open to cause, evidence and remedy. */
const LABELS = { none: { state: "not judged", comparison: "not compared" } };
const chip = (axis, value, words) => h("span", { class: `chip ${axis} v-${value}` }, h("bdi", {}, words ?? (axis === "comparison" ? data.labels?.[value] : undefined) ?? LABELS[value]?.[axis] ?? value));
const placeOf = (finding) => (finding.layer === undefined ? h("span", { class: "place" }, "the whole model")
  : h("span", { class: "place" }, "layer ", name(text(finding.layer)), finding.kind !== undefined ? [" ", name(text(finding.kind), "kind")] : "", finding.shape !== undefined ? [" ", name(text(finding.shape), "kind")] : ""));

/* Rule, place, measured against allowed, cause, fix: what a reader needs first. */
function findingHead(finding, level = "h4") {
  return h("div", { class: "finding-head" },
    h(level, { class: "rule" }, h("span", { class: `sev v-${finding.severity}` }, finding.severity), " ", h("bdi", {}, text(finding.check)), " ", h("span", { class: "id" }, h("bdi", {}, text(finding.id))), " ", placeOf(finding), finding.units !== undefined ? h("span", { class: "quiet" }, ` ${text(finding.units)}`) : ""),
    h("div", { class: "measured" }, bar(finding), h("span", { class: "numbers" }, measuredWords(finding))));
}
function measuredWords(finding) {
  if (finding.measured === undefined) return h("bdi", {}, text(finding.quantity));
  const limit = finding.limit === null || finding.limit === undefined ? "" : `, allowed ${limitWords(finding)}`;
  return [h("bdi", {}, text(finding.quantity)), " ", h("b", {}, number(finding.measured)), limit];
}
const fixOf = (finding) => (finding.code !== undefined ? text(finding.code) : text(finding.remedy));
function fixLine(finding) {
  return finding.remedy === undefined ? "" : h("p", { class: "fix" }, h("b", {}, "Fix"), " ", h("bdi", {}, text(finding.remedy)));
}
/* The whole finding. What is long waits in a fold. */
function findingBlock(finding, since) {
  const parts = [
    findingHead(finding, "h5"),
    h("p", {}, h("b", {}, "Cause"), " ", h("bdi", {}, text(finding.cause)), since ? h("span", { class: "since" }, ` — ${since}`) : ""),
    fixLine(finding),
    h("p", { class: "acts" }, finding.remedy !== undefined ? copyButton("Copy fix", fixOf(finding), text(finding.check)) : ""),
  ];
  if (finding.profile) parts.push(profileChart(finding));
  if (finding.others !== undefined) parts.push(h("p", { class: "quiet" }, "also in ", h("bdi", {}, text(finding.others))));
  if (finding.code !== undefined) parts.push(fold("The fix as code", () => h("pre", { tabindex: "0", role: "region", "aria-label": `Code of the fix for ${text(finding.check)}` }, text(finding.code))));
  if (finding.leads) parts.push(fold(`It leads to ${finding.leads.length} more`, () => finding.leads.map((line) => h("p", {}, h("bdi", {}, text(line))))));
  if (finding.primer !== undefined) parts.push(fold("New to this?", () => h("p", {}, text(finding.primer))));
  if (finding.ignored !== undefined) parts.push(h("p", { class: "reason" }, h("b", {}, "Ignored"), " ", h("bdi", {}, text(finding.ignored))));
  if (finding.written !== undefined) {
    parts.push(h("p", { class: "quiet" }, h("b", {}, "Written by"), " ", h("bdi", {}, text(finding.written))));
  }
  if (finding.reference !== undefined) {
    parts.push(h("p", { class: "quiet" }, finding.link !== undefined ? h("a", { href: text(finding.link), rel: "noreferrer noopener" }, h("bdi", {}, text(finding.reference))) : h("bdi", {}, text(finding.reference))));
  }
  return h("li", { class: `v-${finding.severity}` }, parts);
}
const findingList = (findings, more, kind, since) => [
  h("ul", { class: `findings ${kind}` }, findings.map((finding, i) => findingBlock(finding, i ? "" : since))),
  more ? h("p", { class: "quiet" }, `and ${more} more in run.json`) : "",
];
/* Closed, and built when it is opened. */
function fold(title, build, kind = "minor") {
  const box = h("details", { class: kind }, h("summary", {}, title));
  box.addEventListener("toggle", () => {
    if (box.open && box.childElementCount === 1) box.append(...[build()].flat(Infinity).filter(Boolean));
  });
  return box;
}
/* An open fold for which nobody has to wait. */
function unfolded(title, build, kind) {
  const box = fold(title, build, kind);
  box.append(...[build()].flat(Infinity).filter(Boolean));
  box.open = true;
  return box;
}

function testName(test) {
  const id = text(test.id), at = id.indexOf("::");
  return at < 0 ? [h("span", { class: "name" }, h("bdi", {}, id))]
    : [h("span", { class: "file" }, h("bdi", {}, id.slice(0, at))), " ", h("span", { class: "name" }, h("bdi", {}, id.slice(at + 2)))];
}
const faultOf = (entry) => {
  const status = entry.baseline?.status;
  return ["changed", "unreadable"].includes(status) || (status === "missing" && entry.state !== "fail") ? status : "";
};
const wrong = (entry) => entry.state === "fail" || faultOf(entry);

/* What somebody has to act on, one card for a test. */
const SHOWN_CARDS = 10, SHOWN_FINDINGS = 3;
function problemCard(test) {
  const parts = [h("header", {}, h("h3", {}, h("a", { href: `#${test.anchor}`, "data-go": test.anchor }, testName(test))),
    chip("outcome", text(test.outcome).replace(/\W/g, ""), text(test.outcome)))];
  const bad = test.entries.filter(wrong);
  for (const entry of bad) parts.push(...entryProblem(test, entry, test.entries.length > 1));
  if (!bad.length) parts.push(h("p", {}, test.message === undefined ? "It failed without a message." : h("bdi", {}, shorten(text(test.message).split("\n")[0], 300))));
  parts.push(h("p", { class: "acts" }, copyButton("Copy rerun command", text(test.rerun), text(test.id)), h("a", { href: `#${test.anchor}`, "data-go": test.anchor, class: "plain", "aria-label": `Open the test ${text(test.id)}` }, "Open the test")));
  return h("article", { class: "card" }, parts);
}
function entryProblem(test, entry, several) {
  const parts = several ? [h("p", { class: "entry-name" }, h("bdi", {}, text(entry.name)))] : [];
  const errors = (entry.findings || []).filter((finding) => finding.severity === "error");
  const strip = entry.state === "fail" ? layerStrip(entry, false, (i) => goLayer(test, entry, i)) : "";
  if (entry.state === "fail") {
    for (const finding of errors.slice(0, SHOWN_FINDINGS)) {
      parts.push(h("div", { class: "problem v-error" }, findingHead(finding), h("p", {}, h("b", {}, "Cause"), " ", h("bdi", {}, text(finding.cause)), finding === errors[0] && entry.since !== undefined ? h("span", { class: "since" }, ` — ${text(entry.since)}`) : ""),
        fixLine(finding), finding.remedy !== undefined ? h("p", { class: "acts" }, copyButton("Copy fix", fixOf(finding), text(finding.check))) : ""));
    }
    const left = errors.length + (entry.moreFindings || 0) - SHOWN_FINDINGS;
    if (left > 0) parts.push(h("p", { class: "quiet" }, `and ${plural(left, "finding")} more in the test`));
  }
  const fault = faultOf(entry);
  if (fault) {
    const [worst, ...rest] = entry.baseline.differences || [];
    parts.push(h("div", { class: `problem v-${fault}` }, h("h4", { class: "rule" }, chip("comparison", fault), " ", data.against ? "" : "baseline of ", name(text(entry.name))),
      worst ? h("p", { class: "change" }, name(text(worst[0])), " ", h("span", {}, h("bdi", {}, KNOWN), " ", h("b", {}, h("bdi", {}, text(worst[2])))), " → ", h("span", {}, h("bdi", {}, NOW), " ", h("b", {}, h("bdi", {}, text(worst[1])))), h("span", { class: "quiet" }, " allowed ", h("bdi", {}, text(worst[3])), Number.isFinite(worst[4]) ? `, ${number(worst[4])} times that` : "", rest.length + (entry.baseline.more || 0) ? ` and ${rest.length + (entry.baseline.more || 0)} more` : "")) : "",
      h("p", {}, h("bdi", {}, text(entry.baseline.text))),
      data.against ? "" : fault === "unreadable" ? (entry.baseline.notes || []).map((note) => h("p", {}, h("bdi", {}, text(note)))) : h("p", { class: "acts" }, copyButton(fault === "changed" ? "Copy the command that accepts it" : "Copy the command that creates it", `${text(test.rerun)} --initcheck-update`, text(entry.name)))));
  }
  return [h("div", { class: "beside" }, h("div", {}, parts), strip)];
}
function showProblems() {
  const bad = data.tests.filter((test) => test.problem), box = byId("problems");
  if (!bad.length) return;
  let shown = 0;
  const more = h("button", { type: "button", class: "plain", onclick: () => next() });
  const next = () => {
    box.append(...bad.slice(shown, shown + SHOWN_CARDS).map(problemCard));
    shown = Math.min(shown + SHOWN_CARDS, bad.length);
    more.textContent = `${bad.length - shown} more in the list below; show ${Math.min(SHOWN_CARDS, bad.length - shown)} here`;
    more.hidden = shown >= bad.length;
  };
  next();
  box.after(more);
}
