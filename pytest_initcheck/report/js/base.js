"use strict";
/* Data and elements. Every text of the data becomes a text node: nothing of it is ever parsed. */
const data = JSON.parse(document.getElementById("data").textContent);
const text = (place) => (place === undefined ? "" : data.texts[place]);
/* What measurements are held against: the baseline, or of two runs the first. */
const KNOWN = data.against ? data.against[0] : "baseline", NOW = data.against ? data.against[1] : "now";
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") element.append(child);
  }
  return element;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
/* Names are isolated, so that one written from right to left turns nothing around it. */
const name = (value, kind = "mono") => h("bdi", { class: kind }, value);
const plural = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

/* A number with three digits, and with more where that tells it from its neighbours. */
function number(value, width = 0) {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "–";
  if (value === 0 || Math.abs(value) < width * 1e-9) return "0";
  let digits = 3;
  if (width > 0) digits = Math.min(Math.max(3, Math.ceil(Math.log10(Math.abs(value)) - Math.log10(width)) + 2), 7);
  const size = Math.abs(value);
  const short = size < 1e-4 || size >= 1e6 ? value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e") : String(Number(value.toPrecision(digits)));
  return short.replaceAll("-", "−");
}
const percent = (share) => (share > 0 && share < 1e-4 ? "< 0.01 %" : `${Number((100 * share).toPrecision(2))} %`);
const seconds = (time) => (time === null ? "–" : time < 10 ? `${time.toFixed(2)} s` : time < 60 ? `${Math.round(time)} s` : `${Math.floor(time / 60)} min ${Math.floor(time % 60)} s`);

/* What report/pack.py wrote: digits that JSON and HTML leave as they are. */
const DIGITS = Array.from({ length: 92 }, (_, i) => String.fromCharCode(i + 35)).filter((c) => !"\\<>&'`".includes(c)).join("");
const BASE = DIGITS.length, TOP = BASE * BASE - 2;
const DIGIT = new Map([...DIGITS].map((digit, place) => [digit, place]));
function digits(packed, width) {
  const found = [];
  for (let i = 0; i < packed.length; i += width) {
    found.push(width === 1 ? DIGIT.get(packed[i]) : DIGIT.get(packed[i]) * BASE + DIGIT.get(packed[i + 1]));
  }
  return found;
}
/* Five characters: nothing, zero, or a value by its logarithm, the negative ones after the others. */
const HALF = Math.floor(BASE ** 5 / 2) - 2, DECADES = 325;
function float(packed) {
  const place = [...packed].reduce((sum, digit) => sum * BASE + DIGIT.get(digit), 0);
  if (place < 2) return place ? 0 : null;
  const isNegative = place - 2 > HALF, size = 10 ** (((place - 2 - (isNegative ? HALF : 0)) / HALF) * 2 * DECADES - DECADES);
  return Number((isNegative ? -size : size).toPrecision(6));
}
/* A histogram's bins as shares of its values. */
function shares(packed) {
  const squares = digits(packed, data.width).map((place) => place * place);
  const total = squares.reduce((sum, square) => sum + square, 0);
  return squares.map((square) => square / total);
}
function unpacked(line, [low, high] = [], log = false) {
  if (typeof line !== "string") return line.map((y) => (typeof y === "number" ? y : null));
  const [from, to] = log ? [Math.log(low), Math.log(high)] : [low, high];
  return digits(line, 2).map((place) => {
    if (place > TOP) return null;
    const value = from + (place / TOP) * (to - from);
    return log ? Math.exp(value) : value;
  });
}
const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
async function svgSource(packed) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const plain = new Uint8Array(await new Response(stream).arrayBuffer());
  return `data:image/svg+xml;base64,${base64(plain)}`;
}

/* What was done is told to a screen reader, and shown for a moment. */
function say(words) {
  byId("live").textContent = words;
}
async function copy(words, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    const area = h("textarea", { class: "hidden", "aria-hidden": "true" });
    document.body.append(area);
    area.value = words;
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const label = button.dataset.label ??= button.textContent;
  button.textContent = done ? "Copied" : "Copy failed";
  say(button.textContent);
  setTimeout(() => { button.textContent = label; }, 1600);
}
const copyButton = (label, words, about) => h("button", { type: "button", class: "plain copy", "aria-label": `${label}${about ? `: ${about}` : ""}`, onclick: (event) => copy(words, event.currentTarget) }, label);
