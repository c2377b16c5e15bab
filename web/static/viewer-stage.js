// The picture: a canvas in pixels of the stored frame, shapes in SVG over it, both moved and scaled together.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const BARS_MM = [100, 50, 20, 10, 5, 2, 1];
const MOST = 16;

export const svg = (tag, attributes = {}) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

export class Stage {
  scale = 1;
  #x = 0;
  #y = 0;
  #isFit = true;

  constructor(root, onLayout) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.overlay = root.querySelector("#overlay");
    this.areas = root.querySelector("#areas");
    this.bar = root.querySelector("#scale-bar");
    this.onLayout = onLayout;
    this.columns = this.rows = 1;
    this.mmPerPx = null;
    this.context = this.canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.layout()).observe(root);
    root.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    }, { passive: false });
  }

  /** Another image: its size in pixels, its scale and its masked areas. */
  take(image) {
    const isNew = this.columns !== image.columns || this.rows !== image.rows;
    this.columns = image.columns;
    this.rows = image.rows;
    this.mmPerPx = image.mmPerPx;
    if (isNew || !this.canvas.width) {
      this.canvas.width = image.columns;
      this.canvas.height = image.rows;
    }
    this.overlay.setAttribute("viewBox", `0 0 ${image.columns} ${image.rows}`);
    this.fit();
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  draw(bitmap) {
    this.context.drawImage(bitmap, 0, 0, this.columns, this.rows);
  }

  hatch(rects) {
    this.areas.replaceChildren(...rects.map(([x, y, width, height]) => svg("rect", { x, y, width, height, fill: "url(#hatch)" })));
  }

  fit() {
    this.#isFit = true;
    this.layout();
  }

  layout() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!width || !height) return;
    if (this.#isFit) {
      this.scale = Math.min(width / this.columns, height / this.rows);
      this.#x = (width - this.columns * this.scale) / 2;
      this.#y = (height - this.rows * this.scale) / 2;
    }
    this.#apply();
  }

  zoom(factor, clientX, clientY) {
    const box = this.root.getBoundingClientRect();
    const px = clientX === undefined ? box.width / 2 : clientX - box.left;
    const py = clientY === undefined ? box.height / 2 : clientY - box.top;
    const least = Math.min(box.width / this.columns, box.height / this.rows, 1) / 2;
    const scale = Math.min(MOST, Math.max(least, this.scale * factor));
    this.#x = px - ((px - this.#x) * scale) / this.scale;
    this.#y = py - ((py - this.#y) * scale) / this.scale;
    this.scale = scale;
    this.#isFit = false;
    this.#apply();
  }

  pan(dx, dy) {
    this.#isFit = false;
    this.#x += dx;
    this.#y += dy;
    this.#apply();
  }

  /** [x, y] in pixels of the frame. */
  toImage(clientX, clientY) {
    const box = this.root.getBoundingClientRect();
    return [(clientX - box.left - this.#x) / this.scale, (clientY - box.top - this.#y) / this.scale];
  }

  #apply() {
    for (const layer of [this.canvas, this.overlay]) {
      layer.style.width = `${this.columns * this.scale}px`;
      layer.style.height = `${this.rows * this.scale}px`;
      layer.style.transform = `translate(${this.#x}px, ${this.#y}px)`;
    }
    this.canvas.classList.toggle("large", this.scale > 3);
    this.overlay.querySelector("#hatch").setAttribute("patternTransform", `rotate(45) scale(${1 / this.scale})`);
    this.#measure();
    this.onLayout(this.scale);
  }

  /** The bar of the scale: the longest round length that takes less than a third of the picture's place. */
  #measure() {
    const mm = this.mmPerPx?.[0];
    this.bar.hidden = !mm;
    if (!mm) return;
    const most = this.root.clientWidth / 3;
    const length = BARS_MM.find((one) => (one / mm) * this.scale <= most) ?? BARS_MM.at(-1);
    this.bar.style.width = `${(length / mm) * this.scale}px`;
    this.bar.querySelector("span").textContent = `${length} mm`;
  }
}
