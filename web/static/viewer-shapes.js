// The shapes over the picture in SVG: one element for each object, which stays while its frame changes, and the handles of
// the chosen one. Drawn once a frame at most; during play only paths change.
"use strict";
import { handles, isOutline, middles } from "./shape-edits.js";
import { pathOf } from "./shape-paths.js";
import { boxOf } from "./tracks.js";
import { svg } from "./viewer-stage.js";
import { t } from "./viewer-words.js";

const HANDLE_PX = 5;
const MIDDLE_PX = 3.5;
const HOLD_PX = matchMedia("(pointer: coarse)").matches ? 20 : 12;
const LEAST_EDGE_PX = 44; // between two vertices, for a middle that can be told from them
const TAG_PX = 12;

const put = (element, name, value) => { if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value); };

/** Items are { id, kind, use, points, tone, tag, name, dashed }: `name` is a function, for it is asked for only at rest. */
export class Shapes {
  items = [];
  selected = [];
  isEditable = false;
  isPlaying = false;
  #nodes = new Map();
  #preview = null;
  #sketch = null;
  #asked = 0;

  constructor(stage) {
    this.stage = stage;
    this.layer = stage.overlay.querySelector("#shapes");
    this.holds = stage.overlay.querySelector("#handles");
    this.line = stage.overlay.querySelector("#sketch");
  }

  /** What this frame shows, drawn now: in the same picture as the frame itself. */
  set(items, isEditable) {
    this.items = items;
    this.isEditable = isEditable;
    this.draw();
  }

  /** The points of an item as they would be after the drag that is under way; null for none. */
  preview(id, points) {
    this.#preview = id === null ? null : { id, points };
    this.later();
  }

  /** `sketch` has path(scale). */
  follow(sketch) {
    this.#sketch = sketch;
  }

  later() {
    this.#asked ||= requestAnimationFrame(() => this.draw());
  }

  item(id) {
    return this.items.find((one) => one.id === id);
  }

  pointsOf(item) {
    return this.#preview?.id === item.id ? this.#preview.points : item.points;
  }

  focus(id) {
    this.#nodes.get(id)?.group.focus({ preventScroll: true });
  }

  draw() {
    cancelAnimationFrame(this.#asked);
    this.#asked = 0;
    const here = new Set(this.items.map((item) => item.id));
    for (const [id, node] of this.#nodes) if (!here.has(id)) this.#drop(id, node);
    for (const item of this.items) this.#item(item);
    if (!this.isPlaying) this.#order();
    this.#handles();
    put(this.line, "d", this.#sketch?.path(this.stage.scale) ?? "");
  }

  #drop(id, { group }) {
    this.#nodes.delete(id);
    const isFocused = group.contains(document.activeElement);
    group.remove();
    if (isFocused) this.stage.root.focus({ preventScroll: true });
  }

  #item(item) {
    const node = this.#nodes.get(item.id) ?? this.#made(item.id);
    const points = this.pointsOf(item);
    const d = pathOf({ kind: item.kind, use: item.use, points }, this.stage.scale);
    put(node.line, "d", d);
    put(node.hold, "d", d);
    this.#tag(node.tag, item, points);
    const at = this.selected.indexOf(item.id);
    put(node.group, "class", `shape ${item.use} ${item.kind} tone-${item.tone}${at < 0 ? "" : " selected"}${item.dashed ? " dashed" : ""}${item.isKey ? " key" : ""}`);
    if (this.isPlaying) return;
    put(node.group, "aria-pressed", at >= 0);
    put(node.group, "aria-label", item.name());
  }

  #made(id) {
    const group = svg("g", { tabindex: 0, role: "button", "data-id": id });
    const node = { group, hold: svg("path", { class: "hold" }), line: svg("path", { class: "line" }), tag: svg("text", { "aria-hidden": "true" }) };
    group.append(node.hold, node.line, node.tag);
    this.layer.append(group);
    this.#nodes.set(id, node);
    return node;
  }

