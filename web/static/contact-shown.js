// What was really on the screen: a whole frame, large enough to read, in sight long enough to be looked at; and telling the server so.
"use strict";

const DWELL_MS = 400;
const TOLD_AFTER_MS = 300;
const WHOLE = 0.98;
// A picture can be read at this part of its stored size, or where it is this wide on the screen.
const SCALE = 0.58;
const WIDE_PX = 880;

/** Whether text in this picture can be read as it stands on the screen. */
export function isReadable(picture) {
  const box = picture.getBoundingClientRect();
  const width = Math.min(box.width, box.height * picture.naturalWidth / picture.naturalHeight); // the rest is empty
  return width >= WIDE_PX || width >= picture.naturalWidth * SCALE;
}

const isThere = (picture) => picture.complete && picture.naturalWidth > 0;

export class Shown {
  #waiting = new Map();
  #untold = new Map();
  #told = Promise.resolve();

  /** `seen(picture)` hears of a frame that was looked at, `small(picture)` of one that is too small to count. */
  constructor(top, hears) {
    this.hears = hears;
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting, intersectionRatio } of entries) {
        if (isIntersecting && intersectionRatio >= WHOLE) this.#begin(target);
        else this.#end(target);
      }
    }, { threshold: [0, WHOLE, 1], rootMargin: `-${top}px 0px 0px 0px` });
    document.addEventListener("visibilitychange", () => {
      for (const picture of this.#waiting.keys()) this.#begin(picture);
    });
    addEventListener("pagehide", () => this.tell());
  }

  watch(picture) {
    picture.addEventListener("load", () => { if (this.#waiting.has(picture)) this.#begin(picture); });
    this.observer.observe(picture);
  }

  forget(picture) {
    this.observer.unobserve(picture);
    this.#end(picture);
  }

  #begin(picture) {
    clearTimeout(this.#waiting.get(picture));
    this.#waiting.set(picture, setTimeout(() => this.#looked(picture), DWELL_MS));
  }

  #end(picture) {
    clearTimeout(this.#waiting.get(picture));
    this.#waiting.delete(picture);
  }

  #looked(picture) {
    if (document.visibilityState !== "visible" || document.querySelector("dialog[open]")) return;
    if (!isThere(picture)) return; // its load begins the time anew
    if (isReadable(picture)) this.hears.seen(picture);
    else this.hears.small(picture);
  }

  /** A dialog that covered the pictures is closed: what is in sight counts from now on. */
  again() {
    for (const picture of this.#waiting.keys()) this.#begin(picture);
  }

  // Telling the server

  note(image, frame) {
    const key = `${image.id} ${image.mask.digest}`;
    const untold = this.#untold.get(key) ?? { image, digest: image.mask.digest, frames: [] };
    untold.frames.push(frame);
    this.#untold.set(key, untold);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), TOLD_AFTER_MS);
  }

  /** Tell which frames were seen, after what is being told already; what cannot be told now is told with the next. */
  tell() {
    clearTimeout(this.telling);
    const all = [...this.#untold.entries()];
    this.#untold.clear();
    this.#told = Promise.all([this.#told, ...all.map((one) => this.#send(...one))]);
    return this.#told;
  }

  async #send(key, { image, digest, frames }) {
    try {
      const answer = await fetch(`/cases/${image.caseId}/images/${image.id}/mask/shown`, {
        method: "POST", credentials: "same-origin", keepalive: true,
        headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify({ digest, frames }),
      });
      if (answer.status === 409) this.hears.changed(image);
      else if (answer.status >= 500) throw answer.status;
    } catch {
      const later = this.#untold.get(key) ?? { image, digest, frames: [] };
      this.#untold.set(key, { ...later, frames: [...frames, ...later.frames] });
    }
  }
}
