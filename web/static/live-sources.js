// Where frames come from: a cine of a case, pictures or a video from this person's disk, a camera or grabber.
"use strict";

/** Frames that are all there: `count` of them, `stepMs` apart. */
export class Cine {
  constructor(count, stepMs, load) {
    Object.assign(this, { count, stepMs, load, kept: new Map() });
  }

  static ofCase({ frames, stepMs, href }) {
    return new Cine(frames, stepMs, async (frame) => {
      const answer = await fetch(`${href}/${frame}`);
      if (!answer.ok) throw new Error(String(answer.status));
      return createImageBitmap(await answer.blob());
    });
  }

  static ofPictures(files) {
    const sorted = [...files].sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
    return new Cine(sorted.length, 40, (frame) => createImageBitmap(sorted[frame - 1]));
  }

  /** The bitmap of a frame, from 1; a few hundred are kept. */
  async frame(number) {
    let bitmap = this.kept.get(number);
    if (!bitmap) {
      bitmap = await this.load(number);
      this.kept.set(number, bitmap);
      if (this.kept.size > 240) this.#forget();
    }
    return bitmap;
  }

  close() {
    while (this.kept.size) this.#forget();
  }

  #forget() {
    const [number, bitmap] = this.kept.entries().next().value;
    this.kept.delete(number);
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
