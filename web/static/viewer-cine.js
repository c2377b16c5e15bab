// The cine: frames by number, played at the stored time between frames; what is late is left out, never slowed down.
"use strict";
import { dueFrame } from "./cine-time.js";
import { data, figure, t } from "./viewer-words.js";

const USUAL_MS = 40;
const SOON = 3;
const TOLD_MS = 60; // while it plays: number and scrubber are for the eye, and each change lays out the page anew

export class Cine {
  frame = 1;
  isPlaying = false;
  #image = null;
  #wanted = 0;
  #start = null;
  #from = 1;
  #drawn = [];
  #toldAt = 0;

  /** `shown(image, frame)` hears of each frame that is on the canvas, `failed(error)` of one that cannot be read, `playing(isPlaying)` of play and stop. */
  constructor(root, frames, stage, { shown, failed, playing }) {
    Object.assign(this, { root, frames, stage, shown, failed, playing });
    this.scrubber = root.querySelector("#scrubber");
    this.scrubber.addEventListener("input", () => { this.stop(); this.go(Number(this.scrubber.value)); });
    root.addEventListener("click", (event) => {
      const { step } = event.target.closest("button")?.dataset ?? {};
      if (step === "play") this.toggle();
      else if (step) this.step(step === "first" ? -this.frame + 1 : step === "last" ? this.#image.frames - this.frame : Number(step));
    });
  }

  get stepMs() {
    return this.#image?.frameTimeMs || USUAL_MS;
  }

  take(image, frame = 1) {
    this.stop();
    this.frames.rest();
    this.#image = image;
    this.frame = frame;
    this.root.classList.toggle("still", image.frames < 2);
    for (const control of this.root.querySelectorAll("button, input")) control.disabled = image.frames < 2;
    this.scrubber.max = image.frames;
    this.#tell();
    return this.go(frame);
  }

  /** Show this frame as soon as it is here; a later wish overtakes an earlier one. */
  async go(frame, direction = 1) {
    const image = this.#image;
    this.frame = frame;
    this.#tell();
    const mine = ++this.#wanted;
    if (!image?.mask?.digest || !data.maySeePixels) return;
    try {
      const bitmap = this.frames.peek(image, frame) ?? await this.frames.get(image, frame);
      if (mine !== this.#wanted || image !== this.#image) return;
      this.#draw(image, frame, bitmap);
      if (image.frames > 1) this.frames.ahead(image, frame, direction);
    } catch (error) {
      if (mine === this.#wanted) this.failed(error);
    }
  }

  #draw(image, frame, bitmap) {
    this.stage.draw(bitmap);
    this.stage.root.dataset.frame = frame;
    this.shown(image, frame);
  }

  /** So many frames on; before the first and after the last it stays. */
  step(by) {
    if (!this.#image || this.#image.frames < 2) return;
    this.stop();
    const frame = Math.min(this.#image.frames, Math.max(1, this.frame + by));
    if (frame !== this.frame) this.go(frame, Math.sign(by) || 1);
  }

  toggle() {
    if (this.isPlaying) this.stop();
    else this.play();
  }

  play() {
    if (!this.#image?.mask?.digest || this.#image.frames < 2 || !data.maySeePixels) return;
    this.isPlaying = true;
    this.playing(true);
    this.#start = null;
    this.#from = this.frame;
    this.#drawn = [];
    this.#tell();
    this.frames.ahead(this.#image, this.frame, 1);
    requestAnimationFrame((now) => this.#tick(now));
  }

  stop() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.playing(false);
    this.#tell();
    if (this.#image) this.frames.ahead(this.#image, this.frame, 1);
  }

  /** `now` is the time of the picture on the screen, which is even; when a script is called is not. */
  #tick(now) {
    if (!this.isPlaying) return;
    this.#start ??= now;
    const image = this.#image;
    const frame = dueFrame(this.#from, now - this.#start, this.stepMs, image.frames);
    if (frame !== this.frame) {
      const bitmap = this.frames.peek(image, frame);
      if (bitmap) {
        this.#wanted += 1;
        this.frame = frame;
        this.#draw(image, frame, bitmap);
        this.#drawn = [...this.#drawn.filter((at) => at > now - 1000), now];
        if (now - this.#toldAt > TOLD_MS) {
          this.#toldAt = now;
          this.#tell();
        }
        if (frame % 4 === 0) this.frames.ahead(image, frame, 1);
      } else if (!this.#isWaiting) {
        this.#isWaiting = true;
        const soon = (frame - 1 + SOON) % image.frames + 1; // this one would come too late
        this.frames.ahead(image, soon, 1);
        this.frames.get(image, soon).catch((error) => { this.stop(); this.failed(error); }).finally(() => { this.#isWaiting = false; });
      }
    }
    requestAnimationFrame((next) => this.#tick(next));
  }

  #isWaiting = false;

  #tell() {
    const image = this.#image;
    const last = this.#drawn.at(-1) ?? 0;
    const seconds = (last - (this.#drawn[0] ?? 0)) / 1000;
    const rate = this.isPlaying && seconds > 0.3 ? (this.#drawn.length - 1) / seconds : 1000 / this.stepMs;
    this.scrubber.value = this.frame;
    this.scrubber.setAttribute("aria-valuetext", t("frame_of", { frame: this.frame, frames: image.frames }));
    this.root.querySelector("#frame-number").textContent = `${this.frame}/${image.frames}`;
    this.root.querySelector("#frame-time").textContent = image.frameTimeMs ? `${figure(((this.frame - 1) * image.frameTimeMs) / 1000, 2)} s` : "";
    this.root.querySelector("#frame-rate").textContent = image.frames > 1 ? `${figure(rate, 0)} fps` : "";
    const button = this.root.querySelector("[data-step=play]");
    if (button.dataset.is !== String(this.isPlaying)) {
      button.dataset.is = String(this.isPlaying);
      button.title = `${t(this.isPlaying ? "pause" : "play")} (Space)`;
      button.setAttribute("aria-label", t(this.isPlaying ? "pause" : "play"));
      button.replaceChildren(document.getElementById(this.isPlaying ? "icon-pause" : "icon-play").content.cloneNode(true));
    }
  }
}
