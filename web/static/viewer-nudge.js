// The chosen object by keyboard: moved and stretched by the arrow keys, a vertex moved, added, deleted.
"use strict";
import { grown, handles, isOutline, moved, pulled, withVertex, withoutVertex } from "./shape-edits.js";
import { pointsAt } from "./track-edits.js";
import { data, t } from "./viewer-words.js";

export class Nudge {
  /** `viewer` has rois, shapes, stage, sketch, tracks, frame and say(words, tone). */
  constructor(viewer) {
    this.viewer = viewer;
  }

  get #size() {
    const { stage } = this.viewer;
    return [stage.columns, stage.rows];
  }

  /** The number of the vertex or axis that has the focus; null for none. */
  get #vertex() {
    const { index } = document.activeElement.closest?.("#handles .handle")?.dataset ?? {};
    return index === undefined ? null : Number(index);
  }

  get #middle() {
    const { middle } = document.activeElement.closest?.("#handles .handle")?.dataset ?? {};
    return middle === undefined ? null : Number(middle);
  }

  /** The chosen object and what it shows on this frame, if that can be changed. */
  get #target() {
    const { rois, shapes, frame } = this.viewer;
    const roi = shapes.selected.length === 1 ? rois.selected : null;
    const points = roi && data.mayCurate ? pointsAt(roi, frame) : null;
    return points ? { roi, points } : null;
  }

  /** Arrow keys: by so many pixels the vertex that has the focus, else the object; with Alt its lower right. */
  move([dx, dy], isStretched) {
    const { active, viewer } = { active: document.activeElement, viewer: this.viewer };
    const target = this.#target;
    if (!target || viewer.mode !== "look" || !(active === document.body || viewer.stage.root.contains(active))) return false;
    const { roi, points } = target;
    const { kind } = roi;
    const vertex = this.#vertex;
    let made = moved(kind, points, dx, dy, this.#size);
    if (vertex !== null) {
      const { x, y } = handles(kind, points)[vertex];
      made = pulled(kind, points, vertex, [x + dx, y + dy], this.#size);
    } else if (isStretched) made = grown(kind, points, dx, dy, this.#size);
    viewer.rois.put(roi, viewer.frame, made);
    return true;
  }

  /** A vertex in the middle of the edge that has the focus, or after the vertex that has it. */
  addVertex(isOnEdge = false) {
    const target = this.#target;
    const after = this.#middle ?? (isOnEdge ? null : this.#vertex);
    if (!target || after === null || !isOutline(target.roi.kind)) return false;
    const { roi, points } = target;
    const next = points[(after + 1) % points.length];
    const place = [(points[after][0] + next[0]) / 2, (points[after][1] + next[1]) / 2];
    this.viewer.rois.put(roi, this.viewer.frame, withVertex(roi.kind, points, after, place, this.#size));
    return true;
  }

  /** The vertex that has the focus, else the chosen object. */
  remove() {
    const { rois, shapes, proposals, frame } = this.viewer;
    const vertex = this.#vertex;
    const target = this.#target;
    if (vertex !== null && target) {
      const left = withoutVertex(target.roi.kind, target.points, vertex, this.#size);
      if (left) rois.put(target.roi, frame, left);
      else this.viewer.say(t("few_points"), "warn");
      return true;
    }
    if (proposals.isOne(shapes.selected[0])) return proposals.reject();
    return rois.selected ? rois.remove(rois.selected) : false;
  }

  /** What was begun goes; then the range, then the choice, then the tool. */
  escape() {
    const { sketch, tracks, shapes, rois, stage } = this.viewer;
    if (this.viewer.mode !== "look") return false;
    if (sketch.drop() || tracks.forget()) return true;
    if (shapes.selected.length) {
      rois.select(null);
      stage.root.focus({ preventScroll: true });
    } else if (sketch.tool) this.viewer.tool("select");
    else return false;
    return true;
  }
}
