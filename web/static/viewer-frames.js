// Frames of the candidates: fetched once, kept as PNG and as bitmaps, each within its own measure, the oldest out first.
"use strict";

const BITMAP_BYTES = 64 * 1024 * 1024;
const PNG_BYTES = 64 * 1024 * 1024;
const AT_ONCE = 3;

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
}

export class Frames {
  #bitmaps = new Kept(BITMAP_BYTES, (bitmap) => bitmap.width * bitmap.height * 4, (bitmap) => bitmap.close());
  #pngs = new Kept(PNG_BYTES, (blob) => blob.size);
  #coming = new Map();
  #wanted = [];
  #flying = new Set();

  /** `address(image, frame)` is where a frame is read; `onChange(image)` hears of a candidate that is not the known one. */
  constructor(address, onChange) {
    Object.assign(this, { address, onChange });
    addEventListener("pagehide", () => { this.#bitmaps.clear(); this.#pngs.clear(); });
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

  async #png(image, frame, key) {
    const here = this.#pngs.get(key);
    if (here) return here;
    const answer = await fetch(this.address(image, frame), { credentials: "same-origin" });
    if (!answer.ok) throw { status: answer.status };
    const digest = answer.headers.get("Sonobank-Digest");
    const blob = await answer.blob();
    if (digest !== image.mask?.digest || !key.includes(digest)) {
      this.onChange(image);
      throw { status: 409 };
    }
    this.#pngs.put(key, blob);
    return blob;
  }

  async #make(image, frame, key) {
    const bitmap = await createImageBitmap(await this.#png(image, frame, key));
    this.#bitmaps.put(key, bitmap);
    return bitmap;
  }

  /** Fetch what comes next in this direction: as many bitmaps as there is room for, of the rest the PNG. */
  ahead(image, frame, direction) {
    const room = Math.floor(BITMAP_BYTES / (image.rows * image.columns * 4)) - 2;
    this.#wanted = [];
    for (let step = 1; step < image.frames; step += 1) {
      const next = ((frame - 1 + direction * step) % image.frames + image.frames) % image.frames + 1;
      this.#wanted.push({ image, frame: next, asBitmap: step <= room });
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
      const { image, frame, asBitmap } = this.#wanted.shift();
      const key = image.mask?.digest ? this.#key(image, frame) : null;
      if (!key || this.#bitmaps.has(key) || this.#coming.has(key) || (!asBitmap && this.#pngs.has(key))) continue;
      const coming = asBitmap ? this.get(image, frame) : this.#png(image, frame, key);
      this.#flying.add(coming);
      coming.catch(() => { this.#wanted = []; }).finally(() => { this.#flying.delete(coming); this.#pump(); });
    }
  }

  get bytes() {
    return this.#bitmaps.bytes;
  }
}
