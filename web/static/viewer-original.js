// The identified original, only while a key or a button is held; each hold asks once, and the asking is recorded.
"use strict";
import { data, t } from "./viewer-words.js";

export class Original {
  #hold = 0;

  /** `viewer` has image, frame, pause(), redraw() and say(); `stage` is where it is shown. */
  constructor(stage, button, viewer) {
    Object.assign(this, { stage, button, viewer, banner: document.getElementById("original-banner") });
    button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); this.begin(); });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(kind, () => this.end());
    button.addEventListener("keydown", (event) => {
      if (["Space", "Enter"].includes(event.code) && !event.repeat) { event.preventDefault(); event.stopPropagation(); this.begin(); }
    });
    button.addEventListener("keyup", (event) => { event.preventDefault(); this.end(); });
    addEventListener("blur", () => this.end());
    document.addEventListener("visibilitychange", () => this.end());
  }

  get isShown() {
    return this.stage.root.classList.contains("original");
  }

  async begin() {
    const { image } = this.viewer;
    if (this.#hold || !image || !data.maySeePixels || data.isReading) return;
    const mine = this.#hold = performance.now();
    this.viewer.pause();
    try {
      const answer = await fetch(`/api/v1/images/${image.id}/frames/${this.viewer.frame}`, { credentials: "same-origin" });
      if (!answer.ok) throw answer.status;
      const bitmap = await createImageBitmap(await answer.blob());
      if (mine === this.#hold) {
        this.stage.root.classList.add("original");
        this.banner.hidden = false;
        this.button.setAttribute("aria-pressed", "true");
        this.stage.draw(bitmap);
      }
      bitmap.close();
    } catch {
      if (mine === this.#hold) this.viewer.say(t("original_failed"), "warn");
    }
  }

  end() {
    if (!this.#hold) return;
    this.#hold = 0;
    this.button.setAttribute("aria-pressed", "false");
    if (!this.isShown) return;
    this.stage.root.classList.remove("original");
    this.banner.hidden = true;
    this.stage.clear();
    this.viewer.redraw();
  }
}
