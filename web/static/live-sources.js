// Where frames come from: a cine of a case, pictures or a video from this person's disk, a camera or grabber.
"use strict";

const IN_A_ROW = 12;
const MOST_KEPT = 240;

/** Frames that are all there: `count` of them, `stepMs` apart. `load(first, count)` gives pictures from `first` on, one at least. */
export class Cine {
  #coming = new Map();
  #kept = new Map();

  constructor(count, stepMs, load) {
    Object.assign(this, { count, stepMs, load });
  }

  static ofCase({ frames, stepMs, href, sector }) {
    return Object.assign(new Cine(frames, stepMs, async (first, count) => {
      const answer = await fetch(`${href}?${new URLSearchParams({ first, count })}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const whole = await answer.blob(), type = answer.headers.get("Sonobank-Media-Type");
      let at = 0;
      return answer.headers.get("Sonobank-Lengths").split(",").map((length) => whole.slice(at, at += Number(length), type));
    }), { sector });
  }

  static ofPictures(files) {
    const sorted = [...files].sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
    return new Cine(sorted.length, 40, async (first) => [sorted[first - 1]]);
  }

  /** The bitmap of a frame, from 1; a few hundred are kept. */
  async frame(number) {
    if (!this.#kept.has(number)) {
      if (!this.#coming.has(number)) this.#fetch(number);
      await this.#coming.get(number);
    }
    return this.#kept.get(number);
  }

  close() {
    while (this.#kept.size) this.#forget();
  }

  #fetch(first) {
    const count = Math.min(IN_A_ROW, this.count - first + 1);
    const coming = this.#take(first, count).finally(() => { for (let at = 0; at < count; at++) this.#coming.delete(first + at); });
    for (let at = 0; at < count; at++) this.#coming.set(first + at, coming);
    coming.catch(() => {});
  }

  async #take(first, count) {
    const pictures = await this.load(first, count);
    const bitmaps = await Promise.all(pictures.map((picture) => createImageBitmap(picture)));
    bitmaps.forEach((bitmap, at) => this.#kept.set(first + at, bitmap));
    while (this.#kept.size > MOST_KEPT) this.#forget();
  }

  #forget() {
    const [number, bitmap] = this.#kept.entries().next().value;
    this.#kept.delete(number);
    bitmap.close();
  }
}

/** A video element that plays a file or what a camera delivers: its present picture is the frame. */
export class Moving {
  stepMs = 1000 / 30;
  count = 0;

  constructor(video, address, stream) {
    Object.assign(this, { video, address, stream });
  }

  static async ofVideo(file) {
    const video = document.createElement("video");
    Object.assign(video, { muted: true, loop: true, playsInline: true, src: URL.createObjectURL(file) });
    const source = new Moving(video, video.src, null);
    await new Promise((resolve, reject) => { video.onloadeddata = resolve; video.onerror = reject; });
    return source;
  }

  static async ofCamera(deviceId) {
    const wanted = { width: { ideal: 1280 }, frameRate: { ideal: 30 }, ...(deviceId && { deviceId: { exact: deviceId } }) };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: wanted });
    const video = document.createElement("video");
    Object.assign(video, { muted: true, playsInline: true, srcObject: stream });
    await video.play();
    return new Moving(video, null, stream);
  }

  play() { return this.video.play(); }

  pause() { this.video.pause(); }

  frame() { return this.video; }

  get size() { return [this.video.videoWidth, this.video.videoHeight]; }

  close() {
    this.video.pause();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
    if (this.address) URL.revokeObjectURL(this.address);
  }
}
