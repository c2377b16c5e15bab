// A mask rule is drawn here: rectangles over a held image, by mouse or by keyboard; the table of numbers beside it is what is sent.
"use strict";
import { Boxes } from "./viewer-boxes.js";
import { Stage } from "./viewer-stage.js";

const $ = (id) => document.getElementById(id);
const FIELDS = ["x", "y", "width", "height"];
const { columns, rows, rect: words } = $("stage").dataset;
const size = { columns: Number(columns) || 1, rows: Number(rows) || 1, mmPerPx: null };

class Drawing {
  items = [];
  #made = 0;
  #image = $("stage").dataset.image;
  #outside = JSON.parse($("stage").dataset.outside);
  #wanted = 0;

  constructor() {
    this.stage = new Stage($("stage"), () => this.boxes?.render());
    this.boxes = new Boxes(this.stage, {
      draw: (box) => this.add(box),
      change: (item, box) => { Object.assign(item, box); this.write(); },
      remove: (item) => this.remove(item),
      select: (key) => this.#chosen(key),
    });
    this.template = $("rects").lastElementChild.cloneNode(true);
    this.template.classList.remove("spare");
    for (const element of document.querySelectorAll(".scripted")) element.removeAttribute("hidden");
    this.stage.take(size);
    for (const row of document.querySelectorAll("#rects .spare:not(:last-child)")) if (![...row.querySelectorAll("input")].some((cell) => cell.value)) row.remove();
    this.read();
    this.#cover();
    this.boxes.use("draw");
    $("outside").addEventListener("change", () => this.#cover());
    $("rects").addEventListener("input", () => this.read());
    $("rect-add").addEventListener("click", () => this.add({ x: 0, y: 0, width: size.columns, height: Math.max(2, Math.round(size.rows / 10)) }));
    $("rect-remove").addEventListener("click", () => this.remove(this.items.find((one) => one.key === this.boxes.selected)));
    for (const button of document.querySelectorAll("[data-tool-of]")) button.addEventListener("click", () => this.tool(button.dataset.toolOf));
    $("frame").addEventListener("input", () => this.show());
    $("samples")?.addEventListener("click", (event) => this.#sample(event));
    addEventListener("keydown", (event) => this.#key(event));
    this.show();
  }

  tool(tool) {
    this.boxes.use(tool);
    for (const button of document.querySelectorAll("[data-tool-of]")) button.setAttribute("aria-pressed", String(button.dataset.toolOf === tool));
  }

  // Rectangles and the table

  /** The rectangles as the table has them; a row that is not whole is none yet. */
  read() {
    const found = [...$("rects").rows].map((row) => FIELDS.map((name) => row.querySelector(`[name=${name}]`).value.trim()));
    const whole = found.filter((cells) => cells.every((cell) => /^\d+$/.test(cell))).map((cells) => cells.map(Number));
    this.items = whole.filter(([, , width, height]) => width && height).map(([x, y, width, height]) => ({ key: `r${this.#made++}`, x, y, width, height }));
    this.#draw();
  }

  write() {
    const lines = this.items.map((item) => {
      const row = this.template.cloneNode(true);
      for (const name of FIELDS) row.querySelector(`[name=${name}]`).value = item[name];
      return row;
    });
    $("rects").replaceChildren(...lines, this.template.cloneNode(true));
    for (const [index, row] of [...$("rects").rows].entries()) {
      for (const name of FIELDS) {
        const cell = row.querySelector(`[name=${name}]`);
        cell.setAttribute("aria-label", `${index + 1} ${name}`);
      }
    }
    this.#draw();
  }

  #draw() {
    this.items.forEach((item, index) => Object.assign(item, {
      kind: "mask", name: words.replace("{n}", index + 1).replace("{width}", item.width).replace("{height}", item.height),
    }));
    this.boxes.set(this.items, true);
    this.#chosen(this.boxes.selected);
  }

  #chosen(key) {
    $("rect-remove").disabled = !key;
    [...$("rects").rows].forEach((row, index) => row.classList.toggle("chosen", Boolean(key) && this.items[index]?.key === key));
  }

  add(box) {
    const key = `r${this.#made++}`;
    this.items.push({ key, ...box });
    this.boxes.selected = key;
    this.write();
    this.boxes.select(key, true);
  }

  remove(item) {
    if (!item) return;
    this.items = this.items.filter((one) => one !== item);
    this.boxes.select(null);
    this.write();
    this.stage.root.focus({ preventScroll: true });
  }

  // The picture

  /** What goes because it lies outside the regions of the image on the stage. */
  #cover() {
    this.stage.hatch($("outside").checked ? this.#outside : []);
  }

  async show() {
    const frame = Number($("frame").value);
    const frames = Number($("frame").max);
    $("frame-bar").hidden = frames < 2;
    $("frame-number").textContent = `${frame}/${frames}`;
    if (!this.#image) return;
    const wanted = ++this.#wanted;
    const answer = await fetch(`/devices/pictures/${this.#image}/frames/${frame}`, { credentials: "same-origin" });
    if (!answer.ok || wanted !== this.#wanted) return;
    this.stage.draw(await createImageBitmap(await answer.blob()));
    this.stage.root.dataset.frame = String(frame);
  }

  /** Another sample under the same rectangles. */
  #sample(event) {
    const link = event.target.closest("[data-sample]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    for (const one of $("samples").querySelectorAll("[data-sample]")) one.removeAttribute("aria-current");
    link.setAttribute("aria-current", "true");
    this.#image = $("sample").value = link.dataset.sample;
    this.#outside = JSON.parse(link.dataset.outside);
    this.#cover();
    $("frame").max = link.dataset.frames;
    $("frame").value = "1";
    this.show();
  }

  #key(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || !event.shiftKey) return;
    if (event.target.closest("input:not([type=checkbox], [type=radio], [type=range]), textarea, select")) return;
    const tool = { KeyR: "draw", KeyS: "select" }[event.code];
    if (!tool) return;
    this.tool(tool);
    event.preventDefault();
  }
}

new Drawing();
