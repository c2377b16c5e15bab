// The viewer of the case page: which image and frame is shown, in which mode, and what each key does.
"use strict";
import { Boxes } from "./viewer-boxes.js";
import { Cine } from "./viewer-cine.js";
import { Frames } from "./viewer-frames.js";
import { Heart } from "./viewer-heart.js";
import { Masks } from "./viewer-mask.js";
import { Original } from "./viewer-original.js";
import { Rois } from "./viewer-roi.js";
import { Stage } from "./viewer-stage.js";
import { Thumbs } from "./viewer-thumbs.js";
import { data, make, t } from "./viewer-words.js";

const $ = (id) => document.getElementById(id);
const SAID_MS = 6000;
const ZOOM = 1.25;

class Viewer {
  image = null;
  mode = new URLSearchParams(location.search).get("mode") === "mask" ? "mask" : "look";

  constructor() {
    this.stage = new Stage($("stage"), () => this.boxes?.render());
    this.frames = new Frames((image, frame) => `/cases/${data.caseId}/images/${image.id}/frames/${frame}`, (image) => this.masks.refresh(image));
    this.cine = new Cine($("cine"), this.frames, this.stage, {
      shown: (image, frame) => this.#shown(image, frame),
      failed: () => this.note(t("frame_failed"), "stop"),
    });
    this.boxes = new Boxes(this.stage, {
      draw: (box) => this.#shapes.draw(box),
      change: (item, box) => this.#shapes.change(item, box),
      remove: (item) => this.#shapes.remove(item),
      select: () => (this.mode === "mask" ? this.masks.show() : this.rois.select()),
    });
    this.rois = new Rois($("rois"), this);
    this.masks = new Masks($("mask-panel"), this);
    this.thumbs = new Thumbs($("thumbs"), (image) => this.open(image));
    this.original = new Original(this.stage, $("original"), this);
    this.heart = Heart.of(this);
    $("viewer-tools").addEventListener("click", (event) => this.#tool(event));
    this.stage.root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    addEventListener("keydown", (event) => this.#down(event));
    addEventListener("keyup", (event) => { if (event.code === "KeyB") this.original.end(); });
  }

  get frame() {
    return this.cine.frame;
  }

  get #shapes() {
    return this.mode === "mask" ? this.masks : this.rois;
  }

  start(number) {
    for (const element of document.querySelectorAll(".scripted")) element.removeAttribute("hidden"); // SVG has no property for it
    if (!data.maySeePixels) $("original").disabled = true;
    this.thumbs.count();
    this.use(this.mode);
    this.tool("select");
    const undecided = (image) => this.mode === "mask" && image.mask?.state !== "CONFIRMED" && image.picked !== false;
    const first = data.images.find((image) => image.number === number) ?? data.images.find(undecided) ?? data.images[0];
    if (first) this.open(first, 1, false);
    else this.note(t("no_mask"), "off");
  }

  // Images and frames

  open(image, frame = 1, isFocused = true) {
    this.original.end();
    this.image = image;
    this.stage.take(image);
    this.rois.take(image, frame);
    this.masks.take(image, frame);
    this.heart?.take(image);
    this.boxes.select(null);
    this.thumbs.turn(image);
    this.ready(image, frame);
    if (isFocused) this.stage.root.focus({ preventScroll: true });
    document.dispatchEvent(new CustomEvent("sonobank:image", { detail: { id: image.id, number: image.number } }));
  }

  /** The candidate of this image came, changed or is held: show what there is now. */
  ready(image, frame = this.frame) {
    this.thumbs.renew(image);
    if (image !== this.image) return;
    this.stage.root.dataset.frame = "";
    this.stage.clear();
    this.stage.hatch(this.mode === "mask" ? [] : image.mask?.rects ?? []);
    const { mask } = image;
    this.#cover();
    if (!data.maySeePixels) this.note(t("no_pixels"), "off");
    else if (mask?.hold) this.note(mask.hold, "stop");
    else if (!mask?.digest) this.note(t(data.isOpen ? "preparing" : "no_mask"), data.isOpen ? "work" : "off");
    else this.note("");
    this.stage.root.setAttribute("aria-busy", String(data.isOpen && !mask?.digest && !mask?.hold));
    this.cine.take(image, Math.min(frame, image.frames));
    this.#shapes.show();
  }

  #cover() {
    const canSee = Boolean(this.image.mask?.digest) && data.maySeePixels;
    this.stage.root.classList.toggle("empty", !canSee);
  }

