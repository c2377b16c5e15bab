// Each change of an ROI on its way to the server: after a short pause, in order, under the version that was seen.
"use strict";
import { save } from "./case-save.js";
import { base } from "./viewer-words.js";

const PAUSE_MS = 400;
const LONGEST_MS = 1500; // a hand that does not rest is saved all the same

export const bodyOf = ({ id, kind, use, keyframes, outOfView, uncertain, margin, label, lesionId }) =>
  ({ id, kind, use, keyframes, outOfView, uncertain, margin, label, lesionId });

export class Saves {
  #waiting = new Map();
  #open = new Map();

  /** `told` hears saved(image, roi, answer, isLast) and failed(error). */
  constructor(told) {
    this.told = told;
    addEventListener("pagehide", () => this.flush());
  }

  add(image, roi) {
    return this.#send(image, roi, "POST", `${base}/images/${image.id}/rois`, () => bodyOf(roi));
  }

  change(image, roi) {
    const before = this.#waiting.get(roi.id);
    clearTimeout(before?.timer);
    const since = before?.since ?? performance.now();
    const send = () => { this.#waiting.delete(roi.id); return this.#put(image, roi, false); };
    const wait = Math.max(0, Math.min(PAUSE_MS, since + LONGEST_MS - performance.now()));
    this.#waiting.set(roi.id, { since, send, timer: setTimeout(send, wait) });
  }

  remove(image, roi) {
    clearTimeout(this.#waiting.get(roi.id)?.timer);
    this.#waiting.delete(roi.id);
    return this.#put(image, roi, true);
  }

  /** Send at once what waits; resolves when the server has everything. */
  flush() {
    for (const { timer, send } of [...this.#waiting.values()]) { clearTimeout(timer); send(); }
    return Promise.allSettled([...this.#open.values()].flatMap((sends) => [...sends]));
  }

  #put(image, roi, deleted) {
    return this.#send(image, roi, "PUT", `${base}/rois/${roi.id}`, () => ({ ...bodyOf(roi), version: roi.version || 1, deleted }));
  }

  #send(image, roi, method, path, made) {
    const sends = this.#open.get(roi.id) ?? new Set();
    this.#open.set(roi.id, sends);
    const sending = save(method, path, made).then((told) => {
      roi.version = told.version;
      this.told.saved(image, roi, told, sends.size === 1 && !this.#waiting.has(roi.id));
    }, (error) => {
      if (error?.status === undefined) throw error;
      this.told.failed(error);
    }).finally(() => sends.delete(sending));
    sends.add(sending);
    return sending;
  }
}
