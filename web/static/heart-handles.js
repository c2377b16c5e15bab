// Points on the picture that a hand drags and the arrow keys nudge: those of a contour, and the ends of an M-mode line.
"use strict";
import { svg } from "./viewer-stage.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const RADIUS = 5;

/** A hundredth of a pixel is finer than any hand; nothing leaves the frame. */
export const inside = (stage, [x, y]) => [[x, stage.columns], [y, stage.rows]].map(([value, most]) => Math.round(Math.min(Math.max(0, value), most) * 100) / 100);

export class Handles {
  points = [];
  #drag = null;

  /** `told` hears moved(index, isDone), removed(index), key(event, index); `layer` is a group of the overlay. */
  constructor(stage, layer, told) {
    Object.assign(this, { stage, layer, told });
    layer.addEventListener("keydown", (event) => this.#key(event));
    const root = stage.root;
    root.addEventListener("pointerdown", (event) => this.#down(event), true);
    root.addEventListener("pointermove", (event) => this.#move(event), true);
    for (const kind of ["pointerup", "pointercancel"]) root.addEventListener(kind, (event) => this.#up(event), true);
  }

  /** `points` [[x, y], ...] in pixels of the frame, `look(index)` the class and name of each. */
  show(points, look) {
    this.points = points;
    const focused = this.layer.contains(document.activeElement) ? Number(document.activeElement.dataset.at) : null;
    const size = RADIUS / this.stage.scale;
    this.layer.replaceChildren(...points.map(([x, y], at) => {
      const { name, kind, isSquare } = look(at);
      const shape = isSquare
        ? svg("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size })
        : svg("circle", { cx: x, cy: y, r: size });
      for (const [key, value] of Object.entries({ class: `heart-point ${kind}`, tabindex: 0, role: "button", "aria-label": name, "data-at": at })) shape.setAttribute(key, value);
      return shape;
    }));
    if (focused !== null) this.focus(focused);
  }

  get focused() {
    return this.layer.contains(document.activeElement) ? Number(document.activeElement.dataset.at) : null;
  }

  focus(at) {
    this.layer.children[Math.min(at, this.layer.children.length - 1)]?.focus({ preventScroll: true });
  }

  #down(event) {
    if (event.button !== 0 || !this.layer.contains(event.target)) return;
    this.#drag = { at: Number(event.target.dataset.at), id: event.pointerId, isMoved: false };
    this.focus(this.#drag.at);
    this.stage.root.setPointerCapture(event.pointerId);
    stop(event);
  }

  #move(event) {
    if (this.#drag?.id !== event.pointerId) return;
    this.#drag.isMoved = true;
    this.points[this.#drag.at] = inside(this.stage, this.stage.toImage(event.clientX, event.clientY));
    this.told.moved(this.#drag.at, false);
    stop(event);
  }

  #up(event) {
    if (this.#drag?.id !== event.pointerId) return;
    const { at, isMoved } = this.#drag;
    this.#drag = null;
    if (isMoved) this.told.moved(at, true);
    stop(event);
  }

  #key(event) {
    const at = this.focused;
    const arrow = ARROWS[event.code];
    if (at === null || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow) {
      const [dx, dy] = arrow.map((part) => part * (event.shiftKey ? 10 : 1));
      this.points[at] = inside(this.stage, [this.points[at][0] + dx, this.points[at][1] + dy]);
      this.told.moved(at, true);
    } else if (event.code === "Delete" || event.code === "Backspace") this.told.removed(at);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Nobody else hears of it. */
export function stop(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}
