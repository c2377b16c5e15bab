// The pointer over the picture while ROIs are drawn: take hold of a shape or a vertex, draw, pan, window; mouse, pen, touch.
"use strict";
import { moved, pulled, withVertex } from "./shape-edits.js";

const STILL_PX = 3;

export class Hand {
  #drag = null;

  /** `told` has isOn, frame, select(id, isMore) and place(id, points, frame). */
  constructor(stage, shapes, sketch, look, told) {
    Object.assign(this, { stage, shapes, sketch, look, told });
    stage.root.addEventListener("pointerdown", (event) => this.#down(event));
    stage.root.addEventListener("pointermove", (event) => this.#move(event));
    stage.root.addEventListener("pointerup", (event) => this.#up(event));
    stage.root.addEventListener("pointercancel", () => this.#cancel());
    stage.root.addEventListener("contextmenu", (event) => event.preventDefault());
    shapes.layer.addEventListener("focusin", (event) => {
      const { id } = event.target.dataset;
      if (id && !shapes.selected.includes(id)) told.select(id);
    });
  }

  get #size() {
    return [this.stage.columns, this.stage.rows];
  }

  #down(event) {
    if (!this.told.isOn || this.#drag || event.target.closest("button, a, summary, details")) return;
    const isFirst = event.button === 0 && !event.altKey;
    const held = isFirst && this.shapes.isEditable ? event.target.closest(".handle") : null;
    if (event.button === 2 || (event.button === 0 && event.altKey)) this.#windowing(event);
    else if (held) this.#hold(event, held);
    else if (isFirst && this.sketch.tool) this.#drag = { pointer: event.pointerId, isSketch: true, ended: this.sketch.press(event) };
    else if (isFirst && event.target.closest(".shape")) this.#take(event, event.target.closest(".shape").dataset.id);
    else this.#drag = { pointer: event.pointerId, isPan: true, x: event.clientX, y: event.clientY, far: 0 };
    this.stage.root.setPointerCapture(event.pointerId);
    if (!held && !event.target.closest(".shape")) this.stage.root.focus({ preventScroll: true });
    event.preventDefault();
  }

  #windowing(event) {
    this.look.press(event);
    this.#drag = { pointer: event.pointerId, isLook: true };
  }

  #take(event, id) {
    this.told.select(id, event.shiftKey);
    this.shapes.focus(id);
    const item = this.shapes.item(id);
    if (!item || !this.shapes.isEditable || event.shiftKey) return;
    const [x, y] = this.stage.toImage(event.clientX, event.clientY);
    this.#start(event, item, item.points, (to) => moved(item.kind, item.points, to[0] - x, to[1] - y, this.#size));
  }

  #hold(event, held) {
    const item = this.shapes.item(this.shapes.selected[0]);
    const { index, middle } = held.dataset;
    if (index === undefined) {
      const after = Number(middle);
      const place = this.stage.toImage(event.clientX, event.clientY);
      const points = withVertex(item.kind, item.points, after, place, this.#size);
      this.#start(event, item, points, (to) => pulled(item.kind, points, after + 1, to, this.#size));
      this.#drag.isNew = true;
      this.shapes.preview(item.id, points);
    } else this.#start(event, item, item.points, (to) => pulled(item.kind, item.points, Number(index), to, this.#size));
    held.focus({ preventScroll: true });
  }

  #start(event, item, points, to) {
    this.#drag = { pointer: event.pointerId, frame: this.told.frame, item, points, to, x: event.clientX, y: event.clientY, isMoved: false };
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag) {
      if (this.told.isOn && this.sketch.isOpen) this.sketch.move(event);
      return;
    }
    if (event.pointerId !== drag.pointer) return;
    if (drag.isLook) this.look.drag(event);
    else if (drag.isSketch) this.sketch.move(event);
    else if (drag.isPan) this.#pan(event, drag);
    else {
      drag.isMoved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > STILL_PX;
      if (!drag.isMoved) return;
      drag.points = drag.to(this.stage.toImage(event.clientX, event.clientY));
      this.shapes.preview(drag.item.id, drag.points);
    }
  }

  #pan(event, drag) {
    this.stage.pan(event.clientX - drag.x, event.clientY - drag.y);
    drag.far += Math.abs(event.clientX - drag.x) + Math.abs(event.clientY - drag.y);
    Object.assign(drag, { x: event.clientX, y: event.clientY });
  }

  #up(event) {
    const drag = this.#drag;
    if (!drag || event.pointerId !== drag.pointer) return;
    this.#drag = null;
    if (drag.isSketch) this.sketch.release(event);
    else if (drag.isPan && drag.far <= STILL_PX) this.told.select(null);
    else if (drag.item) {
      this.shapes.preview(null);
      if (drag.isMoved || drag.isNew) this.told.place(drag.item.id, drag.points, drag.frame);
    }
  }

  #cancel() {
    if (this.#drag?.isSketch) this.sketch.cancel();
    this.shapes.preview(null);
    this.#drag = null;
  }
}

/** Two fingers on the picture zoom and pan it; what the first of them had begun is taken back. */
export function pinching(stage) {
  const fingers = new Map();
  const middle = () => {
    const [one, other] = [...fingers.values()];
    return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, far: Math.hypot(one.x - other.x, one.y - other.y) || 1 };
  };
  let isPinch = false;
  stage.root.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size === 2) {
      const [first] = fingers.keys();
      stage.root.dispatchEvent(new PointerEvent("pointercancel", { pointerId: first }));
      isPinch = true;
    }
    if (fingers.size > 1) event.stopImmediatePropagation();
  }, true);
  stage.root.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = fingers.size > 1 ? middle() : null;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (!isPinch) return;
    event.stopImmediatePropagation();
    if (!before) return;
    const now = middle();
    stage.zoom(now.far / before.far, now.x, now.y);
    stage.pan(now.x - before.x, now.y - before.y);
  }, true);
  for (const kind of ["pointerup", "pointercancel"]) {
    stage.root.addEventListener(kind, (event) => {
      if (!event.isTrusted || !fingers.delete(event.pointerId) || !isPinch) return;
      event.stopImmediatePropagation();
      if (!fingers.size) isPinch = false;
    }, true);
  }
}
