// The contact sheet: where the keys go, what each image still lacks, and its confirmation or rejection.
"use strict";
import { save } from "./case-save.js";
import { Shown } from "./contact-shown.js";
import { data, make, t } from "./viewer-words.js";

const $ = (id) => document.getElementById(id);
const POLL_MS = 2000;
const SAID_MS = 6000;
const POLLED = 3;

const pathOf = (image) => `/cases/${image.caseId}/images/${image.id}`;
const isConfirmed = (image) => image.mask?.state === "CONFIRMED";
const isRejected = (image) => image.picked === false;
const isPreparing = (image) => image.isOpen && !image.mask?.digest && !image.mask?.hold;
const isWaiting = (image) => image.isOpen && !isConfirmed(image) && !isRejected(image) && !image.mask?.hold;
const openTexts = (image) => (image.mask?.texts ?? []).filter((one) => !one.answer).length;
const unseen = (image) => (image.mask?.toShow ?? []).filter((frame) => !image.mask.shown.includes(frame));
const canConfirm = (image) => isWaiting(image) && image.mayConfirm && image.mask?.digest && image.mask.textRead && !openTexts(image) && !unseen(image).length;
/** What all at once may take: a rule masked it, and nobody changed that by hand. The others are confirmed one by one. */
const isPlain = (image) => image.mask?.ruleId && !image.mask.isDrawn;

class Tile {
  constructor(image, sheet) {
    Object.assign(this, { image, sheet, frame: null });
    this.root = $(`tile-${image.id}`);
    this.strip = this.find("[data-strip]");
    this.#watch();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  get pictures() {
    return [...this.strip.querySelectorAll("img")];
  }

  #watch() {
    this.frame = this.image.mask?.toShow[0] ?? null;
    for (const picture of this.pictures) this.sheet.shown.watch(picture);
    this.show();
  }

  /** The server's answer about the mask; another candidate brings other pictures. */
  become(mask) {
    const before = this.image.mask;
    if (before?.digest && before.digest === mask.digest) mask.shown = [...new Set([...mask.shown, ...before.shown])];
    this.image.mask = mask;
    if (before?.digest !== mask.digest || before?.revision !== mask.revision) this.#renew();
    this.show();
  }

  #renew() {
    const { image } = this;
    for (const picture of this.pictures) this.sheet.shown.forget(picture);
    const { digest, hold, toShow } = image.mask;
    if (!digest) this.sheet.watch();
    this.strip.replaceChildren(...(digest ? toShow.map((frame) => make("figure", { "data-frame": frame }, make("img", {
      src: `${pathOf(image)}/frames/${frame}?${digest.slice(0, 12)}-${image.mask.revision}`, loading: "lazy", width: image.columns, height: image.rows,
      alt: t("frame_alt", { case: image.caseNumber, number: image.number, frame }),
    }))) : [make("p", { class: "no-picture", text: hold ?? t("preparing") })]));
    this.#watch();
  }

  async refresh() {
    const answer = await fetch(`${pathOf(this.image)}/mask`, { credentials: "same-origin", headers: { Accept: "application/json", "Sonobank-Poll": "1" } });
    if (answer.ok) this.become(await answer.json());
  }

  // Frames

  /** Bring this frame of the strip into sight. */
  turn(frame) {
    const place = this.find(`figure[data-frame="${frame}"]`);
    if (!place) return;
    this.frame = frame;
    this.strip.scrollTo({ left: place.offsetLeft - this.strip.firstElementChild.offsetLeft, behavior: "instant" });
    this.show();
  }

  step(by) {
    const frames = this.image.mask?.toShow ?? [];
    this.turn(frames[Math.min(frames.length - 1, Math.max(0, frames.indexOf(this.frame) + by))]);
  }

  seen(frame) {
    const { image } = this;
    this.frame = frame;
    if (image.mask.digest && !image.mask.shown.includes(frame)) {
      image.mask.shown.push(frame);
      this.sheet.shown.note(image, frame);
    }
    this.show();
  }

  // Words

  show() {
    const { image } = this;
    const { mask } = image;
    const [tone, name] = isRejected(image) ? ["off", "rejected"] : isConfirmed(image) ? ["done", "confirmed"]
      : mask?.hold ? ["stop", "held"] : mask?.digest ? ["wait", "proposed"] : ["work", "preparing"];
    const shape = $(`state-${tone}`).content.cloneNode(true);
    shape.querySelector(".state").append(t(`state_${name}`));
    this.find("[data-state]").replaceChildren(shape);
    this.find("[data-told]").textContent = isRejected(image) ? data.reasons[image.pickReason] ?? ""
      : isConfirmed(image) && mask.confirmedBy ? t("confirmed_by", { name: mask.confirmedBy, at: mask.confirmedAt }) : "";
    this.root.classList.toggle("over", isRejected(image));
    const frames = mask?.toShow ?? [];
    this.find("[data-frames]").hidden = frames.length < 2;
    this.find("[data-place]").textContent = t("frame_place", { frame: this.frame ?? "", n: frames.indexOf(this.frame) + 1, total: frames.length });
    this.find("[data-seen]").textContent = isWaiting(image) && frames.length ? t("seen", { count: frames.length - unseen(image).length, total: frames.length }) : "";
    const question = this.find("[data-question]");
    question.hidden = !openTexts(image);
    if (!question.hidden) question.replaceChildren($("icon-warn").content.cloneNode(true), t("texts", { count: openTexts(image) }));
    const closely = this.find("[data-closely]");
    if (closely) closely.hidden = !isWaiting(image);
    this.find("[data-do=confirm]").hidden = !isWaiting(image) || !image.mayConfirm;
    this.find("[data-do=reject]").hidden = !image.mayCurate || isRejected(image);
    this.find("[data-do=keep]").hidden = !image.mayCurate || !isRejected(image);
    this.sheet.count();
  }
}

