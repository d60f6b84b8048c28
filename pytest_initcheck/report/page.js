"use strict";
(() => {
  const AXES = ["verdict", "comparison", "outcome"];
  const root = document.documentElement;
  const $ = (query, from = document) => [...from.querySelectorAll(query)];
  const byId = (id) => document.getElementById(id);
  const list = byId("list");
  const tests = $("article.test");
  const buttons = $("[data-axis]");
  const initial = () => ({ verdict: [], comparison: [], outcome: [], q: "", sort: "worst", scale: "auto", at: "" });
  let state = initial();

  /* The state lives in the address: #verdict=fail,warn&comparison=changed&q=conv&at=test-… */
  function read() {
    const hash = location.hash.slice(1);
    const next = initial();
    if (byId(hash)) return { ...state, at: hash };
    const given = new URLSearchParams(hash);
    const offered = (axis, value) => buttons.some((b) => b.dataset.axis === axis && b.dataset.value === value);
    for (const axis of AXES) next[axis] = (given.get(axis) || "").split(",").filter((value) => offered(axis, value));
    for (const key of ["q", "sort", "scale", "at"]) next[key] = given.get(key) || next[key];
    return next;
  }

  function store(push) {
    const given = new URLSearchParams();
    const plain = initial();
    for (const axis of AXES) if (state[axis].length) given.set(axis, state[axis].join(","));
    for (const key of ["q", "sort", "scale", "at"]) if (state[key] !== plain[key]) given.set(key, state[key]);
    const hash = "#" + given.toString().replaceAll("%2C", ",");
    if (hash === (location.hash || "#")) return;
    history[push ? "pushState" : "replaceState"](null, "", hash);
  }

  function matches(test) {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    return AXES.every((axis) => !state[axis].length || state[axis].includes(test.dataset[axis])) &&
      words.every((word) => test.dataset.search.includes(word));
  }

  const orders = {
    worst: (a, b) => a.dataset.rank - b.dataset.rank || a.dataset.run - b.dataset.run,
    run: (a, b) => a.dataset.run - b.dataset.run,
    slow: (a, b) => b.dataset.slow - a.dataset.slow,
  };
  let sorted = "worst";

  function show() {
    let shown = 0;
    for (const test of tests) shown += !(test.hidden = !matches(test));
    const order = orders[state.sort] ? state.sort : "worst";
    if (order !== sorted) list.append(...tests.sort(orders[order]));
    sorted = order;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(state[button.dataset.axis].includes(button.dataset.value)));
    }
    const input = byId("q");
    if (input.value !== state.q) input.value = state.q;
    byId("sort").value = order;
    byId("scale").value = ["linear", "log"].includes(state.scale) ? state.scale : "auto";
    byId("reset").hidden = !(state.q || AXES.some((axis) => state[axis].length));
    byId("none").hidden = shown > 0 || !tests.length;
    byId("shown").textContent = `${shown} of ${tests.length} test${tests.length === 1 ? "" : "s"}`;
    nameToggle();
  }

  function go() {
    for (const test of tests) test.classList.toggle("here", test.id === state.at);
    const target = state.at && byId(state.at);
    if (!target) return;
    for (let box = target.querySelector("details") || target; box; box = box.parentElement?.closest("details")) box.open = true;
    target.closest("article").hidden = false;
    target.scrollIntoView();
  }

  function change(update, push = false) {
    state = { ...state, ...update };
    store(push);
    show();
  }

  const visible = () => tests.filter((test) => !test.hidden);
  const isOpen = (test) => test.firstElementChild.open;
  function nameToggle() {
    const some = visible();
    byId("toggle").textContent = some.length && some.every(isOpen) ? "Close all" : "Open all";
  }

  document.addEventListener("click", (event) => {
    const filter = event.target.closest("[data-axis]");
    const link = event.target.closest("[data-go]");
    if (filter) {
      const { axis, value } = filter.dataset;
      const now = state[axis];
      change({ [axis]: now.includes(value) ? now.filter((v) => v !== value) : [...now, value], at: "" });
    } else if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      const test = byId(link.dataset.go);
      change(matches(test) ? { at: test.id } : { ...initial(), scale: state.scale, sort: state.sort, at: test.id }, true);
      go();
      test.querySelector("summary").focus({ preventScroll: true });
    }
  });
  byId("q").addEventListener("input", (event) => change({ q: event.target.value, at: "" }));
  byId("sort").addEventListener("change", (event) => change({ sort: event.target.value }));
  byId("scale").addEventListener("change", (event) => { change({ scale: event.target.value }); rescale(); });
  byId("reset").addEventListener("click", () => { change(initial()); rescale(); go(); });
  byId("toggle").addEventListener("click", () => {
    const some = visible(), open = !some.every(isOpen);
    for (const test of some) test.firstElementChild.open = open;
    nameToggle();
  });
  document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("toggle", nameToggle, true);
  addEventListener("hashchange", () => { state = read(); show(); rescale(); go(); });

  /* Charts wait in <noscript> as text, and become elements when they come near the window. */
  function fill(box) {
    const waiting = box.querySelector("noscript");
    if (!waiting) return;
    box.innerHTML = waiting.textContent;
    for (const svg of $("svg.h", box)) redraw(svg);
  }
  const watcher = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) { watcher.unobserve(target); fill(target); }
  }, { rootMargin: "500px" });
  for (const box of $(".late")) watcher.observe(box);
  addEventListener("beforeprint", () => { for (const box of $("details[open] .late")) if (box.checkVisibility()) fill(box); });

  /* Histograms: the same steps as the ones that came with the page, on the scale asked for. */
  const WIDTH = 320, TOP = 14, BASE = 96;
  const NAMES = { b: "start", a: "after", e: "baseline, start", f: "baseline, after" };
  const shares = (path) => {
    const counts = path.dataset.c.split(" ").map(Number);
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.map((count) => count / total);
  };
  const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;
  const isLog = (svg) => state.scale === "log" || (state.scale !== "linear" && "log" in svg.dataset);

  function redraw(svg) {
    const log = isLog(svg);
    if (log === (svg.drawn ?? "log" in svg.dataset)) return;
    svg.drawn = log;
    const paths = $("path[data-c]", svg), all = paths.map(shares);
    const top = Math.max(...all.flat()), floor = Math.min(...all.flat().filter((share) => share > 0)) / 2;
    const place = (share) => !log ? share / top : share <= floor ? 0 : Math.log(share / floor) / Math.log(top / floor);
    paths.forEach((path, index) => {
      const bins = all[index];
      const x = (i) => Math.round((i * WIDTH) / bins.length);
      path.setAttribute("d", `M0 ${BASE}` + bins.map((share, i) => `V${Math.round(BASE - (BASE - TOP) * place(share))}H${x(i + 1)}`).join("") + `V${BASE}`);
    });
    svg.querySelector(".y").textContent = `peak ${percent(top)} a bin` + (log ? ", log" : "");
  }
  function rescale() { for (const svg of $("svg.h")) redraw(svg); }

  const tip = byId("tip");
  function point(event) {
    const svg = event.target.closest?.("svg.h");
    tip.hidden = !svg;
    if (!svg) return;
    const box = svg.getBoundingClientRect();
    const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 0.9999);
    const low = Number(svg.dataset.lo), high = Number(svg.dataset.hi);
    const lines = $("path[data-c]", svg).map((path) => {
      const bins = shares(path), i = Math.floor(part * bins.length);
      const edge = (k) => Number((low + ((high - low) * k) / bins.length).toPrecision(3));
      return [`${edge(i)} to ${edge(i + 1)}`, `${NAMES[path.getAttribute("class")]}: ${percent(bins[i])}`];
    });
    tip.textContent = [lines[0]?.[0], ...lines.map((line) => line[1])].join("\n");
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(event.clientY - tip.offsetHeight - 10, 4)}px`;
  }
  document.addEventListener("pointermove", point, { passive: true });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  root.classList.add("js");
  document.querySelector(".tools").hidden = false;
  for (const button of $(".count")) button.disabled = false;
  state = read();
  show();
  go();
})();
