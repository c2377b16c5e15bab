// A cine in the list of images: its frames side by side in one small picture, which is moved on at the stored frame time.
"use strict";
import { make } from "./viewer-words.js";

const USUAL_MS = 40;
const MOST_FRAMES = 24; // of a strip: core.services.masks.STRIP_FRAMES
const still = matchMedia("(prefers-reduced-motion: reduce)");
const strips = new Set();

/** Plays by itself while it is in sight; the pointer on it goes through its frames. */
export class Strip {
  #isHeld = false;

  constructor(place, image) {
    Object.assign(this, { place, image, cells: Math.min(image.frames, MOST_FRAMES), isSeen: true });
    place.addEventListener("pointermove", (event) => this.#scrub(event));
    place.addEventListener("pointerleave", () => { this.#isHeld = false; this.turn(); });
    strips.add(this);
  }

  /** Resolves when the strip is in its place; rejects, and leaves what is there, when it cannot be had. */
  async load(source) {
    const picture = make("img", { src: source, alt: "", class: "strip", draggable: "false" });
    await picture.decode();
    const [width, height] = [picture.naturalWidth / this.cells, picture.naturalHeight];
    const scale = Math.min(96 / width, 72 / height);
    const view = make("span", { class: "strip-view" }, picture);
    view.style.width = `${width * scale}px`;
    view.style.height = picture.style.height = `${height * scale}px`;
    picture.style.width = `${width * scale * this.cells}px`;
    this.animation?.cancel();
    this.place.replaceChildren(view);
    const wholeMs = this.image.frames * (this.image.frameTimeMs || USUAL_MS);
    const frames = [{ transform: "translateX(0)" }, { transform: "translateX(-100%)" }];
    this.animation = picture.animate(frames, { duration: wholeMs, iterations: Infinity, easing: `steps(${this.cells})` });
    this.wholeMs = wholeMs;
    this.turn();
  }

  see(isSeen) {
    this.isSeen = isSeen;
    this.turn();
  }

  /** Plays or stands, as things are now. */
  turn() {
    if (!this.animation || this.#isHeld) return;
    const isPlaying = this.isSeen && !document.hidden && !still.matches;
    if (isPlaying) this.animation.play();
    else this.animation.pause();
    this.place.dataset.playing = String(isPlaying);
  }

  #scrub(event) {
    if (!this.animation) return;
    this.#isHeld = true;
    const { left, width } = this.place.getBoundingClientRect();
    const cell = Math.min(this.cells - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * this.cells)));
    this.animation.pause();
    this.animation.currentTime = ((cell + 0.5) / this.cells) * this.wholeMs;
    this.place.dataset.playing = "false";
    this.place.dataset.cell = String(cell);
  }
}

for (const [target, name] of [[globalThis.document, "visibilitychange"], [still, "change"]]) target.addEventListener(name, () => { for (const strip of strips) strip.turn(); });
