/* What a reader does. */
document.addEventListener("click", (event) => {
  const filter = event.target.closest("[data-axis]"), link = event.target.closest("[data-go]");
  if (filter) {
    const { axis, value } = filter.dataset, now = state[axis];
    change({ [axis]: now.includes(value) ? now.filter((each) => each !== value) : [...now, value], at: "" });
    if (filter.classList.contains("count")) byId("tests").scrollIntoView();
  } else if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    visit(link.dataset.go);
  }
});
let typing = 0;
byId("q").addEventListener("input", (event) => {
  const q = event.target.value;
  cancelAnimationFrame(typing);
  typing = requestAnimationFrame(() => change({ q, at: "" }));
});
byId("sort").addEventListener("change", (event) => change({ sort: event.target.value }));
byId("scale").addEventListener("change", (event) => {
  state = { ...state, scale: event.target.value };
  store(false);
  for (const figure of document.querySelectorAll(".hists figure")) figure.redraw();
});
byId("reset").addEventListener("click", () => change({ ...initial(), scale: state.scale, sort: state.sort }));
byId("toggle").addEventListener("click", () => {
  const open = !shown.every((item) => item.open);
  for (const item of shown) item.open = open;
  layOut();
  nameToggle();
});
document.querySelector(".tools").addEventListener("submit", (event) => event.preventDefault());
addEventListener("keydown", (event) => {
  const inside = /^(input|select|textarea)$/i.test(document.activeElement?.tagName ?? "");
  if (event.key === "/" && !inside && !event.ctrlKey && !event.metaKey) { event.preventDefault(); byId("q").focus(); }
  if (event.key === "Escape") byId("tip").hidden = true;
});
addEventListener("hashchange", () => { state = read(); show(); go(state.at); });

addEventListener("beforeprint", () => {
  printing = true;
  for (const chunk of chunks) fillChunk(chunk);
  for (const item of shown) if (item.open) body(item);
});
addEventListener("afterprint", () => { printing = false; layOut(); });

document.documentElement.classList.add("js");
for (const button of document.querySelectorAll(".count")) button.disabled = false;
state = read();
showProblems();
show();
if (state.at) go(state.at);