class Sheet {
  here = null;
  tiles = [];

  constructor() {
    const top = document.querySelector(".contact-bar").offsetHeight;
    this.shown = new Shown(top, {
      seen: (picture) => this.#of(picture)?.seen(Number(picture.parentElement.dataset.frame)),
      small: () => this.say(t("too_small"), "warn"),
      changed: (image) => this.tiles.find((tile) => tile.image === image)?.refresh(),
    });
    for (const element of document.querySelectorAll(".scripted")) element.removeAttribute("hidden");
    for (const image of data.images) this.tiles.push(new Tile(image, this));
    this.dialog = $("reject");
    this.dialog.addEventListener("click", (event) => {
      const reason = event.target.closest("[data-reason]")?.dataset.reason;
      if (reason) this.#decide(this.here, false, reason);
    });
    this.dialog.addEventListener("close", () => { this.shown.again(); this.here?.root.focus({ preventScroll: true }); });
    this.dialog.addEventListener("keydown", (event) => {
      const place = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
      this.dialog.querySelectorAll("[data-reason]")[place ? place[1] - 1 : -1]?.click();
    });
    $("keys").addEventListener("close", () => this.shown.again());
    $("contact-confirm").addEventListener("click", () => this.confirmAll());
    document.addEventListener("focusin", (event) => this.#enter(this.#of(event.target)));
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("sonobank:offline", () => this.say(t("offline"), "warn"));
    addEventListener("keydown", (event) => this.#down(event));
    this.#enter(this.tiles.find(({ image }) => isWaiting(image)) ?? this.tiles[0]);
    this.count();
    this.#poll();
  }

  #of(element) {
    const id = element?.closest?.("[data-tile]")?.dataset.tile;
    return this.tiles.find((tile) => tile.image.id === id) ?? null;
  }

  #enter(tile) {
    if (!tile || tile === this.here) return;
    this.here?.root.classList.remove("here");
    this.here = tile;
    tile.root.classList.add("here");
  }

  /** Go to this image; its picture comes wholly into sight. */
  go(tile) {
    if (!tile) return;
    tile.root.focus({ preventScroll: true });
    tile.root.scrollIntoView({ block: "start", behavior: "instant" });
  }

