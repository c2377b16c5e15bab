// The contour of the left ventricle: drawn by clicks from one end of the mitral plane over the apex to the other, on any frame.
"use strict";
import { Handles, inside, stop } from "./heart-handles.js";
import { heart, say } from "./heart-words.js";
import { openSpline } from "./tracks.js";
import { save } from "./case-save.js";
import { svg } from "./viewer-stage.js";
import { data, newId } from "./viewer-words.js";

const FEWEST = 5;
const PAUSE_MS = 400;
const NEAR_PX = 8; // on the screen

const way = (points) => (points.length < 2 ? "" : `M${openSpline(points).map((point) => point.join(" ")).join("L")}`);

export class Contour {
  isOn = false;
  draft = [];
  #image = null;
  #frame = 1;
  #timer = 0;

  /** `told` hears changed() of what is drawn, saved() and failed(error) of what the server says. */
  constructor(stage, layer, told) {
    Object.assign(this, { stage, layer, told });
    this.lines = layer.querySelector(".heart-lines");
    this.handles = new Handles(stage, layer.querySelector(".heart-points"), {
      moved: (at, isDone) => this.#moved(isDone),
      removed: (at) => this.#removed(at),
    });
    stage.root.addEventListener("pointerdown", (event) => this.#click(event), true);
    addEventListener("pagehide", () => this.#flush());
  }

  // What there is

  get #mine() {
    return heart.images[this.#image.id];
  }

  /** [[frame, points], ...] in the order of the frames. */
  get keyframes() {
    return this.#mine.contour?.keyframes ?? [];
  }

  get here() {
    return this.keyframes.find(([frame]) => frame === this.#frame)?.[1] ?? null;
  }

  /** The drawn frame nearest to this one, never itself. */
  get nearest() {
    const others = this.keyframes.filter(([frame]) => frame !== this.#frame);
    return others.sort((a, b) => Math.abs(a[0] - this.#frame) - Math.abs(b[0] - this.#frame))[0] ?? null;
  }

  #isUncertain(at) {
    return (this.#mine.contour?.uncertain ?? []).some(([frame, index]) => frame === this.#frame && index === at);
  }

  take(image) {
    this.#flush();
    this.#image = image;
    this.draft = [];
  }

  at(frame) {
    if (frame !== this.#frame) this.draft = [];
    this.#frame = frame;
    this.render();
  }

  use(isOn) {
    this.isOn = isOn && data.mayCurate;
    this.draft = [];
    this.render();
  }

  render() {
    if (!this.#image) return;
    const points = this.here ?? this.draft;
    const ghost = this.isOn && !this.here ? this.nearest?.[1] : null;
    this.lines.replaceChildren(...(ghost ? [svg("path", { class: "ghost", d: way(ghost) })] : []), ...this.#drawn(points));
    this.handles.show(data.mayCurate ? points : [], (at) => this.#look(at, points.length));
  }

  #drawn(points) {
    if (points.length < 2) return [];
    const [[ax, ay], [bx, by]] = [points[0], points.at(-1)];
    const plane = this.here ? [svg("line", { class: "plane", x1: ax, y1: ay, x2: bx, y2: by })] : [];
    return [...plane, svg("path", { class: `contour${this.here ? "" : " drawing"}`, d: way(points) })];
  }

  #look(at, count) {
    const isEnd = at === 0 || (Boolean(this.here) && at === count - 1);
    const isUncertain = this.#isUncertain(at);
    const name = `${say(isEnd ? "point_end" : "point", { n: at + 1, count })}${isUncertain ? ` ${say("point_uncertain")}` : ""}`;
    return { name, isSquare: isEnd, kind: `${isEnd ? "end" : ""}${isUncertain ? " uncertain" : ""}` };
  }

  // Drawn

  #click(event) {
    if (!this.isOn || event.button !== 0 || event.target.closest("button, a")) return;
    const place = inside(this.stage, this.stage.toImage(event.clientX, event.clientY));
    if (!this.here) this.draft.push(place);
    else if (!this.#insert(place)) return;
    this.render();
    this.told.changed();
    this.stage.root.focus({ preventScroll: true });
    stop(event);
  }

  /** A point on the line, where it is clicked; the others keep their marks. */
  #insert(place) {
    const points = this.here;
    const dense = openSpline(points);
    const steps = (dense.length - 1) / (points.length - 1);
    const far = dense.map(([x, y]) => Math.hypot(x - place[0], y - place[1]));
    const at = far.indexOf(Math.min(...far));
    if (far[at] * this.stage.scale > NEAR_PX) return false;
    const index = Math.min(points.length - 1, Math.floor(at / steps) + 1);
    points.splice(index, 0, place);
    this.#shift(index, 1);
    this.#later();
    return true;
  }

  /** The draft is the contour of this frame. False while it has too few points. */
  finish() {
    if (this.draft.length < FEWEST) return false;
    this.#put(this.draft);
    this.draft = [];
    return true;
  }

  back() {
    if (!this.draft.length) return false;
    this.draft.pop();
    this.render();
    this.told.changed();
    return true;
  }

  drop() {
    if (!this.draft.length) return false;
    this.draft = [];
    this.render();
    this.told.changed();
    return true;
  }

  copy() {
    const from = this.nearest;
    if (!from || this.here) return false;
    const marks = (this.#mine.contour.uncertain ?? []).filter(([frame]) => frame === from[0]);
    this.#mine.contour.uncertain.push(...marks.map(([, index]) => [this.#frame, index]));
    this.#put(from[1].map((point) => [...point]));
    this.handles.focus(0);
    return true;
  }

  /** The point that has the focus is uncertain, or is no longer. */
  doubt() {
    const at = this.handles.focused;
    if (at === null || !this.here) return false;
    const { contour } = this.#mine;
    const isMarked = this.#isUncertain(at);
    contour.uncertain = isMarked
      ? contour.uncertain.filter(([frame, index]) => frame !== this.#frame || index !== at)
      : [...contour.uncertain, [this.#frame, at]];
    this.#later();
    return true;
  }

  /** Takes the contour of this frame away. */
  remove() {
    if (!this.here) return false;
    const { contour } = this.#mine;
    contour.keyframes = contour.keyframes.filter(([frame]) => frame !== this.#frame);
    contour.uncertain = contour.uncertain.filter(([frame]) => frame !== this.#frame);
    this.#later();
    return true;
  }

  /** A border that was proposed is the contour of its frame, in place of one that is there. The id of the contour once it
   *  is saved; null when it was refused. */
  async takeUp(frame, points) {
    this.draft = [];
    this.#put(points.map((point) => [...point]), frame);
    const { id } = this.#mine.contour;
    return (await this.#flush()) ? id : null;
  }

  #put(points, at = this.#frame) {
    this.#mine.contour ??= { id: newId(), lesionId: newId(), version: 0, keyframes: [], uncertain: [], isNew: true };
    const { contour } = this.#mine;
    const others = contour.keyframes.filter(([frame]) => frame !== at);
    if (others.length < contour.keyframes.length) contour.uncertain = contour.uncertain.filter(([frame]) => frame !== at);
    contour.keyframes = [...others, [at, points]].sort((a, b) => a[0] - b[0]);
    this.#later();
  }

  #moved(isDone) {
    if (this.here && isDone) this.#later();
    else this.render();
  }

  /** The ends stay: they stand on the mitral plane. */
  #removed(at) {
    const points = this.here ?? this.draft;
    if (this.here && (points.length <= FEWEST || at === 0 || at === points.length - 1)) return;
    points.splice(at, 1);
    if (!this.here) { this.render(); return; }
    const { contour } = this.#mine;
    contour.uncertain = contour.uncertain.filter(([frame, index]) => frame !== this.#frame || index !== at);
    this.#shift(at, -1);
    this.#later();
  }

  /** The marks of the points from this one on move along. */
  #shift(from, by) {
    const { contour } = this.#mine;
    contour.uncertain = contour.uncertain.map(([frame, index]) => [frame, frame === this.#frame && index >= from ? index + by : index]);
  }

  // Saved

  #later() {
    this.render();
    this.told.changed();
    clearTimeout(this.#timer);
    const image = this.#image;
    this.waiting = () => { this.waiting = null; return this.#save(image); };
    this.#timer = setTimeout(() => this.waiting?.(), PAUSE_MS);
  }

  #flush() {
    clearTimeout(this.#timer);
    return this.waiting?.();
  }

  /** Whether the server has it now. */
  async #save(image) {
    const mine = heart.images[image.id];
    const { contour } = mine;
    const isGone = contour.keyframes.length === 0;
    if (isGone) mine.contour = null;
    if (isGone && contour.isNew) return false;
    const isNew = contour.isNew;
    contour.isNew = false;
    const path = isNew ? `/cases/${data.caseId}/images/${image.id}/rois` : `/cases/${data.caseId}/rois/${contour.id}`;
    const shape = { kind: "line", use: "lv", label: "", margin: 0, lesionId: contour.lesionId };
    const drawn = isGone ? {} : { ...shape, keyframes: contour.keyframes, uncertain: contour.uncertain, outOfView: [] };
    try {
      const told = await save(isNew ? "POST" : "PUT", path, () => ({
        id: contour.id, ...drawn, ...(isNew ? {} : { version: contour.version || 1, deleted: isGone }),
      }));
      contour.version = told.version;
      this.told.saved();
      return true;
    } catch (error) {
      this.told.failed(error);
      return false;
    }
  }
}
