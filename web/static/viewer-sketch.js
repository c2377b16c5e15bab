// A shape while it is being drawn: by a drag or by clicks, closed by a double click or Enter, dropped by Escape.
"use strict";
import { closed, drawn, inside } from "./shape-edits.js";
import { sketchPath } from "./shape-paths.js";

/** Each tool: the kind and use of what it draws, and how: between two places, through many, or at one. */
export const TOOLS = {
  rectangle: { kind: "rectangle", use: "lesion", by: "two" },
  ellipse: { kind: "ellipse", use: "lesion", by: "two" },
  polygon: { kind: "polygon", use: "lesion", by: "many" },
  spline: { kind: "spline", use: "lesion", by: "many" },
  caliper: { kind: "points", use: "caliper", by: "two" },
  landmark: { kind: "points", use: "landmark", by: "one" },
};
const STILL_PX = 4; // on the screen: less is a click
const NEAR_PX = 9; // a click this near to the first point closes
const TWICE_MS = 400;
const FREE_PX = 14; // a held pointer leaves a vertex so often

export class Sketch {
  tool = null;
  points = [];
  #next = null;
  #press = null;
  #last = { x: 0, y: 0, at: -Infinity };
  #frame = 1;

  /** `told` has frame, done(tool, points, frame) and changed(). */
  constructor(stage, told) {
    Object.assign(this, { stage, told });
  }

  get isOpen() {
    return this.points.length > 0;
  }

  get #size() {
    return [this.stage.columns, this.stage.rows];
  }

  use(name) {
    this.drop();
    this.tool = TOOLS[name] ?? null;
  }

  press(event) {
    const place = this.stage.toImage(event.clientX, event.clientY);
    const before = this.#last;
    this.#last = { x: event.clientX, y: event.clientY, at: event.timeStamp };
    if (this.tool.by === "many" && this.isOpen && this.#closes(event, before)) return this.close();
    this.#press = { x: event.clientX, y: event.clientY, isDrag: false };
    if (!this.isOpen) this.#frame = this.told.frame;
    if (this.tool.by === "one") return this.#done([inside(place, this.#size)]);
    if (!this.isOpen || this.tool.by === "many") this.points.push(place);
    this.#next = place;
    return this.told.changed();
  }

  /** Two clicks in one place, or one on the first point of an outline. */
  #closes(event, before) {
    const [x, y] = this.stage.toImage(event.clientX, event.clientY);
    const [fx, fy] = this.points[0];
    const isTwice = event.timeStamp - before.at < TWICE_MS && Math.hypot(event.clientX - before.x, event.clientY - before.y) < NEAR_PX;
    return isTwice || (this.points.length > 2 && Math.hypot(x - fx, y - fy) * this.stage.scale < NEAR_PX);
  }

  move(event) {
    if (!this.isOpen) return;
    this.#next = this.stage.toImage(event.clientX, event.clientY);
    const press = this.#press;
    if (press) {
      const way = Math.hypot(event.clientX - press.x, event.clientY - press.y);
      if (way > STILL_PX) press.isDrag = true;
      if (this.tool.by === "many" && way > FREE_PX) {
        this.points.push(this.#next);
        Object.assign(press, { x: event.clientX, y: event.clientY });
      }
    }
    this.told.changed();
  }

  release(event) {
    const press = this.#press;
    this.#press = null;
    if (!press || !this.isOpen || this.tool.by !== "two") return;
    const place = this.stage.toImage(event.clientX, event.clientY);
    const points = drawn(this.tool.kind, this.points[0], place, this.#size);
    if (points) this.#done(points);
    else if (press.isDrag) this.drop();
  }

  /** The pointer was taken away (a second finger came): what this press began goes. */
  cancel() {
    this.#press = null;
    if (this.tool?.by === "many") this.back();
    else this.drop();
  }

  /** Enter or a double click: an outline is whole; with nothing drawn yet a shape is put in the middle. */
  close() {
    if (!this.tool) return false;
    if (this.tool.by === "many" && this.isOpen) {
      const points = closed(this.tool.kind, this.points, this.#size);
      if (points) this.#done(points);
      return true;
    }
    return false;
  }

  /** A shape in the middle of what is seen, for hands without a pointer. */
  put() {
    if (!this.tool || this.isOpen) return false;
    const { left, top, width, height } = this.stage.root.getBoundingClientRect();
    const [x, y] = this.stage.toImage(left + width / 2, top + height / 2);
    const reach = Math.min(this.stage.columns, this.stage.rows) / 8;
    this.#frame = this.told.frame;
    if (this.tool.by === "one") this.#done([[x, y]]);
    else if (this.tool.by === "two") this.#done(drawn(this.tool.kind, [x - reach, y - reach], [x + reach, y + reach], this.#size));
    else {
      const turns = [0, 1, 2, 3, 4, 5].map((index) => (index * Math.PI) / 3);
      this.#done(closed(this.tool.kind, turns.map((turn) => [x + reach * Math.cos(turn), y + reach * Math.sin(turn)]), this.#size));
    }
    return true;
  }

  back() {
    if (!this.isOpen) return false;
    this.points.pop();
    this.told.changed();
    return true;
  }

  drop() {
    if (!this.isOpen) return false;
    this.points = [];
    this.#next = null;
    this.told.changed();
    return true;
  }

  /** The path of what is there, "" for nothing. */
  path(scale) {
    if (!this.isOpen) return "";
    if (this.tool.by === "two" && this.tool.kind !== "points") {
      const [[ax, ay], [bx, by]] = [this.points[0], this.#next];
      if (this.tool.kind === "rectangle") return `M${ax} ${ay}H${bx}V${by}H${ax}Z`;
      const [rx, ry] = [Math.abs(bx - ax) / 2, Math.abs(by - ay) / 2];
      return `M${Math.min(ax, bx)} ${(ay + by) / 2}a${rx} ${ry} 0 1 1 ${2 * rx} 0a${rx} ${ry} 0 1 1 ${-2 * rx} 0Z`;
    }
    return sketchPath(this.tool.kind, this.points, this.#next, scale);
  }

  #done(points) {
    const [tool, frame] = [this.tool, this.#frame];
    this.points = [];
    this.#next = this.#press = null;
    this.told.done(tool, points, frame);
    this.told.changed();
  }
}