  #click(event) {
    const tile = this.#of(event.target);
    const { step, do: deed } = event.target.closest("button")?.dataset ?? {};
    if (!tile) return;
    if (step) tile.step(Number(step));
    if (deed === "confirm") this.confirm(tile);
    if (deed === "reject") this.reject(tile);
    if (deed === "keep") this.#decide(tile, true, null);
  }

  // Moving

  move(by) {
    const at = this.tiles.indexOf(this.here);
    this.go(this.tiles[Math.min(this.tiles.length - 1, Math.max(0, at + by))]);
  }

  get columns() {
    const top = this.tiles[0]?.root.offsetTop;
    return Math.max(1, this.tiles.filter((tile) => tile.root.offsetTop === top).length);
  }

  #following(tile) {
    const at = this.tiles.indexOf(tile);
    return [...this.tiles.slice(at + 1), ...this.tiles.slice(0, at)].find((one) => isWaiting(one.image));
  }

  #onward(tile) {
    const following = this.#following(tile);
    if (following) this.go(following);
    else if (data.next) location.assign(data.next);
    else this.say(t("all_done"), "ok");
  }

  // Confirming

  /** Confirm this image; while something is missing, show or say what. */
  async confirm(tile) {
    const { image } = tile;
    if (!isWaiting(image)) return this.#onward(tile);
    if (!image.mayConfirm) return this.say(t("forbidden"), "warn");
    if (!image.mask?.digest) return this.say(t("preparing"), "warn");
    if (openTexts(image)) return this.say(t("texts_first", { count: openTexts(image) }), "warn");
    if (!image.mask.textRead) return this.say(t("reading"), "warn");
    const [next] = unseen(image);
    if (next) {
      this.go(tile);
      tile.turn(next);
      this.shown.again();
      return undefined;
    }
    if (await this.#confirmOne(tile)) this.#onward(tile);
    return undefined;
  }

  /** All of this sheet that were seen, whose device has a rule, and that ask nothing. */
  async confirmAll() {
    const group = this.tiles.filter(({ image }) => canConfirm(image) && isPlain(image));
    let done = 0;
    for (const tile of group) done += await this.#confirmOne(tile) ? 1 : 0;
    const left = this.tiles.filter(({ image }) => isWaiting(image));
    this.say(left.length ? `${t("confirmed_many", { count: done })} ${t("not_all", { count: left.length })}` : t("confirmed_many", { count: done }), left.length ? "warn" : "ok");
    if (left.length) this.go(left[0]);
    else if (this.here) this.go(this.here);
  }

  async #confirmOne(tile) {
    const { image } = tile;
    await this.shown.tell();
    try {
      tile.become(await save("POST", `${pathOf(image)}/mask/confirm`, { digest: image.mask.digest }));
      return true;
    } catch (error) {
      this.say(t(error.status === 409 ? "changed" : "failed"), "stop");
      await tile.refresh().catch(() => {});
      return false;
    }
  }

  // Rejecting

  reject(tile) {
    if (!tile.image.mayCurate) return this.say(t("no_edit"), "warn");
    if (isRejected(tile.image)) return this.#onward(tile);
    this.#enter(tile);
    return this.dialog.showModal();
  }

  async #decide(tile, picked, reason) {
    if (this.dialog.open) this.dialog.close();
    const { image } = tile;
    if (!image.mayCurate) return this.say(t("no_edit"), "warn");
    try {
      const told = await save("PUT", `${pathOf(image)}/pick`, { picked, reason, version: image.pickVersion });
      Object.assign(image, { picked, pickReason: reason, pickVersion: told.version });
      tile.show();
      if (!picked) this.#onward(tile);
    } catch (error) {
      this.say(t(error.status === 409 ? "changed" : "failed"), "stop");
    }
    return undefined;
  }

  // What is said

  count() {
    if (this.tiles.length < data.images.length) return;
    const done = this.tiles.filter(({ image }) => isConfirmed(image)).length;
    const ready = this.tiles.filter(({ image }) => canConfirm(image) && isPlain(image)).length;
    $("contact-done").textContent = `${t("state_confirmed")} ${done}/${this.tiles.length}`;
    $("contact-ready").textContent = String(ready);
    $("contact-confirm").disabled = !ready;
  }

  say(words, tone) {
    $("contact-said").replaceChildren(make("p", { class: `note ${tone}`, role: tone === "stop" ? "alert" : "status" }, make("span", { text: words })));
    clearTimeout(this.saying);
    this.saying = setTimeout(() => $("contact-said").replaceChildren(), SAID_MS);
  }

  /** Ask for what is being prepared, a few at a time. */
  async #poll() {
    const waiting = this.tiles.filter(({ image }) => isPreparing(image) || (isWaiting(image) && !image.mask?.textRead));
    try {
      if (document.visibilityState === "visible") await Promise.all(waiting.slice(0, POLLED).map((tile) => tile.refresh()));
    } catch { /* The next round asks again. */ }
    this.polling = waiting.length ? setTimeout(() => this.#poll(), POLL_MS) : 0;
  }

  /** A candidate is being made anew: wait for it. */
  watch() {
    this.polling ||= setTimeout(() => this.#poll(), POLL_MS);
  }

  // Keys: letters by their place on the keyboard

  #down(event) {
    if (event.isComposing || event.key === "Process" || event.defaultPrevented || event.metaKey || event.altKey || event.ctrlKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "?" || event.key === "？") return $("keys").showModal();
    const deed = (event.shiftKey ? SHIFTED : PLAIN)[event.code];
    if (!deed || !this.tiles.length || (event.code === "Enter" && event.target.closest("button, a"))) return undefined;
    event.preventDefault();
    return deed(this, event);
  }
}

const once = (deed) => (sheet, event) => { if (!event.repeat && sheet.here) deed(sheet); };
const PLAIN = {
  ArrowRight: (sheet) => sheet.move(1),
  ArrowLeft: (sheet) => sheet.move(-1),
  ArrowDown: (sheet) => sheet.move(sheet.columns),
  ArrowUp: (sheet) => sheet.move(-sheet.columns),
  KeyD: (sheet) => sheet.here?.step(-1),
  KeyF: (sheet) => sheet.here?.step(1),
  Enter: once((sheet) => sheet.confirm(sheet.here)),
  KeyX: once((sheet) => sheet.reject(sheet.here)),
  KeyP: once((sheet) => isRejected(sheet.here.image) && sheet.tiles.find((tile) => tile === sheet.here).find("[data-do=keep]").click()),
  KeyM: once((sheet) => sheet.here.find("[data-viewer]").click()),
};
const SHIFTED = { Enter: (sheet, event) => { if (!event.repeat) sheet.confirmAll(); } };

new Sheet();
