/* Scales, ticks and the frame of a chart. */
class Scale {
  constructor(low, high, log) {
    Object.assign(this, { low, high, log });
  }
  /* Some room around the values; on a log scale only those above zero are asked for. */
  static around(values, log) {
    const low = Math.min(...values), high = Math.max(...values);
    if (log) return new Scale(low / 1.4, Math.min(high * 1.4, Number.MAX_VALUE), true);
    const room = Number.isFinite(high - low) ? (high - low) * 0.06 : 0;
    if (high === low) return new Scale(low - (Math.abs(high) * 0.05 || 0.5), high + (Math.abs(high) * 0.05 || 0.5), false);
    return new Scale(low - room, high + room, false);
  }
  /* A change of a ten-thousandth must not look like a plunge. */
  static calm(values) {
    const low = Math.min(...values), high = Math.max(...values);
    const least = 0.1 * Math.max(Math.abs(low), Math.abs(high));
    const lacking = least - (high - low);
    return lacking > 0 ? Scale.around([low - lacking / 2, high + lacking / 2], false) : Scale.around(values, false);
  }
  place(value) {
    let part;
    if (this.log) {
      if (!(value > 0)) return 0;
      const span = Math.log(this.high) - Math.log(this.low);
      part = span ? (Math.log(value) - Math.log(this.low)) / span : 0.5;
    } else {
      const span = this.high / 2 - this.low / 2;
      part = span ? (value / 2 - this.low / 2) / span : 0.5;
    }
    return Math.min(Math.max(part, 0), 1);
  }
  ticks(most = 5) {
    return this.log ? this.logTicks(most) : this.linearTicks(most);
  }
  linearTicks(most) {
    const width = this.high - this.low, power = 10 ** Math.floor(Math.log10(width / most));
    if (!Number.isFinite(width) || !(power > 0)) return [];
    const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size * most >= width) ?? 10 * power;
    const first = Math.ceil(this.low / step);
    return Array.from({ length: most + 2 }, (_, i) => Number(((first + i) * step).toPrecision(12))).filter((value) => value <= this.high);
  }
  logTicks(most) {
    const first = Math.ceil(Math.log10(this.low)), last = Math.floor(Math.log10(this.high));
    if (last - first < 2) {
      const from = Math.floor(Math.log10(this.low));
      const fine = [0, 1, 2].flatMap((p) => [1, 2, 5].map((m) => m * 10 ** (from + p))).filter((value) => value >= this.low && value <= this.high);
      return fine.length > 2 ? fine : this.linearTicks(most);
    }
    const step = Math.max(1, Math.ceil((last - first) / most));
    return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => Number(`1e${first + i * step}`));
  }
}

const FRAME = { width: 520, left: 58, right: 512, top: 12 };
/* A frame with a numbered y axis; its height says where the x axis is. */
class Frame {
  constructor(xs, y, height = 196) {
    Object.assign(this, { y, height, parts: [], from: xs[0], to: xs[1] });
    for (const tick of y.ticks(height > 150 ? 5 : 4)) {
      const at = this.up(tick);
      this.parts.push(s("path", { class: "g", d: `M${FRAME.left} ${at}H${FRAME.right}` }));
      this.parts.push(s("text", { class: "r", x: FRAME.left - 6, y: at + 4 }, number(tick, y.log ? 0 : y.high - y.low)));
    }
    this.parts.push(s("path", { class: "x", d: `M${FRAME.left} ${height}H${FRAME.right}` }));
  }
  over(x) {
    const span = this.to - this.from;
    return round(FRAME.left + 5 + (FRAME.right - FRAME.left - 10) * (span ? (x - this.from) / span : 0.5));
  }
  up(value) {
    return round(this.height - (this.height - FRAME.top) * this.y.place(value));
  }
  /* One path; a value that is not there lifts the pen, and a lone one is a dot. */
  path(xs, ys, log = this.y.log) {
    let path = "", pen = "M";
    ys.forEach((y, i) => {
      if (y === null || (log && !(y > 0))) {
        pen = "M";
        return;
      }
      path += `${pen}${this.over(xs[i])} ${this.up(y)}`;
      const next = ys[i + 1];
      if (pen === "M" && (next === null || next === undefined || (log && !(next > 0)))) path += "h0";
      pen = "L";
    });
    return path;
  }
  /* A level across the chart, named at its right end. */
  level(value, label, kind) {
    const at = this.up(value), below = at < FRAME.top + 14;
    this.parts.push(s("path", { class: kind, d: `M${FRAME.left} ${at}H${FRAME.right}` }));
    this.parts.push(s("text", { class: "r level", x: FRAME.right - 2, y: below ? at + 13 : at - 4 }, label));
  }
}
const round = (value) => Math.round(value * 10) / 10;

/* A chart that tells the point below the pointer, or the one that the arrow keys have chosen. */
function explorable(svg, label, count, at, tell) {
  let chosen = -1;
  const cursor = s("path", { class: "cursor", d: "" });
  svg.append(cursor);
  const box = h("div", { class: "chart", tabindex: "0", role: "group", "aria-label": `${label}. Arrow keys tell the values.` }, svg);
  const show = (index, where) => {
    chosen = index;
    cursor.setAttribute("d", `M${at(index)} ${FRAME.top}V${svg.dataset.base}`);
    const words = tell(index);
    tip(words, where ?? box.getBoundingClientRect());
    return words;
  };
  const hide = () => { cursor.setAttribute("d", ""); byId("tip").hidden = true; };
  box.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * FRAME.width;
    let best = 0;
    for (let i = 1; i < count; i++) if (Math.abs(at(i) - x) < Math.abs(at(best) - x)) best = i;
    show(best, event);
  }, { passive: true });
  box.addEventListener("pointerleave", hide);
  box.addEventListener("blur", hide);
  box.addEventListener("keydown", (event) => {
    const to = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: count - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    say(show(Math.min(Math.max(to, 0), count - 1)));
  });
  return box;
}
function tip(words, where) {
  const box = byId("tip");
  box.textContent = words;
  box.hidden = false;
  const x = where.clientX ?? where.left + 60, y = where.clientY ?? where.top + 30;
  box.style.setProperty("--x", `${Math.max(Math.min(x + 14, innerWidth - box.offsetWidth - 8), 4)}px`);
  box.style.setProperty("--y", `${Math.max(y - box.offsetHeight - 12, 4)}px`);
}
addEventListener("scroll", () => { byId("tip").hidden = true; }, { passive: true });
