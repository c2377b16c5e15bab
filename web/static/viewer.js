// The viewer of the case page: which image and frame is shown, in which mode and with which tool.
"use strict";
import { Boxes } from "./viewer-boxes.js";
import { Cine } from "./viewer-cine.js";
import { Frames } from "./viewer-frames.js";
import { Hand, pinching } from "./viewer-hand.js";
import { Heart } from "./viewer-heart.js";
import { ZOOM, deedOf, isTyping } from "./viewer-keys.js";
import { Look } from "./viewer-look.js";
import { Masks } from "./viewer-mask.js";
import { Nudge } from "./viewer-nudge.js";
import { Original } from "./viewer-original.js";
import { panels } from "./viewer-panels.js";
import { Proposals } from "./viewer-proposals.js";
import { Rois } from "./viewer-roi.js";
import { Shapes } from "./viewer-shapes.js";
import { Sketch } from "./viewer-sketch.js";
import { Stage } from "./viewer-stage.js";
import { Timeline } from "./viewer-timeline.js";
import { Thumbs } from "./viewer-thumbs.js";
import { Tracks } from "./viewer-tracks.js";
import { base, data, make, t } from "./viewer-words.js";

const $ = (id) => document.getElementById(id);
const SAID_MS = 6000;
const DRAWS_MASKS = "rectangle";
const DEEDS = {
  keyframe: (viewer) => viewer.tracks.keyframe(),
  view: (viewer) => viewer.tracks.view(),
  duplicate: (viewer) => viewer.tracks.duplicate(),
  split: (viewer) => viewer.tracks.split(),
  merge: (viewer) => viewer.tracks.merge(),
  ask: (viewer) => viewer.proposals.next(),
  accept: (viewer) => viewer.proposals.accept(),
  refuse: (viewer) => viewer.proposals.reject(),
};

class Viewer {
  image = null;
  mode = new URLSearchParams(location.search).get("mode") === "mask" ? "mask" : "look";

  constructor() {
    this.stage = new Stage($("stage"), () => { this.boxes?.render(); this.shapes?.later(); });
    pinching(this.stage);
    this.frames = new Frames((image) => `${base}/images/${image.id}/frames`, (image) => this.masks.refresh(image));
    this.cine = new Cine($("cine"), this.frames, this.stage, {
      shown: (image, frame) => this.#shown(image, frame),
      failed: () => this.note(t("frame_failed"), "stop"),
      playing: (isPlaying) => this.#playing(isPlaying),
    });
    this.boxes = new Boxes(this.stage, {
      draw: (box) => this.masks.draw(box),
      change: (item, box) => this.masks.change(item, box),
      remove: (item) => this.masks.remove(item),
      select: () => this.masks.show(),
    });
    this.#editor();
    this.masks = new Masks($("mask-panel"), this);
    this.thumbs = new Thumbs($("thumbs"), (image) => this.open(image));
    this.original = new Original(this.stage, $("original"), this);
    this.heart = Heart.of(this);
    $("viewer-tools").addEventListener("click", (event) => this.#tool(event));
    $("rois").addEventListener("click", (event) => DEEDS[event.target.closest("[data-deed]")?.dataset.deed]?.(this));
    this.stage.root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    addEventListener("keydown", (event) => this.#down(event));
    addEventListener("keyup", (event) => { if (event.code === "KeyB") this.original.end(); });
  }

  /** What draws and keeps ROIs: on stills and cines alike, for a still is a cine of one frame. */
  #editor() {
    const viewer = this;
    this.shapes = new Shapes(this.stage);
    this.proposals = new Proposals(this);
    this.tracks = new Tracks(this);
    this.rois = new Rois($("rois"), this);
    this.timeline = new Timeline($("timeline"), $("scrubber"), this);
    this.nudge = new Nudge(this);
    this.look = new Look(this.stage, $("look"), $("look-filter"));
    this.sketch = new Sketch(this.stage, {
      get frame() { return viewer.frame; },
      done: (tool, points, frame) => this.rois.drawn(tool, points, frame),
      changed: () => this.shapes.later(),
    });
    this.shapes.follow(this.sketch);
    this.hand = new Hand(this.stage, this.shapes, this.sketch, this.look, {
      get isOn() { return viewer.mode === "look"; },
      select: (id, isMore) => this.rois.select(id, isMore),
      place: (id, points, frame) => this.#placed(id, points, frame),
      get frame() { return viewer.frame; },
    });
  }

  get frame() {
    return this.cine.frame;
  }

  start(number) {
    for (const element of document.querySelectorAll(".scripted")) element.removeAttribute("hidden"); // SVG has no property for it
    if (!data.maySeePixels) $("original").disabled = true;
    this.thumbs.count();
    this.use(this.mode);
    this.tool("select");
    const undecided = (image) => this.mode === "mask" && image.mask?.state !== "CONFIRMED" && image.picked !== false;
    const first = data.images.find((image) => image.number === number) ?? data.images.find(undecided) ?? data.images[0];
    const frame = first?.number === number ? Number(new URLSearchParams(location.search).get("frame")) || 1 : 1;
    if (first) this.open(first, Math.min(Math.max(1, frame), first.frames), false);
    else this.note(t("no_mask"), "off");
  }

  // Images and frames

  open(image, frame = 1, isFocused = true) {
    this.original.end();
    this.image = image;
    this.stage.take(image);
    this.sketch.drop();
    this.tracks.forget();
    this.shapes.selected = [];
    this.rois.take(image, frame);
    this.masks.take(image, frame);
    this.heart?.take(image);
    this.boxes.select(null);
    this.thumbs.turn(image);
    $("viewer").classList.toggle("of-still", image.frames < 2);
    this.ready(image, frame);
    if (isFocused) this.stage.root.focus({ preventScroll: true });
    document.dispatchEvent(new CustomEvent("sonobank:image", { detail: { id: image.id, number: image.number } }));
  }

  /** The candidate of this image came, changed or is held: show what there is now. */
  ready(image, frame = this.frame) {
    this.thumbs.renew(image);
    if (image !== this.image) return;
    this.proposals.take(image);
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
    this.#show();
  }

  #show() {
    if (this.mode === "mask") this.masks.show();
    else this.rois.show();
  }