  #shown(image, frame) {
    this.note("");
    this.rois.at(frame);
    if (this.mode === "mask") this.boxes.render();
    this.masks.seen(image, frame);
    this.heart?.at(frame);
    this.thumbs.begin();
  }

  marks(image) {
    this.thumbs.marks(image);
  }

  go(frame) {
    this.cine.stop();
    return this.cine.go(frame);
  }

  pause() {
    this.cine.stop();
  }

  redraw() {
    this.cine.go(this.frame);
  }

  turn(by) {
    const at = data.images.indexOf(this.image);
    const next = data.images[Math.min(data.images.length - 1, Math.max(0, at + by))];
    if (next && next !== this.image) this.open(next);
  }

  // Modes, tools and words

  use(mode) {
    this.mode = mode;
    this.boxes.select(null);
    $("rois").hidden = mode === "mask";
    $("mask-panel").hidden = mode !== "mask";
    this.stage.root.dataset.mode = mode;
    for (const button of document.querySelectorAll("[data-mode-of]")) button.setAttribute("aria-pressed", String(button.dataset.modeOf === mode));
    if (!this.image) return;
    this.stage.hatch(mode === "mask" ? [] : this.image.mask?.rects ?? []);
    this.#shapes.show();
  }

  tool(tool) {
    this.boxes.use(tool);
    for (const button of document.querySelectorAll("[data-tool-of]")) button.setAttribute("aria-pressed", String(button.dataset.toolOf === tool));
  }

  /** A word over the picture, as long as it is true. */
  note(words, tone = "") {
    const note = $("stage-note");
    note.hidden = !words;
    note.className = `stage-note ${tone}`;
    note.textContent = words;
  }

  /** What just happened; `canReload` when the page no longer shows what the server has. */
  say(words, tone, canReload = false) {
    const place = $("viewer-said");
    const note = make("p", { class: `note ${tone}`, role: tone === "stop" ? "alert" : "status" }, make("span", { text: words }));
    if (canReload) {
      const again = make("button", { type: "button", class: "small", icon: "again", text: t("gone") });
      again.addEventListener("click", () => location.reload());
      note.append(again);
    }
    place.replaceChildren(note);
    clearTimeout(this.saying);
    if (!canReload) this.saying = setTimeout(() => place.replaceChildren(), SAID_MS);
  }

  // Pointer

  #tool(event) {
    const { modeOf, toolOf, zoom } = event.target.closest("button")?.dataset ?? {};
    if (modeOf) this.use(modeOf);
    if (toolOf) this.tool(toolOf);
    if (zoom === "fit") this.stage.fit();
    else if (zoom) this.stage.zoom(zoom === "in" ? ZOOM : 1 / ZOOM);
  }

  #wheel(event) {
    if (event.ctrlKey) return;
    event.preventDefault();
    this.cine.step(Math.sign(event.deltaY));
  }

  // Keys: letters by their place on the keyboard, signs by what they say, for they stand elsewhere on a Japanese keyboard

  #down(event) {
    if (event.isComposing || event.key === "Process" || event.defaultPrevented || event.metaKey || event.altKey) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const deed = event.ctrlKey ? null : SIGNS[event.key] ?? (event.shiftKey ? SHIFTED : PLAIN)[event.code] ?? this.#digit(event);
    if (!deed || (["Space", "Enter"].includes(event.code) && event.target.closest("button, a, summary, input"))) return;
    if (deed(this, event) !== false) event.preventDefault();
  }

  #digit(event) {
    const place = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const label = place && !event.shiftKey && data.labels[Number(place[1]) - 1];
    return label && this.mode === "look" ? () => this.rois.classify(label.code) : null;
  }
}

