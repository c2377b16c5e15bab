// Rectangles over the picture: drawn, chosen, moved, resized by handles, nudged by the arrow keys, deleted.
"use strict";
import { svg } from "./viewer-stage.js";

const HANDLE = 9;
const LEAST = 2;
const GRABS = [[0, 0, "nw"], [0.5, 0, "n"], [1, 0, "ne"], [0, 0.5, "w"], [1, 0.5, "e"], [0, 1, "sw"], [0.5, 1, "s"], [1, 1, "se"]];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Items are {key, x, y, width, height, name, kind}; `told` hears draw(box), change(item, box), select(key) and remove(item). */
export class Boxes {
  items = [];
  selected = null;
  tool = "select";
  isEditable = false;
  isOn = true;
  #drag = null;

  constructor(stage, told) {
    this.stage = stage;
    this.told = told;
    this.layer = stage.overlay.querySelector("#boxes");
    stage.root.addEventListener("pointerdown", (event) => this.#down(event));
    stage.root.addEventListener("pointermove", (event) => this.#move(event));
    for (const kind of ["pointerup", "pointercancel"]) stage.root.addEventListener(kind, (event) => this.#up(event));
    this.layer.addEventListener("keydown", (event) => this.#key(event));
    this.layer.addEventListener("focusin", (event) => this.select(event.target.dataset.key ?? this.selected));
  }

  set(items, isEditable) {
    this.items = items;
    this.isEditable = isEditable;
    if (!items.some((item) => item.key === this.selected)) this.selected = null;
    this.render();
  }

  select(key, isFocused = false) {
    if (this.selected !== key) {
      this.selected = key;
      this.render();
      this.told.select(key);
    }
    if (isFocused && key) this.#shape(key)?.focus({ preventScroll: true });
  }

  use(tool) {
    this.tool = tool;
    this.stage.root.dataset.tool = tool;
  }

  #shape(key) {
    return [...this.layer.children].find((shape) => shape.dataset.key === key);
  }

  render() {
    const focused = this.layer.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const shapes = this.items.map((item) => this.#drawn(item));
    const chosen = this.items.find((item) => item.key === this.selected);
    this.layer.replaceChildren(...shapes, ...(chosen && this.isEditable && !chosen.isFixed ? this.#handles(chosen) : []));
    if (this.#drag?.box && !this.#drag.item) this.layer.append(svg("rect", { ...this.#drag.box, class: "box drawing" }));
    if (focused) this.#shape(focused)?.focus({ preventScroll: true });
  }

  #drawn(item) {
    const { x, y, width, height } = this.#drag?.item === item ? this.#drag.box : item;
    const isSelected = item.key === this.selected;
    const shape = svg("rect", {
      x, y, width, height, class: `box ${item.kind}${isSelected ? " selected" : ""}`, tabindex: 0, role: "button",
      "aria-pressed": isSelected, "aria-label": item.name, "data-key": item.key,
    });
    if (item.kind === "mask") shape.setAttribute("fill", "url(#hatch)");
    return shape;
  }

  #handles(item) {
    const box = this.#drag?.item === item ? this.#drag.box : item;
    const size = HANDLE / this.stage.scale;
    return GRABS.map(([fx, fy, side]) => svg("rect", {
      x: box.x + box.width * fx - size / 2, y: box.y + box.height * fy - size / 2, width: size, height: size,
      class: `handle ${side}`, "data-side": side,
    }));
  }

  #down(event) {
    if (!this.isOn || event.button > 1 || event.target.closest("button, a, summary, details")) return;
    const [x, y] = this.stage.toImage(event.clientX, event.clientY);
    const { side, key } = event.target.dataset;
    const item = this.items.find((one) => one.key === (side ? this.selected : key));
    if (this.isEditable && side && item) this.#drag = { item, side, x, y, box: plain(item) };
    else if (this.isEditable && this.tool === "draw" && event.button === 0) this.#drag = { x, y, box: this.#between(x, y, x, y) };
    else if (item && event.button === 0) {
      this.select(item.key, true);
      if (!this.isEditable || item.isFixed) return;
      this.#drag = { item, x, y, box: plain(item) };
    } else this.#drag = { isPan: true, x: event.clientX, y: event.clientY };
    this.stage.root.setPointerCapture(event.pointerId);
    if (!item) this.stage.root.focus({ preventScroll: true });
    event.preventDefault();
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag) return;
    if (drag.isPan) {
      this.stage.pan(event.clientX - drag.x, event.clientY - drag.y);
      drag.x = event.clientX;
      drag.y = event.clientY;
      drag.isMoved = true;
      return;
    }
    const [x, y] = this.stage.toImage(event.clientX, event.clientY);
    if (!drag.item) drag.box = this.#between(drag.x, drag.y, x, y);
    else if (drag.side) drag.box = this.#resized(drag, x, y);
    else drag.box = this.#kept({ ...plain(drag.item), x: drag.item.x + x - drag.x, y: drag.item.y + y - drag.y });
    this.render();
  }

  #up(event) {
    const drag = this.#drag;
    if (!drag) return;
    this.#drag = null;
    if (event.type === "pointercancel") this.render();
    else if (drag.isPan) {
      if (!drag.isMoved) this.select(null);
    } else if (!drag.item) {
      if (drag.box.width >= LEAST && drag.box.height >= LEAST) this.told.draw(drag.box);
      this.render();
    } else if (Object.entries(drag.box).some(([name, value]) => drag.item[name] !== value)) this.#changed(drag.item, drag.box);
    else this.render();
  }

  /** A rectangle between two corners, whole pixels, inside the frame. */
  #between(x0, y0, x1, y1) {
    const inX = (v) => Math.min(this.stage.columns, Math.max(0, Math.round(v)));
    const inY = (v) => Math.min(this.stage.rows, Math.max(0, Math.round(v)));
    const [left, right] = [inX(Math.min(x0, x1)), inX(Math.max(x0, x1))];
    const [top, bottom] = [inY(Math.min(y0, y1)), inY(Math.max(y0, y1))];
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  #resized({ item, side }, x, y) {
    let { x: left, y: top } = item;
    let [right, bottom] = [left + item.width, top + item.height];
    if (side.includes("w")) left = Math.min(x, right - LEAST);
    if (side.includes("e")) right = Math.max(x, left + LEAST);
    if (side.includes("n")) top = Math.min(y, bottom - LEAST);
    if (side.includes("s")) bottom = Math.max(y, top + LEAST);
    return this.#between(left, top, right, bottom);
  }

  #kept({ x, y, width, height }) {
    const within = (value, most) => Math.round(Math.min(Math.max(0, value), most));
    return { x: within(x, this.stage.columns - width), y: within(y, this.stage.rows - height), width, height };
  }

  #changed(item, box) {
    Object.assign(item, box);
    this.render();
    this.told.change(item, box);
  }

  /** Arrows move by one pixel, with Shift by ten, with Alt the lower right corner; Delete removes. */
  #key(event) {
    const item = this.items.find((one) => one.key === event.target.dataset.key);
    const arrow = ARROWS[event.code];
    if (!item || event.isComposing || event.ctrlKey || event.metaKey) return;
    const isEditable = this.isEditable && !item.isFixed;
    if (arrow && isEditable) {
      const [dx, dy] = arrow.map((part) => part * (event.shiftKey ? 10 : 1));
      const box = event.altKey
        ? this.#between(item.x, item.y, Math.max(item.x + LEAST, item.x + item.width + dx), Math.max(item.y + LEAST, item.y + item.height + dy))
        : this.#kept({ ...plain(item), x: item.x + dx, y: item.y + dy });
      this.#changed(item, box);
    } else if ((event.code === "Delete" || event.code === "Backspace") && isEditable) this.told.remove(item);
    else if (event.code === "Escape") {
      this.select(null);
      this.stage.root.focus({ preventScroll: true });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

const plain = ({ x, y, width, height }) => ({ x, y, width, height });