  #playing(isPlaying) {
    this.shapes.isPlaying = isPlaying;
    if (!isPlaying && this.image && this.mode === "look") this.rois.show();
  }

  /** A drag has ended: of a proposal, which is taken so, or of an object on the frame that is shown. */
  #placed(id, points, frame) {
    if (this.proposals.isOne(id)) return this.proposals.edit(id, points);
    const roi = this.rois.all.find((one) => one.id === id);
    return roi && this.rois.put(roi, frame, points);
  }

  #cover() {
    const canSee = Boolean(this.image.mask?.digest) && data.maySeePixels;
    this.stage.root.classList.toggle("empty", !canSee);
  }

  #shown(image, frame) {
    this.note("");
    this.rois.at(frame);
    document.dispatchEvent(new CustomEvent("sonobank:frame", { detail: { frame } }));
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

  use(wanted) {
    const mode = data.isReading ? "look" : wanted; // a reader confirms no mask
    this.mode = mode;
    document.dispatchEvent(new CustomEvent("sonobank:mode", { detail: { mode } }));
    this.sketch.drop();
    this.boxes.isOn = mode === "mask";
    this.boxes.select(null);
    if (mode === "mask") this.shapes.set([], false);
    else this.boxes.set([], false);
    $("rois").hidden = mode === "mask";
    $("timeline").hidden = mode === "mask";
    $("mask-panel").hidden = mode !== "mask";
    this.stage.root.dataset.mode = mode;
    for (const button of document.querySelectorAll("#viewer-tools [data-look-only]")) button.hidden = mode === "mask";
    if (mode === "mask" && this.toolName !== "select") this.tool(DRAWS_MASKS);
    for (const button of document.querySelectorAll("[data-mode-of]")) button.setAttribute("aria-pressed", String(button.dataset.modeOf === mode));
    if (!this.image) return;
    this.stage.hatch(mode === "mask" ? [] : this.image.mask?.rects ?? []);
    this.#show();
  }

  tool(tool) {
    if (tool !== "select" && !data.mayCurate) return;
    this.toolName = tool;
    this.sketch.use(tool);
    this.boxes.use(tool === DRAWS_MASKS ? "draw" : "select");
    this.stage.root.dataset.tool = tool === "select" ? tool : "draw";
    for (const button of document.querySelectorAll("[data-tool-of]")) button.setAttribute("aria-pressed", String(button.dataset.toolOf === tool));
  }

  /** A word over the picture, as long as it is true. */
  note(words, tone = "") {
    const note = $("stage-note");
    if (!words && note.hidden) return; // asked for with every frame
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

  #down(event) {
    if (event.isComposing || event.key === "Process" || event.defaultPrevented || event.metaKey) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const deed = deedOf(event);
    if (!deed || (["Space", "Enter"].includes(event.code) && event.target.closest("button, a, summary, input"))) return;
    if (deed(this, event) !== false) event.preventDefault();
  }
}

panels();
new Viewer().start(Number(new URLSearchParams(location.search).get("image")));
