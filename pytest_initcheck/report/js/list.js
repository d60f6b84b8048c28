/* The list of tests: filters, search, order, and only as many rows as are near the window. */
const AXES = ["state", "comparison", "outcome"];
const KEYS_OF_STATE = ["q", "sort", "scale", "at"];
const initial = () => ({ state: [], comparison: [], outcome: [], q: "", sort: "worst", scale: "auto", at: "" });
let state = initial();
const scaleOfCounts = () => (["linear", "log"].includes(state.scale) ? state.scale : "auto");
const buttons = [...document.querySelectorAll("[data-axis]")];
const CHUNK = 20, ROW = 66, BODY = 700;
const items = data.tests.map((test, rank) => ({ test, rank, open: false, height: BODY, node: null,
  values: { state: test.state, comparison: test.status, outcome: text(test.outcome) } }));
const byAnchor = new Map(items.map((item) => [item.test.anchor, item]));

/* What the search looks through: tests, records, layers, findings and remedies, by their places. */
function searched(item) {
  if (item.places === undefined) {
    const { test } = item, found = [test.id, test.outcome];
    for (const entry of test.entries) {
      found.push(entry.name, entry.kind, ...(entry.layers?.names || []));
      for (const f of [...(entry.findings || []), ...(entry.ignored || [])]) found.push(f.id, f.check, f.about, f.layer, f.cause, f.remedy);
    }
    item.places = found;
  }
  return item.places;
}
/* Which texts hold a word: each text is looked at once, however many tests refer to it. */
const lowered = data.texts.map((words) => words.toLowerCase());
const holders = (query) => query.toLowerCase().split(/\s+/).filter(Boolean).map((word) => Uint8Array.from(lowered, (words) => words.includes(word)));
function matches(item, found = holders(state.q)) {
  return AXES.every((axis) => !state[axis].length || state[axis].includes(item.values[axis])) && found.every((texts) => searched(item).some((place) => texts[place]));
}
const orders = {
  worst: (a, b) => a.rank - b.rank,
  run: (a, b) => a.test.run - b.test.run,
  slow: (a, b) => b.test.time - a.test.time,
};

/* The state lives in the address: #state=fail,warn&comparison=changed&q=conv&at=test-… */
function read() {
  const hash = location.hash.slice(1);
  if (byAnchor.has(hash)) return { ...state, at: hash };
  const given = new URLSearchParams(hash), next = initial();
  const offered = (axis, value) => buttons.some((b) => b.dataset.axis === axis && b.dataset.value === value);
  for (const axis of AXES) next[axis] = (given.get(axis) || "").split(",").filter((value) => offered(axis, value));
  for (const key of KEYS_OF_STATE) next[key] = given.get(key) || next[key];
  return next;
}
function store(push) {
  const given = new URLSearchParams(), plain = initial();
  for (const axis of AXES) if (state[axis].length) given.set(axis, state[axis].join(","));
  for (const key of KEYS_OF_STATE) if (state[key] !== plain[key]) given.set(key, state[key]);
  const hash = "#" + given.toString().replaceAll("%2C", ",");
  if (hash === (location.hash || "#")) return;
  try {
    history[push ? "pushState" : "replaceState"](null, "", hash);
  } catch {
    /* In the frame of a notebook the page has no address of its own: it works without. */
  }
}

/* One test as a closed row; its body is built when it is opened and comes near the window. */
function row(item) {
  if (item.node && item.node.firstElementChild.open === item.open) return item.node;
  const { test } = item, outcome = text(test.outcome);
  const worst = test.entries.find(wrong) || test.entries.find((entry) => entry.layers);
  const found = test.entries.reduce((sum, entry) => sum + (entry.findings?.length || 0), 0);
  const box = h("details", {}, h("summary", {}, h("span", { class: `mark o-${outcome.replace(/\W/g, "")}`, role: "img", "aria-label": outcome }),
    h("h3", {}, testName(test)),
    h("span", { class: "chips" }, worst ? layerStrip(worst, true) : "", found ? h("span", { class: "quiet" }, plural(found, "finding")) : "", test.state !== "none" ? chip("state", test.state) : "", test.status !== "none" ? chip("comparison", test.status) : "", h("span", { class: "quiet time" }, seconds(test.time)))));
  item.node = h("article", { class: `test ${test.state === "expected" ? "calm" : ""}`, id: test.anchor, "aria-label": text(test.id) }, box);
  box.open = item.open;
  box.addEventListener("toggle", () => {
    if (box.open === item.open && Boolean(box.querySelector(".body, .waiting")) === box.open) return;
    item.open = box.open;
    if (box.open) body(item);
    else empty(item);
    nameToggle();
  });
  if (item.open) wait(item);
  return item.node;
}
function body(item) {
  const box = item.node.firstElementChild, old = box.querySelector(":scope > .body");
  if (old) return;
  box.querySelector(":scope > .waiting")?.remove();
  box.append(testBody(item.test));
}
function wait(item) {
  const box = item.node.firstElementChild;
  if (box.childElementCount > 1) return;
  const place = h("div", { class: "waiting" });
  place.style.setProperty("height", `${item.height}px`);
  box.append(place);
  bodies.observe(item.node);
}
function empty(item) {
  bodies.unobserve(item.node);
  for (const part of [...item.node.firstElementChild.children].slice(1)) part.remove();
}
const itemOf = (node) => byAnchor.get(node.id);
/* Many bodies at once are built one after the other, so that nothing waits for all of them. */
const waiting = [];
function buildNext() {
  const end = performance.now() + 10;
  do {
    const item = waiting.shift();
    if (item?.open && item.node) body(item);
  } while (waiting.length && performance.now() < end);
  if (waiting.length) setTimeout(buildNext);
}
const bodies = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (!isIntersecting) continue;
    bodies.unobserve(target);
    if (waiting.push(itemOf(target)) === 1) setTimeout(buildNext);
  }
}, { rootMargin: "400px" });

