// M-mode from the cine: what lies under a line on the picture, frame after frame, beside each other.
"use strict";
import { Handles, inside, stop } from "./heart-handles.js";
import { fixed, heart, say } from "./heart-words.js";
import { svg } from "./viewer-stage.js";

const MOST_SAMPLES = 400;
const LEAST_PX = 10;
const TICKS_MM = [5, 10, 20, 50];
const TICKS_S = [0.1, 0.2, 0.5, 1, 2];
const APART_PX = 44;

export class MMode {
  isOn = false;
  line = null; // [[x, y], [x, y]] from the probe downwards, in pixels of the frame
  #image = null;
  #frame = 1;
  #turn = 0;
  #drag = null;

  /** `frames` gives bitmaps by number, `seek(frame)` is asked for the frame under the pointer. */
  constructor(root, stage, layer, frames, seek) {
    Object.assign(this, { root, stage, frames });
    this.picture = root.querySelector("canvas");
    this.axes = root.querySelector("svg");
    this.note = root.querySelector("p");
    this.drawn = layer.querySelector(".heart-lines");
    this.handles = new Handles(stage, layer.querySelector(".heart-points"), {
      moved: (at, isDone) => { this.line = [...this.handles.points]; this.render(); if (isDone) this.make(); },
      removed: () => {},
    });
    for (const [kind, deed] of [["pointerdown", "#down"], ["pointermove", "#move"], ["pointerup", "#up"], ["pointercancel", "#up"]]) {
      stage.root.addEventListener(kind, (event) => this.#pointer(deed, event), true);
    }
    const go = (event) => { const box = this.axes.getBoundingClientRect(); seek(this.#frameAt((event.clientX - box.left) / box.width)); };
    this.axes.addEventListener("pointerdown", (event) => { this.axes.setPointerCapture(event.pointerId); go(event); });
    this.axes.addEventListener("pointermove", (event) => { if (this.axes.hasPointerCapture(event.pointerId)) go(event); });
    new ResizeObserver(() => { if (this.isOn) this.#axes(); }).observe(this.axes);
  }

  take(image) {
    this.#image = image;
    this.#turn += 1;
    this.line = null;
    if (this.isOn) this.use(image.frames > 1);
  }

  at(frame) {
    this.#frame = frame;
    const x = `${(100 * (frame - 0.5)) / this.#image.frames}%`;
    const needle = this.axes.querySelector(".needle");
    needle?.setAttribute("x1", x);
    needle?.setAttribute("x2", x);
  }

  /** A line down the middle of the ultrasound region until a hand draws another one. */
  use(isOn) {
    this.isOn = isOn && this.#image.frames > 1;
    this.root.hidden = !this.isOn;
    if (this.isOn && !this.line) this.line = this.#usual();
    this.render();
    if (this.isOn) this.make();
    else this.#turn += 1;
  }

  #usual() {
    const { columns, rows, regions } = this.#image;
    const region = regions.find((one) => one.mmPerPx) ?? { x0: 0, y0: 0, x1: columns, y1: rows };
    const x = Math.round((region.x0 + region.x1) / 2);
    const tall = region.y1 - region.y0;
    return [[x, Math.round(region.y0 + tall * 0.1)], [x, Math.round(region.y1 - tall * 0.1)]];
  }

  render() {
    const [a, b] = this.isOn ? this.line : [];
    this.drawn.replaceChildren(...(a ? [svg("line", { class: "mline", x1: a[0], y1: a[1], x2: b[0], y2: b[1] })] : []));
    this.handles.show(a ? [a, b] : [], (at) => ({ name: say(at ? "line_end" : "line_start"), kind: "mpoint", isSquare: false }));
  }

  // A new line is dragged where no handle is

  #pointer(deed, event) {
    if (deed === "#down") {
      if (!this.isOn || event.button !== 0 || event.target.closest("button, a, .heart-point, .shape, .box")) return;
      this.#drag = { id: event.pointerId, from: inside(this.stage, this.stage.toImage(event.clientX, event.clientY)) };
      this.stage.root.setPointerCapture(event.pointerId);
    } else if (this.#drag?.id !== event.pointerId) return;
    const to = inside(this.stage, this.stage.toImage(event.clientX, event.clientY));
    const isLong = Math.hypot(to[0] - this.#drag.from[0], to[1] - this.#drag.from[1]) >= LEAST_PX;
    if (isLong) this.line = [this.#drag.from, to];
    if (deed === "#up") {
      this.#drag = null;
      if (isLong) this.make();
    }
    this.render();
    stop(event);
  }

  // The picture: a column a frame; each is the bitmap turned so that the line runs down a canvas one pixel wide

  get length() {
    const [[ax, ay], [bx, by]] = this.line;
    return Math.hypot(bx - ax, by - ay);
  }

  async make() {
    const image = this.#image;
    const mine = ++this.#turn;
    const samples = Math.max(2, Math.min(MOST_SAMPLES, Math.round(this.length)));
    Object.assign(this.picture, { width: image.frames, height: samples });
    const whole = this.picture.getContext("2d", { alpha: false });
    const column = new OffscreenCanvas(1, samples).getContext("2d", { alpha: false });
    this.#axes();
    for (let frame = 1; frame <= image.frames; frame += 1) {
      let bitmap;
      try {
        bitmap = this.frames.peek(image, frame) ?? await this.frames.get(image, frame);
      } catch {
        if (mine === this.#turn) this.note.textContent = say("mmode_failed");
        return;
      }
      if (mine !== this.#turn) return;
      column.setTransform(...this.#turned(samples));
      column.drawImage(bitmap, 0, 0, image.columns, image.rows);
      whole.drawImage(column.canvas, frame - 1, 0);
      if (frame % 8 === 0) this.note.textContent = say("mmode_work", { frame, frames: image.frames });
    }
    this.note.textContent = "";
    this.root.dataset.made = `${image.id} ${image.frames} ${samples}`;
  }

  /** Pixels of the frame to the column: along the line downwards, across it sideways. */
  #turned(samples) {
    const [[ax, ay], [bx, by]] = this.line;
    const long = this.length;
    const [ux, uy] = [(bx - ax) / long, (by - ay) / long];
    const scale = samples / long;
    return [uy, ux * scale, -ux, uy * scale, 0.5 - (uy * ax - ux * ay), -scale * (ux * ax + uy * ay)];
  }

  #frameAt(share) {
    return Math.min(this.#image.frames, Math.max(1, Math.ceil(share * this.#image.frames)));
  }

  // The axes: seconds across, millimetres down where the line lies in a region that has a scale

  get mm() {
    const [[ax, ay], [bx, by]] = this.line;
    const holds = ({ x0, y0, x1, y1 }, [x, y]) => x0 <= x && x <= x1 + 1 && y0 <= y && y <= y1 + 1;
    const region = this.#image.regions.find((one) => one.mmPerPx && this.line.every((point) => holds(one, point)));
    return region ? Math.hypot((bx - ax) * region.mmPerPx[0], (by - ay) * region.mmPerPx[1]) : null;
  }

  #axes() {
    const { clientWidth: width, clientHeight: height } = this.axes;
    if (!this.line || !width || !height) return;
    const times = heart.images[this.#image.id].timesMs;
    const seconds = times.length > 1 ? (times.at(-1) - times[0]) / 1000 : null;
    const parts = [...this.#scale(seconds, TICKS_S, width, true), ...this.#scale(this.mm, TICKS_MM, height, false)];
    this.axes.replaceChildren(...parts, svg("line", { class: "needle", y1: 0, y2: "100%" }));
    this.axes.setAttribute("aria-label", say("mmode_is", { length: this.mm === null ? say("unknown") : `${fixed(this.mm, 0)} mm` }));
    this.at(this.#frame);
  }

  #scale(whole, steps, room, isTime) {
    if (!whole) return [];
    const step = steps.find((one) => (one / whole) * room >= APART_PX) ?? steps.at(-1);
    const count = Math.floor(whole / step);
    return Array.from({ length: count }, (_, index) => (index + 1) * step).flatMap((value) => {
      const at = `${(100 * value) / whole}%`;
      const tick = isTime ? { x1: at, x2: at, y1: "100%", y2: "94%" } : { x1: 0, x2: 6, y1: at, y2: at };
      const word = svg("text", isTime ? { x: at, y: "92%", "text-anchor": "middle" } : { x: 9, y: at, "dominant-baseline": "middle" });
      word.textContent = isTime ? `${fixed(value, step < 1 ? 1 : 0)} s` : `${value} mm`;
      return [svg("line", { class: "tick", ...tick }), word];
    });
  }
}
