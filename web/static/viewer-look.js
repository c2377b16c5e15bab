// Window and gamma of the picture: only how it is shown. The canvas keeps the stored pixels and nothing is saved.
"use strict";
import { PLAIN, isPlain, tableOf, turned } from "./look-table.js";

// A drag across the whole picture goes through the whole range.
const ACROSS = { width: 200, level: 100 };

export class Look {
  #look = PLAIN;
  #drag = null;

  /** `root` is the <details> with the sliders, `filter` the SVG filter that the canvas uses. */
  constructor(stage, root, filter) {
    Object.assign(this, { stage, root, filter });
    root.addEventListener("input", (event) => this.#set(turned(this.#look, event.target.name, Number(event.target.value))));
    root.querySelector("button").addEventListener("click", () => this.reset());
    root.addEventListener("keydown", (event) => {
      if (event.code !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      this.close();
    });
    addEventListener("pointerdown", (event) => { if (root.open && !root.contains(event.target)) root.open = false; }, true);
    this.#tell();
  }

  /** The sliders by key: open them and go to the first, or close them. */
  toggle() {
    if (this.root.open) return this.close();
    this.root.open = true;
    return this.root.querySelector("input").focus();
  }

  close() {
    this.root.open = false;
    this.stage.root.focus({ preventScroll: true });
  }

  reset() {
    this.#set(PLAIN);
  }

  /** A drag with the right button or Alt: to the side the width, up and down the level. */
  press(event) {
    this.#drag = { x: event.clientX, y: event.clientY, look: this.#look };
  }

  drag(event) {
    const { x, y, look } = this.#drag;
    const { clientWidth, clientHeight } = this.stage.root;
    const wider = turned(look, "width", look.width + ((event.clientX - x) / clientWidth) * ACROSS.width);
    this.#set(turned(wider, "level", look.level + ((event.clientY - y) / clientHeight) * ACROSS.level));
  }

  #set(look) {
    this.#look = look;
    const isOff = isPlain(look);
    if (!isOff) {
      const table = tableOf(look).join(" ");
      for (const part of this.filter.querySelectorAll("feFuncR, feFuncG, feFuncB")) part.setAttribute("tableValues", table);
    }
    this.stage.canvas.style.filter = isOff ? "" : `url(#${this.filter.id})`;
    this.root.classList.toggle("changed", !isOff);
    this.#tell();
  }

  #tell() {
    for (const input of this.root.querySelectorAll("input")) {
      input.value = this.#look[input.name];
      this.root.querySelector(`output[for="${input.id}"]`).textContent = this.#look[input.name].toLocaleString(document.documentElement.lang);
    }
    this.root.querySelector("button").disabled = isPlain(this.#look);
  }
}