/* Rows stand in chunks; one that is far away is a box of its height. */
let shown = [], chunks = [], printing = false;
const chunkItems = (chunk) => shown.slice(chunk.from, chunk.from + CHUNK);
const near = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) if (isIntersecting) fillChunk(target.chunk); else emptyChunk(target.chunk);
}, { rootMargin: "1500px" });
function fillChunk(chunk) {
  if (chunk.filled) return;
  chunk.filled = true;
  chunk.node.style.removeProperty("height");
  chunk.node.replaceChildren(...chunkItems(chunk).map(row));
}
function emptyChunk(chunk) {
  if (!chunk.filled || printing) return;
  if (chunk.node.contains(document.activeElement)) return;
  chunk.filled = false;
  chunk.node.style.setProperty("height", `${chunk.node.offsetHeight}px`);
  for (const item of chunkItems(chunk)) {
    const drawn = item.node?.querySelector(":scope > details > .body");
    if (drawn) item.height = drawn.offsetHeight;
    forget(item);
  }
  chunk.node.replaceChildren();
}
/* What a reader has opened stays as it is, though it is not in the page. */
function forget(item) {
  if (!item.node) return;
  bodies.unobserve(item.node);
  if (!(item.open && item.node.querySelector(":scope > details > .body"))) item.node = null;
}
function layOut() {
  for (const chunk of chunks) near.unobserve(chunk.node);
  items.forEach(forget);
  chunks = [];
  for (let from = 0; from < shown.length; from += CHUNK) {
    const node = h("div", { class: "chunk" }), chunk = { node, from, filled: false };
    node.chunk = chunk;
    node.style.setProperty("height", `${chunkItems({ from }).reduce((sum, item) => sum + ROW + (item.open ? item.height : 0), 0)}px`);
    chunks.push(chunk);
  }
  byId("list").replaceChildren(...chunks.map((chunk) => chunk.node));
  if (chunks.length) fillChunk(chunks[0]);
  for (const chunk of chunks) near.observe(chunk.node);
}

function show() {
  const found = holders(state.q);
  shown = items.filter((item) => matches(item, found)).sort(orders[state.sort] ?? orders.worst);
  layOut();
  for (const button of buttons) button.setAttribute("aria-pressed", String(state[button.dataset.axis].includes(button.dataset.value)));
  const input = byId("q");
  if (input.value !== state.q) input.value = state.q;
  byId("sort").value = orders[state.sort] ? state.sort : "worst";
  byId("scale").value = scaleOfCounts();
  byId("reset").hidden = !(state.q || AXES.some((axis) => state[axis].length));
  byId("none").hidden = shown.length > 0 || !items.length;
  byId("shown").textContent = `${shown.length} of ${plural(items.length, "test")}`;
  nameToggle();
}
function nameToggle() {
  byId("toggle").textContent = shown.length && shown.every((item) => item.open) ? "Close all" : "Open all";
}
function change(update, push = false) {
  state = { ...state, ...update };
  store(push);
  show();
}
/* Open a test, wherever it is, and bring it into view. */
function go(anchor, focus) {
  for (const node of document.querySelectorAll(".test.here")) node.classList.remove("here");
  const item = byAnchor.get(anchor), place = shown.indexOf(item);
  if (!item || place < 0) return null;
  fillChunk(chunks[Math.floor(place / CHUNK)]);
  const box = item.node.firstElementChild;
  item.open = true;
  body(item);
  box.open = true;
  item.node.classList.add("here");
  item.node.scrollIntoView();
  if (focus) box.firstElementChild.focus({ preventScroll: true });
  return item;
}
function visit(anchor) {
  const item = byAnchor.get(anchor);
  change(item && matches(item) ? { at: anchor } : { ...initial(), scale: state.scale, sort: state.sort, at: anchor }, true);
  return go(anchor, true);
}
/* Open a layer's histograms or its row of the table. */
function goLayer(test, entry, i) {
  visit(test.anchor);
  for (let box = byId(entryId(test, entry)); box; box = box.parentElement?.closest("details")) box.open = true;
  const all = byId(`${entryId(test, entry)}-layers`);
  if (!all) return;
  all.open = true;
  setTimeout(() => {
    const line = byId(`${entryId(test, entry)}-l${i}`);
    line?.scrollIntoView({ block: "center" });
    line?.classList.add("here");
  });
}
