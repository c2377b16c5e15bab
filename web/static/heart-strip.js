// The strip under the scrubber: the ECG as the file carries it, R waves, end diastole and end systole, and where the cine is.
"use strict";
import { NEAR } from "./heart-beats.js";
import { heart, say } from "./heart-words.js";
import { svg } from "./viewer-stage.js";

const THUMB_PX = 16; // of the scrubber: its middle stands over the frame
const HIGH = 52;
const TOP = 14; // room for the flags
const LEAST_MV = 0.2;
const KINDS = ["ed", "es"];

export class HeartStrip {
  #image = null;
  #mine = null;
  #left = 0;
  #width = 0;

  /** `seek(frame)` is asked for the frame under the pointer. */
  constructor(root, scrubber, stage, seek) {
    Object.assign(this, { root, scrubber, stage });
    this.svg = root.querySelector("svg");
    this.trace = root.querySelector("canvas");
    this.needle = svg("line", { class: "needle", y1: 0, y2: HIGH });
    new ResizeObserver(() => this.#measure()).observe(scrubber);
    const go = (event) => seek(this.#frameAt(event.clientX));
    root.addEventListener("pointerdown", (event) => { root.setPointerCapture(event.pointerId); go(event); });
    root.addEventListener("pointermove", (event) => { if (root.hasPointerCapture(event.pointerId)) go(event); });
  }

  take(image) {
    this.#image = image;
    this.#mine = heart.images[image.id];
    this.root.hidden = image.frames < 2;
    this.#measure();
  }

  #measure() {
    const [own, other] = [this.root.getBoundingClientRect(), this.scrubber.getBoundingClientRect()];
    if (!other.width || !this.#image) return;
    this.#left = other.left - own.left + THUMB_PX / 2;
    this.#width = Math.max(1, other.width - THUMB_PX);
    this.svg.setAttribute("viewBox", `0 0 ${this.#width} ${HIGH}`);
    this.root.style.setProperty("--strip-left", `${this.#left}px`);
    this.root.style.setProperty("--strip-width", `${this.#width}px`);
    this.render();
  }

  #x(frame) {
    return ((frame - 1) / Math.max(1, this.#image.frames - 1)) * this.#width;
  }

  /** Where a time in ms after the first frame stands: between the frames around it. */
  #xOf(ms) {
    const times = this.#mine.timesMs;
    if (times.length < 2 || ms < times[0] || ms > times.at(-1)) return null;
    const after = Math.max(1, times.findIndex((time) => time >= ms));
    const share = (ms - times[after - 1]) / Math.max(1e-9, times[after] - times[after - 1]);
    return this.#x(after + share);
  }

  #frameAt(clientX) {
    const share = (clientX - this.root.getBoundingClientRect().left - this.#left) / this.#width;
    return Math.min(this.#image.frames, Math.max(1, 1 + Math.round(share * (this.#image.frames - 1))));
  }

  render() {
    const parts = [...this.#ecg(), ...this.#waves(), ...this.#flags(this.#proposed(), "proposed"), ...this.#flags(this.#mine.beats, "set"), this.needle];
    this.svg.replaceChildren(...parts);
    this.svg.setAttribute("aria-label", this.#words());
    this.at(this.frame ?? 1);
  }

  /** Only what a frame changes: the needle, and the picture of the ECG that the frame itself shows. */
  at(frame) {
    this.frame = frame;
    const x = this.#x(frame);
    this.needle.setAttribute("x1", x);
    this.needle.setAttribute("x2", x);
    this.#picture();
  }

  #ecg() {
    const { ecg } = this.#mine;
    if (!ecg) return [];
    const known = ecg.mv.filter((mv) => mv !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const tall = Math.max(LEAST_MV, high - low);
    const lines = [[]];
    ecg.mv.forEach((mv, index) => {
      const x = this.#xOf(ecg.startMs + index * ecg.stepMs);
      if (mv === null || x === null) { if (lines.at(-1).length) lines.push([]); return; }
      lines.at(-1).push(`${x.toFixed(1)},${(HIGH - 3 - ((mv - low) / tall) * (HIGH - TOP - 4)).toFixed(1)}`);
    });
    return lines.filter((line) => line.length > 1).map((line) => svg("polyline", { class: "ecg", points: line.join(" ") }));
  }

  #waves() {
    return this.#mine.rWavesMs.map((ms) => this.#xOf(ms)).filter((x) => x !== null)
      .map((x) => svg("path", { class: "wave", d: `M${x} ${HIGH - 6}l3 6h-6z` }));
  }

  /** What is proposed where nothing of its kind is marked close by. */
  #proposed() {
    const isMarked = (frame, kind) => this.#mine.beats.some((beat) => beat[kind] !== null && Math.abs(beat[kind] - frame) <= NEAR);
    return this.#mine.proposals.map((beat) => beat.map((frame, kind) => (frame === null || isMarked(frame, kind) ? null : frame)));
  }

  #flags(beats, how) {
    return beats.flatMap((beat) => beat.flatMap((frame, kind) => (frame === null ? [] : [this.#flag(frame, kind, how)])));
  }

  #flag(frame, kind, how) {
    const x = this.#x(frame);
    const isLate = x > this.#width - 20;
    const group = svg("g", { class: `flag ${KINDS[kind]} ${how}`, "data-frame": frame });
    const word = svg("text", { x: x + (isLate ? -3 : 3), y: 10, "text-anchor": isLate ? "end" : "start" });
    word.textContent = say(KINDS[kind]);
    group.append(svg("line", { x1: x, x2: x, y1: 0, y2: HIGH }), word);
    return group;
  }

  #picture() {
    const { ecg, trace } = this.#mine;
    this.trace.hidden = Boolean(ecg) || !trace;
    if (this.trace.hidden) return;
    const [x0, y0, x1, y1] = trace;
    const [width, height] = [x1 - x0 + 1, y1 - y0 + 1];
    if (this.trace.width !== width || this.trace.height !== height) Object.assign(this.trace, { width, height });
    this.trace.getContext("2d").drawImage(this.stage.canvas, x0, y0, width, height, 0, 0, width, height);
  }

  #words() {
    const what = this.#mine.ecg ? say("strip_ecg") : this.#mine.trace ? say("strip_trace") : say("strip_no_ecg");
    const beats = this.#mine.beats.map(([ed, es]) => `${say("ed")} ${ed ?? "–"} ${say("es")} ${es ?? "–"}`);
    return [what, ...beats].join(", ");
  }
}