function isTyping(target) {
  const field = target.closest?.("input, textarea, select, [contenteditable]");
  return field && !["checkbox", "radio", "range", "button", "submit"].includes(field.type);
}

const toggled = (side) => () => $(`toggle-${side}`).click();
const once = (deed) => (viewer, event) => { if (!event.repeat) deed(viewer); };
const inMask = (deed) => (viewer, event) => (viewer.mode === "mask" ? once(deed)(viewer, event) : false);
const PLAIN = {
  KeyJ: (viewer) => viewer.turn(1),
  KeyK: (viewer) => viewer.turn(-1),
  KeyD: (viewer) => viewer.cine.step(-1),
  KeyF: (viewer) => viewer.cine.step(1),
  KeyC: (viewer) => viewer.cine.step(-10),
  KeyV: (viewer) => viewer.cine.step(10),
  Space: once((viewer) => viewer.cine.toggle()),
  KeyM: once((viewer) => viewer.use(viewer.mode === "mask" ? "look" : "mask")),
  KeyB: once((viewer) => viewer.original.begin()),
  KeyT: once((viewer) => { viewer.use("mask"); viewer.masks.texts.next(); }),
  KeyH: (viewer, event) => inMask((one) => one.masks.texts.answer("mask"))(viewer, event),
  KeyL: (viewer, event) => inMask((one) => one.masks.texts.answer("leave"))(viewer, event),
  Enter: (viewer, event) => inMask((one) => one.masks.confirm())(viewer, event),
  Digit0: (viewer) => viewer.stage.fit(),
  Numpad0: (viewer) => viewer.stage.fit(),
  Delete: (viewer) => {
    const { boxes } = viewer;
    const item = boxes.items.find((one) => one.key === boxes.selected);
    return item && boxes.isEditable ? (viewer.mode === "mask" ? viewer.masks : viewer.rois).remove(item) : false;
  },
};
const SHIFTED = {
  KeyR: (viewer) => viewer.tool("draw"),
  KeyS: (viewer) => viewer.tool("select"),
  Enter: (viewer, event) => inMask((one) => one.masks.confirmRule())(viewer, event),
};
const zoomed = (factor) => (viewer) => viewer.stage.zoom(factor);
const SIGNS = {
  "[": toggled("left"), "「": toggled("left"), "［": toggled("left"),
  "]": toggled("right"), "」": toggled("right"), "］": toggled("right"),
  "?": () => $("keys").showModal(), "？": () => $("keys").showModal(),
  "+": zoomed(ZOOM), "=": zoomed(ZOOM), "-": zoomed(1 / ZOOM),
};

/** The panels at the sides; how this person left them is remembered in this browser. */
function panels() {
  const root = $("case-panels");
  const read = () => { try { return localStorage.getItem("sonobank-panels") ?? ""; } catch { return ""; } };
  const set = (side, isClosed) => {
    root.classList.toggle(`no-${side}`, isClosed);
    $(`toggle-${side}`).setAttribute("aria-expanded", String(!isClosed));
  };
  for (const side of ["left", "right"]) {
    set(side, read().includes(side));
    $(`toggle-${side}`).addEventListener("click", () => {
      set(side, !root.classList.contains(`no-${side}`));
      try { localStorage.setItem("sonobank-panels", ["left", "right"].filter((one) => root.classList.contains(`no-${one}`)).join(" ")); } catch { /* it is only a wish */ }
    });
  }
}

panels();
new Viewer().start(Number(new URLSearchParams(location.search).get("image")));
