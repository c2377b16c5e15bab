// ROIs: the objects of an image, which of them is chosen, their class and lesion; each change is shown and saved.
"use strict";
import { fitted } from "./shape-edits.js";
import { boxOf } from "./tracks.js";
import { isKeyframe, place, pointsAt } from "./track-edits.js";
import { RoiList } from "./viewer-roi-list.js";
import { Saves, bodyOf } from "./viewer-roi-save.js";
import { data, newId, t } from "./viewer-words.js";

const MARGIN = 8;
const TONES = 8;
const REST_MS = 200; // after the last step, for what the list says of the frame

export class Rois {
  #image = null;
  #frame = 1;

  /** `viewer` has shapes, timeline, proposals, cine, mode, go(frame) and say(words, tone). */
  constructor(root, viewer) {
    this.root = root;
    this.viewer = viewer;
    this.lesions = [...new Set(data.images.flatMap((image) => image.rois.map((roi) => roi.lesionId)))];
    this.list = new RoiList(root, this);
    this.saves = new Saves({ saved: (...all) => this.#saved(...all), failed: (error) => this.#failed(error) });
  }

  take(image, frame) {
    this.saves.flush();
    this.#image = image;
    this.#frame = frame;
  }

  get image() {
    return this.#image;
  }

  get all() {
    return this.#image?.rois ?? [];
  }

  get frame() {
    return this.#frame;
  }

  /** The object that was chosen last. */
  get selected() {
    return this.all.find((roi) => roi.id === this.viewer.shapes.selected.at(-1));
  }

  get chosen() {
    return this.viewer.shapes.selected.map((id) => this.all.find((roi) => roi.id === id)).filter(Boolean);
  }

  // What is shown

  /** Another frame is on the canvas: its shapes, in the same picture. */
  at(frame) {
    this.#frame = frame;
    if (this.viewer.mode !== "look") return;
    this.draw();
    this.viewer.timeline.at(frame);
    if (this.viewer.cine.isPlaying) return;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.list.show(), REST_MS);
  }

  draw() {
    const items = [];
    for (const roi of this.all) {
      const points = pointsAt(roi, this.#frame);
      if (points) items.push(this.#item(roi, points));
    }
    this.viewer.shapes.set([...items, ...this.viewer.proposals.items(this.#frame)], data.mayCurate);
  }

  #item(roi, points) {
    return {
      id: roi.id, kind: roi.kind, use: roi.use, points, tone: this.tone(roi), isKey: isKeyframe(roi, this.#frame),
      tag: this.list.tag(roi, points), name: () => this.list.name(roi, points, this.#frame),
    };
  }

  /** Shapes of this frame, the timeline of the cine and the list of the image. */
  show() {
    this.draw();
    this.viewer.timeline.show(this.#image);
    this.list.show();
  }

  tone(roi) {
    return roi.use === "lesion" ? data.labels.findIndex((one) => one.code === roi.label) % TONES : "measure";
  }

  /** The number of a lesion, counted over the whole case. */
  number(lesionId) {
    if (!this.lesions.includes(lesionId)) this.lesions.push(lesionId);
    return this.lesions.indexOf(lesionId) + 1;
  }

  // Choosing

  /** Choose an object, or one more with `isMore`; null for none. */
  select(id, isMore = false, isFocused = false) {
    const { shapes } = this.viewer;
    const before = shapes.selected;
    if (id === null) shapes.selected = [];
    else if (isMore) shapes.selected = before.includes(id) ? before.filter((one) => one !== id) : [...before, id];
    else shapes.selected = [id];
    if (id !== null && !isMore && before.length === 1 && before[0] === id) {
      if (isFocused) shapes.focus(id);
      return;
    }
    this.list.turn(this.selected);
    this.show();
    this.list.intoView();
    if (isFocused) shapes.focus(id);
  }

  /** Choose an object and go to a frame that shows it. */
  visit(roi, frame = pointsAt(roi, this.#frame) ? this.#frame : roi.keyframes[0][0]) {
    this.select(roi.id);
    if (frame !== this.#frame) return this.viewer.go(frame).then(() => this.viewer.shapes.focus(roi.id));
    return this.viewer.shapes.focus(roi.id);
  }

  // Changes

  /** Something was drawn: on another frame of the chosen object a keyframe of it, else a new object of the class and lesion that are set. */
  drawn({ kind, use }, points, frame) {
    const chosen = this.selected;
    if (chosen && chosen.kind === kind && chosen.use === use && kind !== "points" && !this.list.isWishing && !pointsAt(chosen, frame)) return this.put(chosen, frame, points);
    const roi = this.make(kind, use, [[frame, points]]);
    this.add(roi);
    if (use === "lesion") this.#relabel(roi.lesionId, roi.label);
    return this.viewer.shapes.focus(roi.id);
  }

  bodyOf(roi) {
    return bodyOf(roi);
  }

  /** A new object that is nowhere yet. */
  make(kind, use, keyframes, given = {}) {
    const box = boxOf({ kind, points: keyframes[0][1] });
    const lesionId = this.list.lesionId(kind) ?? newId();
    return {
      id: newId(), imageId: this.#image.id, lesionId, label: use === "lesion" ? this.list.classOf(lesionId) : "", margin: MARGIN, ...given,
      kind, use, keyframes, outOfView: given.outOfView ?? [], uncertain: given.uncertain ?? [], frame: keyframes[0][0], ...box, version: 0,
    };
  }

  add(roi, image = this.#image) {
    image.rois.push(roi);
    this.number(roi.lesionId);
    this.viewer.shapes.selected = [roi.id];
    this.list.turn(roi);
    this.show();
    this.list.intoView();
    return this.saves.add(image, roi);
  }

  /** These points on that frame, as a keyframe. */
  put(roi, frame, points) {
    this.apply(roi, place(roi, frame, points));
  }

  /** What the functions of track-edits.js gave, or any other change of one object. */
  apply(roi, change, image = this.#image) {
    const size = [image.columns, image.rows];
    Object.assign(roi, change);
    if (change.keyframes) roi.keyframes = change.keyframes.map(([number, points]) => [number, fitted(roi.kind, points, size)]);
    const [frame, points] = roi.keyframes[0];
    Object.assign(roi, { frame, ...boxOf({ kind: roi.kind, points }), centrePx: undefined, centreMm: undefined, sizeMm: undefined });
    this.show();
    this.saves.change(image, roi);
  }

  /** This class for the chosen object's lesion, wherever it was drawn, or for the next one. */
  classify(code) {
    const roi = this.selected;
    if (!roi) return this.list.wish(code);
    if (data.mayCurate) this.#relabel(roi.lesionId, code);
    return undefined;
  }

  #relabel(lesionId, code) {
    for (const image of data.images) {
      for (const roi of image.rois) if (roi.lesionId === lesionId && roi.use === "lesion" && roi.label !== code) this.apply(roi, { label: code }, image);
    }
  }

  /** The chosen object belongs to the n-th lesion of the case (0: a new one); with none chosen, or a tool to draw, the next one. */
  belong(n) {
    const lesionId = n === 0 ? newId() : this.lesions[n - 1];
    if (!lesionId) return this.viewer.say(t("no_lesion", { n }), "warn");
    const roi = this.viewer.sketch.tool ? null : this.selected;
    if (!roi || !data.mayCurate) return this.list.wishLesion(n === 0 ? "new" : lesionId);
    const known = data.images.flatMap((image) => image.rois).find((one) => one.lesionId === lesionId && one.use === "lesion" && one !== roi);
    this.number(lesionId);
    return this.apply(roi, { lesionId, ...(known && roi.use === "lesion" ? { label: known.label } : {}) });
  }

  remove(roi, isQuiet = false) {
    if (!roi || !data.mayCurate) return;
    const image = this.#image;
    image.rois = image.rois.filter((one) => one !== roi);
    this.saves.remove(image, roi);
    if (isQuiet) return;
    this.viewer.shapes.selected = [];
    this.show();
    this.viewer.stage.root.focus({ preventScroll: true });
  }

  /** The objects of each image by its id, as the server has them now; the choice stays where it still is one. */
  renew(known) {
    for (const image of data.images) image.rois = known.get(image.id) ?? image.rois;
    const { shapes } = this.viewer;
    shapes.selected = shapes.selected.filter((id) => this.all.some((roi) => roi.id === id));
    this.lesions = [...new Set([...this.lesions, ...data.images.flatMap((image) => image.rois.map((roi) => roi.lesionId))])];
    if (this.viewer.mode === "look") this.show();
    for (const image of data.images) document.dispatchEvent(new CustomEvent("sonobank:rois", { detail: { imageId: image.id, rois: image.rois } }));
  }

  #saved(image, roi, told, isLast) {
    if (isLast) {
      for (const name of ["frame", "x", "y", "width", "height", "centrePx", "centreMm", "sizeMm"]) if (told[name] !== undefined) roi[name] = told[name];
    }
    if (image === this.#image && this.viewer.mode === "look" && !this.viewer.cine.isPlaying) this.list.show();
    document.dispatchEvent(new CustomEvent("sonobank:rois", { detail: { imageId: image.id, rois: image.rois } }));
  }

  #failed(error) {
    this.viewer.say(t(error.status === 409 ? "changed" : error.status === 403 ? "forbidden" : "not_saved"), "stop", true);
  }
}
