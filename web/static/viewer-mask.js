// Mask mode: the proposed areas with their reasons, what must be seen before a confirmation, and the confirmation itself.
"use strict";
import { save } from "./case-save.js";
import { Texts, openTexts } from "./viewer-texts.js";
import { base, data, make, t } from "./viewer-words.js";

const POLL_MS = 1500;
const TOLD_AFTER_MS = 300;
const CHIPS = 240;

const pathOf = (image) => `${base}/images/${image.id}/mask`;
const isWaiting = (image) => data.isOpen && !(image.mask?.digest || image.mask?.hold);
const isConfirmed = (image) => image.mask?.state === "CONFIRMED";
const unseen = (image) => (image.mask?.toShow ?? []).filter((frame) => !image.mask.shown.includes(frame));

export class Masks {
  #image = null;
  #frame = 1;
  #drafts = new Map();
  #untold = new Map();
  #told = Promise.resolve();
  #timer = 0;
  #toldHold = false;

  /** `viewer` has boxes, mode, go(frame), open(image), say(words, tone), ready(image) and marks(image). */
  constructor(root, viewer) {
    this.root = root;
    this.viewer = viewer;
    this.texts = new Texts(root.querySelector("#mask-texts"), this);
    const on = (id, deed) => root.querySelector(id).addEventListener("click", deed);
    on("#mask-confirm", () => this.confirm());
    on("#mask-confirm-rule", () => this.confirmRule());
    on("#mask-save", () => this.keep());
    on("#mask-discard", () => this.discard());
    on("#mask-delete", () => this.remove(this.#boxes().find((one) => one.key === this.viewer.boxes.selected)));
    root.addEventListener("click", (event) => {
      const { frame, area } = event.target.closest("button")?.dataset ?? {};
      if (frame) this.viewer.go(Number(frame));
      if (area) this.viewer.boxes.select(area, true);
    });
    addEventListener("beforeunload", (event) => { if (this.#drafts.size) event.preventDefault(); });
    addEventListener("pagehide", () => this.tell());
    this.#poll();
  }

  pathOf(image) {
    return pathOf(image);
  }

  isDrafted(image) {
    return this.#drafts.has(image.id);
  }

  /** The server's answer about the mask of an image; a new candidate is waited for. */
  become(image, mask) {
    this.#become(image, mask);
    if (isWaiting(image)) this.#watch();
    if (image === this.#image) this.show();
  }

  take(image, frame) {
    this.#image = image;
    this.#frame = frame;
  }

  // What was on the screen

  /** This frame of the present candidate is on the canvas now. */
  seen(image, frame) {
    this.#frame = frame;
    const { mask } = image;
    if (document.visibilityState !== "visible" || !mask.toShow.includes(frame)) return;
    if (!mask.shown.includes(frame)) this.#note(image, frame);
    if (this.viewer.mode === "mask") this.#seenChips();
  }

  #note(image, frame) {
    const { mask } = image;
    mask.shown.push(frame);
    const key = `${image.id} ${mask.digest}`;
    const untold = this.#untold.get(key) ?? { image, digest: mask.digest, frames: [] };
    untold.frames.push(frame);
    this.#untold.set(key, untold);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), TOLD_AFTER_MS);
  }

  /** Tell the server which frames were seen, after what is being told already; what cannot be told now is told with the next. */
  tell() {
    clearTimeout(this.telling);
    const all = [...this.#untold.entries()];
    this.#untold.clear();
    this.#told = Promise.all([this.#told, ...all.map(async ([key, { image, digest, frames }]) => {
      try {
        const answer = await fetch(`${pathOf(image)}/shown`, {
          method: "POST", credentials: "same-origin", keepalive: true,
          headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify({ digest, frames }),
        });
        if (answer.status === 409) await this.refresh(image);
        else if (answer.status >= 500) throw answer.status;
      } catch {
        const later = this.#untold.get(key) ?? { image, digest, frames: [] };
        this.#untold.set(key, { ...later, frames: [...frames, ...later.frames] });
      }
    })]);
    return this.#told;
  }

  // The state on the server

  async refresh(image) {
    const answer = await fetch(pathOf(image), { credentials: "same-origin", headers: { Accept: "application/json", "Sonobank-Poll": "1" } });
    if (!answer.ok) return;
    this.#become(image, await answer.json());
  }

  #become(image, mask) {
    const before = image.mask;
    // What was on the screen while the server answered is not in its answer yet.
    if (before?.digest && before.digest === mask.digest) mask.shown = [...new Set([...mask.shown, ...before.shown])];
    image.mask = mask;
    this.viewer.marks(image);
    if (before?.digest !== mask.digest || before?.revision !== mask.revision || before?.hold !== mask.hold) this.viewer.ready(image);
    else if (image === this.#image) this.show();
  }

  /** Ask for what is being prepared, the image that is open first, three at a time. */
  async #poll() {
    const waiting = data.images.filter(isWaiting);
    const first = waiting.filter((image) => image === this.#image);
    try {
      if (document.visibilityState === "visible") {
        await Promise.all([...first, ...waiting.filter((image) => image !== this.#image)].slice(0, 3).map((image) => this.refresh(image)));
      }
    } catch { /* The next round asks again. */ }
    this.#timer = waiting.length ? setTimeout(() => this.#poll(), POLL_MS) : 0;
  }

  #watch() {
    if (!this.#timer) this.#timer = setTimeout(() => this.#poll(), POLL_MS);
  }

  // The panel

  #boxes() {
    const drafted = this.#drafts.get(this.#image.id);
    if (drafted) return drafted;
    const { mask } = this.#image;
    return (mask?.rects ?? []).map(([x, y, width, height], index) => ({ key: `area-${index}`, x, y, width, height, reason: mask.reasons[index] }));
  }

  show() {
    const image = this.#image;
    if (this.viewer.mode !== "mask" || !image) return;
    const boxes = this.#boxes();
    const named = boxes.map((box, index) => Object.assign(box, {
      kind: "mask", name: t("area", { n: index + 1, width: box.width, height: box.height, reason: box.reason || t("drawn") }),
    }));
    this.viewer.boxes.set([...named, ...this.texts.boxes(image, this.#frame)], data.mayCurate && Boolean(image.mask));
    this.texts.show();
    const list = this.root.querySelector("#mask-areas");
    const reasons = [...new Set(named.map((box) => box.reason || t("drawn")))];
    list.replaceChildren(...reasons.map((reason) => make("li", {}, make("div", { text: reason }), make("div", {},
      ...named.flatMap((box, index) => ((box.reason || t("drawn")) === reason ? [this.#area(box, index)] : []))))));
    if (!named.length) list.append(make("li", { class: "quiet", text: t("no_areas") }));
    this.root.querySelector("#mask-delete").disabled = !data.mayCurate || !boxes.some((box) => box.key === this.viewer.boxes.selected);
    this.#state();
    this.#seenChips();
  }

  #area(box, index) {
    const isSelected = box.key === this.viewer.boxes.selected;
    return make("button", { type: "button", class: "area-row", "data-area": box.key, "aria-pressed": isSelected ? "true" : "false" },
      make("b", { text: t("rect", { n: index + 1 }) }), make("span", { class: "number quiet", text: `${box.width} × ${box.height} px` }));
  }

  #state() {
    const image = this.#image;
    const { mask } = image;
    const isDrafted = this.#drafts.has(image.id);
    const name = !mask || isWaiting(image) ? "preparing" : mask.hold ? "held" : mask.state === "CONFIRMED" ? "confirmed" : "proposed";
    const shape = document.getElementById({ preparing: "state-work", held: "state-stop", confirmed: "state-done", proposed: "state-wait" }[name]).content.cloneNode(true);
    shape.querySelector(".state").append(t(`state_${name}`));
    this.root.querySelector("#mask-state").replaceChildren(shape);
    const told = this.root.querySelector("#mask-told");
    told.textContent = name === "confirmed" && mask.confirmedBy
      ? t("confirmed", { name: mask.confirmedBy, at: mask.confirmedAt }) : mask?.hold ?? "";
    const warning = this.root.querySelector("#mask-warning");
    const words = !mask || isConfirmed(image) ? "" : mask.ruleId ? (mask.isDrawn ? t("edited") : mask.mustLook ? t("must_look") : "") : t("new_device", { device: image.device });
    warning.hidden = !words;
    warning.querySelector("span").textContent = words;
    const draft = this.root.querySelector("#mask-draft");
    draft.hidden = !isDrafted;
    draft.querySelector("span").textContent = t("voids");
    const may = data.mayRegister && Boolean(mask?.digest) && !isDrafted;
    this.root.querySelector("#mask-confirm").disabled = !may || isConfirmed(image);
    this.root.querySelector("#mask-confirm-rule").disabled = !may || !this.#group().length;
  }

  #seenChips() {
    const image = this.#image;
    const missing = unseen(image);
    const frames = image.mask?.toShow ?? [];
    this.root.querySelector("#mask-unseen").textContent = frames.length ? t("unseen", { count: missing.length, total: frames.length }) : "";
    this.root.querySelector("#mask-frames").replaceChildren(...frames.slice(0, CHIPS).map((frame) => make("button", {
      type: "button", class: missing.includes(frame) ? "chip" : "chip seen", "data-frame": frame, text: frame, icon: missing.includes(frame) ? null : "seen",
      "aria-current": frame === this.#frame ? "true" : null,
    })));
    this.root.querySelector("#mask-confirm span").textContent = t(missing.length ? "next_unseen" : "confirm");
    const group = this.#group();
    const button = this.root.querySelector("#mask-confirm-rule");
    button.hidden = group.length < 2;
    button.querySelector("span").textContent = t("confirm_rule", { count: group.length });
  }

  /** The images that the rule of this one covers and that nobody has changed or confirmed. */
  #group() {
    const { mask } = this.#image;
    if (!mask?.ruleId) return [];
    return data.images.filter(({ mask: other }) => other && other.ruleId === mask.ruleId && other.ruleVersion === mask.ruleVersion
      && !other.isDrawn && other.digest && other.state === "PROPOSED");
  }

  // Confirm

  /** Confirm this image; while something has not been seen, show the next of it instead. */
  async confirm() {
    const image = this.#image;
    if (!data.mayRegister) return this.viewer.say(t("forbidden"), "warn");
    if (isConfirmed(image) || image.mask?.hold) return this.#onward(image);
    if (!image.mask?.digest) return this.viewer.say(t("preparing"), "warn");
    if (this.#drafts.has(image.id)) return this.viewer.say(t("voids"), "warn");
    const [text] = openTexts(image);
    if (text) {
      this.texts.turn(text);
      return this.viewer.say(t("texts_first", { count: openTexts(image).length }), "warn");
    }
    const [next] = unseen(image);
    if (next) return this.viewer.go(next);
    if (!await this.#confirmOne(image)) return undefined;
    const following = this.#following(image);
    this.viewer.say(following ? t("mask_of", { n: image.number }) : t("all_confirmed"), "ok");
    if (image === this.#image && following) this.viewer.open(following);
    return undefined;
  }

  #following(image) {
    const at = data.images.indexOf(image);
    return [...data.images.slice(at + 1), ...data.images.slice(0, at)].find((one) => one.picked !== false && one.mask && !isConfirmed(one) && !one.mask.hold);
  }

  /** From what is decided to what is not: an image of this case, else the next case that waits for its masks. */
  #onward(image) {
    const following = this.#following(image);
    if (following) return this.viewer.open(following);
    if (this.#drafts.size) return this.viewer.say(t("voids"), "warn");
    if (image.mask.hold && !this.#toldHold) {
      this.#toldHold = true;
      return this.viewer.say(`${image.mask.hold} ${t("onward")}`, "warn");
    }
    return location.assign(data.nextMask);
  }

  /** All images of the same rule; the first of which something was not seen is opened instead. */
  async confirmRule() {
    const group = this.#group();
    if (!data.mayRegister || !group.length) return this.confirm();
    const left = group.filter((image) => unseen(image).length || openTexts(image).length);
    if (left.length) {
      this.viewer.open(left[0], unseen(left[0])[0] ?? openTexts(left[0])[0].frame);
      return this.viewer.say(t("rule_left", { count: left.length }), "warn");
    }
    let done = 0;
    for (const image of group) done += await this.#confirmOne(image) ? 1 : 0;
    const isAll = !this.#following(this.#image);
    return this.viewer.say(isAll && done ? t("all_confirmed") : t("rule_confirmed", { count: done }), "ok");
  }

  async #confirmOne(image) {
    const { digest } = image.mask;
    await this.tell();
    try {
      this.#become(image, await save("POST", `${pathOf(image)}/confirm`, { digest }));
      return true;
    } catch (error) {
      this.viewer.say(t(error.status === 409 ? "changed" : "failed"), "stop", true);
      await this.refresh(image).catch(() => {});
      return false;
    }
  }

  // Change

  #draft() {
    const boxes = this.#boxes();
    this.#drafts.set(this.#image.id, boxes);
    return boxes;
  }

  draw(box) {
    const boxes = this.#draft();
    const key = `area-new-${boxes.length}-${box.x}-${box.y}`;
    boxes.push({ key, ...box, reason: "" });
    this.viewer.boxes.selected = key;
    this.show();
    this.viewer.boxes.select(key, true);
  }

  change(item, box) {
    Object.assign(this.#draft().find((one) => one.key === item.key), box, { reason: "" });
    this.show();
  }

  remove(item) {
    if (!item || !data.mayCurate) return;
    this.#drafts.set(this.#image.id, this.#draft().filter((one) => one.key !== item.key));
    this.viewer.boxes.select(null);
    this.show();
    this.viewer.boxes.stage.root.focus({ preventScroll: true });
  }

  discard() {
    this.#drafts.delete(this.#image.id);
    this.viewer.boxes.select(null);
    this.viewer.ready(this.#image);
  }

  /** A new revision of the mask, and with it a new candidate. */
  async keep() {
    const image = this.#image;
    const boxes = this.#drafts.get(image.id);
    if (!boxes) return;
    const rects = boxes.map(({ x, y, width, height }) => [x, y, width, height]);
    await Promise.all([this.viewer.frames.rest(), this.tell()]);
    try {
      const told = await save("PUT", pathOf(image), { rects, revision: image.mask.revision });
      this.#drafts.delete(image.id);
      this.#become(image, told);
      this.#watch();
    } catch (error) {
      this.viewer.say(t(error.status === 409 ? "changed" : "not_saved"), "stop", true);
    }
  }
}
