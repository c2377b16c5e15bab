// Frames of the candidates: fetched once, kept as they came and as bitmaps, each within its own measure, the oldest out first.
"use strict";

const BITMAP_BYTES = 64 * 1024 * 1024;
const PICTURE_BYTES = 64 * 1024 * 1024;
const AT_ONCE = 6; // decodings too: with fewer a frame of a fast cine comes too late now and then
const IN_A_ROW = 24;

/** What was used last goes out last; `size` tells the bytes of a value, `drop` gives it back. */
class Kept {
  #map = new Map();
  #bytes = 0;

  constructor(limit, size, drop = () => {}) {
    Object.assign(this, { limit, size, drop });
  }

  get(key) {
    const value = this.#map.get(key);
    if (value !== undefined) {
      this.#map.delete(key);
      this.#map.set(key, value);
    }
    return value;
  }

  has(key) {
    return this.#map.has(key);
  }

  put(key, value) {
    this.remove(key);
    this.#map.set(key, value);
    this.#bytes += this.size(value);
    for (const oldest of this.#map.keys()) {
      if (this.#bytes <= this.limit || oldest === key) break;
      this.remove(oldest);
    }
  }

  remove(key) {
    const value = this.#map.get(key);
    if (value === undefined) return;
    this.#map.delete(key);
    this.#bytes -= this.size(value);
    this.drop(value);
  }

  clear() {
    for (const key of [...this.#map.keys()]) this.remove(key);
  }

  get bytes() {
    return this.#bytes;
  }

  /** About how many values of the present kind fit. */
  get room() {
    return this.#map.size ? Math.floor((0.9 * this.limit * this.#map.size) / this.#bytes) : 1;
  }
}

export class Frames {
  #bitmaps = new Kept(BITMAP_BYTES, (bitmap) => bitmap.width * bitmap.height * 4, (bitmap) => bitmap.close());
  #pictures = new Kept(PICTURE_BYTES, (blob) => blob.size);
  #coming = new Map();
  #wanted = [];
  #flying = new Set();
  #runs = new Set();

  /** `address(image)` is where frames are read; `onChange(image)` hears of a candidate that is not the known one. */
  constructor(address, onChange) {
    Object.assign(this, { address, onChange });
    addEventListener("pagehide", () => { this.#bitmaps.clear(); this.#pictures.clear(); });
  }

  /** With the revision: the same pixels under a newer mask must be given to the person anew. */
  #key(image, frame) {
    return `${image.id} ${image.mask.revision} ${image.mask.digest} ${frame}`;
  }

  /** The bitmap if it is here now. */
  peek(image, frame) {
    return image.mask?.digest ? this.#bitmaps.get(this.#key(image, frame)) : undefined;
  }

  /** The bitmap, fetched where needed. Rejects with {status}. */
  get(image, frame) {
    const key = this.#key(image, frame);
    const here = this.#bitmaps.get(key);
    if (here) return Promise.resolve(here);
    if (!this.#coming.has(key)) {
      const coming = this.#make(image, frame, key).finally(() => this.#coming.delete(key));
      this.#coming.set(key, coming);
    }
    return this.#coming.get(key);
  }

  /** The compressed picture: kept, on its way with others, or fetched alone. */
  async #picture(image, frame, key) {
    if (!this.#pictures.has(key)) await this.#onTheWay(image, frame)?.coming;
    return this.#pictures.get(key) ?? (await this.#fetch(image, frame, 1), this.#pictures.get(key));
  }

  /** So many frames from the first on come in one answer; the header tells their lengths. */
  async #fetch(image, first, count) {
    const { mask } = image;
    const answer = await fetch(`${this.address(image)}?first=${first}&count=${count}`, { credentials: "same-origin" });
    if (!answer.ok) throw { status: answer.status };
    const body = await answer.arrayBuffer();
    if (answer.headers.get("Sonobank-Digest") !== image.mask?.digest || image.mask.revision !== mask.revision) {
      this.onChange(image);
      throw { status: 409 };
    }
    const type = answer.headers.get("Sonobank-Media-Type");
    let at = 0;
    for (const [index, length] of answer.headers.get("Sonobank-Lengths").split(",").map(Number).entries()) {
      this.#pictures.put(this.#key(image, first + index), new Blob([body.slice(at, at += length)], { type }));
    }
  }

  async #make(image, frame, key) {
    const bitmap = await createImageBitmap(await this.#picture(image, frame, key));
    this.#bitmaps.put(key, bitmap);
    return bitmap;
  }

  /** Fetch what comes next in this direction: as many bitmaps as there is room for, of the rest the picture as it comes. */
  ahead(image, frame, direction) {
    // Half of them: those that were shown last are newer than those that wait, and would drive them out.
    const bitmaps = Math.max(1, Math.floor(BITMAP_BYTES / (image.rows * image.columns * 4) / 2) - 1);
    const most = Math.min(image.frames - 1, bitmaps + this.#pictures.room);
    this.#wanted = [];
    for (let step = 1; step <= most; step += 1) {
      const next = ((frame - 1 + direction * step) % image.frames + image.frames) % image.frames + 1;
      this.#wanted.push({ image, frame: next, asBitmap: step <= bitmaps, direction });
    }
    this.#pump();
  }

  /** Fetch nothing more ahead; resolves when what is under way has come. */
  rest() {
    this.#wanted = [];
    return Promise.allSettled([...this.#flying, ...this.#coming.values()]);
  }

  #pump() {
    while (this.#flying.size < AT_ONCE && this.#wanted.length) {
      const next = this.#wanted.shift();
      const { image, frame, asBitmap, direction } = next;
      const key = image.mask?.digest ? this.#key(image, frame) : null;
      if (!key || this.#bitmaps.has(key) || this.#coming.has(key)) continue;
      if (this.#pictures.has(key)) {
        if (asBitmap) this.#fly(this.get(image, frame));
      } else if (!this.#onTheWay(image, frame)) {
        this.#fly(this.#run(image, frame, direction));
        if (asBitmap) this.#wanted.unshift(next);
      } else if (asBitmap) {
        this.#wanted.unshift(next);
        return; // what it comes with is here soon, then this goes on
      }
    }
  }

  #fly(coming) {
    this.#flying.add(coming);
    coming.catch(() => { this.#wanted = []; }).finally(() => { this.#flying.delete(coming); this.#pump(); });
  }

  #onTheWay(image, frame) {
    return [...this.#runs].find((run) => run.image === image && run.first <= frame && frame < run.first + run.count);
  }

  /** This frame and its neighbours in this direction that are not here. */
  #run(image, frame, direction) {
    const isMissing = (one) => one >= 1 && one <= image.frames && !this.#pictures.has(this.#key(image, one)) && !this.#onTheWay(image, one);
    let count = 1;
    while (count < IN_A_ROW && isMissing(frame + direction * count)) count += 1;
    const run = { image, first: direction > 0 ? frame : frame - count + 1, count };
    this.#runs.add(run);
    run.coming = this.#fetch(image, run.first, count).finally(() => this.#runs.delete(run));
    return run.coming;
  }

  get bytes() {
    return this.#bitmaps.bytes;
  }
}
