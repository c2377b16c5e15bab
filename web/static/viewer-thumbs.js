// The list of images: small pictures after the large one, only of what is in sight, cines that play, and each image's marks.
"use strict";
import { Strip } from "./viewer-strips.js";
import { data, make, t } from "./viewer-words.js";

const AT_ONCE = 2;
const PATIENCE_MS = 1500;

export class Thumbs {
  #waiting = [];
  #strips = new Map();
  #stripsWaiting = [];
  #busy = 0;
  #isStripping = false;
  #isOpen = false;

  constructor(root, open) {
    this.root = root;
    this.places = new Map([...root.querySelectorAll("[data-image]")].map((link) => [link.dataset.image, link]));
    root.addEventListener("click", (event) => {
      const id = event.target.closest("[data-image]")?.dataset.image;
      const image = data.images.find((one) => one.id === id);
      if (!image) return;
      event.preventDefault();
      if (event.ctrlKey || event.metaKey || event.shiftKey) {
        document.dispatchEvent(new CustomEvent("sonobank:choose", { detail: { id, isRange: event.shiftKey } }));
        return;
      }
      open(image);
    });
    document.addEventListener("sonobank:picked", (event) => this.#picked(event.detail));
    this.observer = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        if (isIntersecting) this.#want(data.images.find((one) => one.id === target.dataset.image));
        this.#strips.get(target.dataset.image)?.see(isIntersecting);
      }
    }, { root, rootMargin: "200px" });
    setTimeout(() => this.begin(), PATIENCE_MS);
  }

  /** The large picture is there: now the small ones. */
  begin() {
    if (this.#isOpen || !data.maySeePixels) return;
    this.#isOpen = true;
    for (const link of this.places.values()) this.observer.observe(link);
  }

  #want(image) {
    const place = this.places.get(image?.id)?.querySelector(".thumb-picture");
    if (!place || !image.mask?.digest || place.dataset.shown === image.mask.digest) return;
    place.dataset.shown = image.mask.digest;
    const mark = image.mask.digest.slice(0, 12);
    this.#waiting.push([place, `${place.dataset.src}?${mark}`]);
    if (image.frames > 1 && !data.isReading) this.#stripsWaiting.push([place, image, `${place.dataset.src.replace(/thumb$/, "strip")}?${mark}`]);
    this.#pump();
  }

  #pump() {
    while (this.#busy < AT_ONCE && this.#waiting.length) {
      const [place, source] = this.#waiting.shift();
      const picture = make("img", { src: source, alt: "", width: 96, height: 72 });
      this.#busy += 1;
      picture.decode().then(() => place.replaceChildren(picture), () => {}).finally(() => { this.#busy -= 1; this.#pump(); });
    }
    if (!this.#busy && !this.#waiting.length) this.#playNext();
  }

  /** The cines come last, one at a time, and leave the server as much time for the viewer as they took. */
  async #playNext() {
    if (this.#isStripping || !this.#stripsWaiting.length) return;
    this.#isStripping = true;
    const [place, image, source] = this.#stripsWaiting.shift();
    const began = performance.now();
    if (!this.#strips.has(image.id)) this.#strips.set(image.id, new Strip(place, image));
    await this.#strips.get(image.id).load(source).catch(() => {}); // its first frame stays
    setTimeout(() => { this.#isStripping = false; this.#pump(); }, performance.now() - began);
  }

  /** The candidate of this image is another one now; the observer speaks again when it is in sight. */
  renew(image) {
    const link = this.places.get(image.id);
    if (!link || !this.#isOpen) return;
    this.observer.unobserve(link);
    this.observer.observe(link);
  }

  turn(image) {
    for (const [id, link] of this.places) {
      if (id === image.id) {
        link.setAttribute("aria-current", "true");
        link.scrollIntoView({ block: "nearest" });
      } else link.removeAttribute("aria-current");
    }
  }

  /** The mark of the image's mask, and how many masks are done. */
  marks(image) {
    const place = this.places.get(image.id)?.querySelector(".mark-mask");
    const { mask } = image;
    const name = mask?.state === "CONFIRMED" ? "done" : mask?.hold ? "stop" : mask?.digest ? "wait" : "work";
    const word = t(`state_${{ done: "confirmed", stop: "held", wait: "proposed", work: "preparing" }[name]}`);
    if (place) {
      place.replaceChildren(document.getElementById(`state-${name}`).content.cloneNode(true));
      place.querySelector(".state").append(make("span", { class: "hidden", text: word }));
      place.title = word;
    }
    this.count();
  }

  count() {
    const done = data.images.filter((image) => image.mask?.state === "CONFIRMED").length;
    for (const place of document.querySelectorAll(".mask-count")) place.textContent = `${done}/${data.images.length}`;
  }

  #picked({ imageId, picked }) {
    if (picked === null) return this.places.get(imageId)?.querySelector(".mark-pick").replaceChildren();
    const word = picked ? "picked" : "rejected";
    const mark = make("span", { class: word, icon: word, title: t(word) }, make("span", { class: "hidden", text: t(word) }));
    this.places.get(imageId)?.querySelector(".mark-pick").replaceChildren(mark);
  }
}