  #tag(tag, item, points) {
    if (tag.textContent !== item.tag) tag.textContent = item.tag;
    const { x, y, width } = boxOf({ kind: item.kind, points });
    const gap = 8 / this.stage.scale;
    const isHigh = y < (TAG_PX + 6) / this.stage.scale;
    const left = isHigh ? x + width + gap : x;
    put(tag, "transform", `translate(${left.toFixed(1)} ${(isHigh ? y + TAG_PX / this.stage.scale : y - gap).toFixed(1)}) scale(${1 / this.stage.scale})`);
  }

  /** Small shapes over large ones, so that each can be taken hold of; only what stands wrong is moved, for focus is lost by it. */
  #order() {
    const size = (item) => { const { width, height } = boxOf(item); return width * height; };
    const sorted = [...this.items].sort((a, b) => size(b) - size(a) || (a.id < b.id ? -1 : 1));
    sorted.forEach((item, index) => {
      const { group } = this.#nodes.get(item.id);
      if (this.layer.children[index] === group) return;
      const isFocused = group.contains(document.activeElement);
      this.layer.insertBefore(group, this.layer.children[index] ?? null);
      if (isFocused) group.focus({ preventScroll: true });
    });
  }

  // Handles: kept and moved, so that the one with the focus keeps it

  #handles() {
    const item = this.selected.length === 1 ? this.item(this.selected[0]) : null;
    const canHold = item && this.isEditable && !this.isPlaying && (item.kind !== "points" || item.points.length > 1);
    const points = canHold ? this.pointsOf(item) : [];
    const ends = canHold ? handles(item.kind, points) : [];
    const between = canHold && isOutline(item.kind) ? middles(item.kind, points).filter(({ after, x, y }) => Math.hypot(points[after][0] - x, points[after][1] - y) * this.stage.scale * 2 > LEAST_EDGE_PX) : [];
    // A middle lies under the vertices.
    const wanted = [...between.map((one) => ({ ...one, isMiddle: true })), ...ends];
    const focused = this.holds.contains(document.activeElement) ? document.activeElement.dataset : null;
    while (this.holds.children.length > wanted.length) this.holds.lastElementChild.remove();
    while (this.holds.children.length < wanted.length) this.holds.append(this.#handle());
    wanted.forEach((one, index) => this.#place(this.holds.children[index], one, item, points.length));
    if (!focused) return;
    const [index, middle] = [focused.index, focused.middle];
    const again = [...this.holds.children].find((one) => (index === undefined ? one.dataset.middle === middle : one.dataset.index === index));
    (again ?? this.#nodes.get(this.selected[0])?.group)?.focus({ preventScroll: true });
  }

  #handle() {
    const group = svg("g");
    group.append(svg("circle", { class: "hold" }), svg("circle", { class: "dot" }));
    return group;
  }

  #place(group, { x, y, index, side, after, isMiddle }, item, count) {
    const [hold, dot] = group.children;
    put(group, "transform", `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${1 / this.stage.scale})`);
    put(group, "class", `handle${isMiddle ? " middle" : ""} ${side ?? ""}`);
    put(hold, "r", isMiddle ? HOLD_PX - 2 : HOLD_PX);
    put(dot, "r", isMiddle ? MIDDLE_PX : HANDLE_PX);
    if (isMiddle) delete group.dataset.index;
    else put(group, "data-index", index);
    if (isMiddle) put(group, "data-middle", after);
    else delete group.dataset.middle;
    // The sides of a rectangle are moved by Alt and the arrow keys; every other handle can have the focus.
    if (side) {
      for (const name of ["tabindex", "role", "aria-label"]) group.removeAttribute(name);
      return;
    }
    put(group, "tabindex", 0);
    put(group, "role", "button");
    put(group, "aria-label", isMiddle ? t("vertex_add", { n: after + 1 }) : t(item.kind === "ellipse" ? "axis_end" : "vertex", { n: index + 1, count: item.kind === "ellipse" ? 4 : count }));
  }
}
