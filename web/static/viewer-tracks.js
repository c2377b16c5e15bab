// A lesion through a cine, by keys: keyframes, out of view, split, merge, delete a range, the ways from one to the next.
"use strict";
import * as edits from "./track-edits.js";
import { data, t } from "./viewer-words.js";

export class Tracks {
  #from = null;

  /** `viewer` has rois, timeline, shapes, image, frame, go(frame), open(image, frame) and say(words, tone). */
  constructor(viewer) {
    this.viewer = viewer;
  }

  get #rois() {
    return this.viewer.rois;
  }

  /** The frames from where a range was begun to the one that is shown; null for none. */
  get range() {
    return this.#from === null ? null : [this.#from, this.viewer.frame].sort((a, b) => a - b);
  }

  /** Begin a range at a frame, or with null (or the second time) forget it. */
  begin(frame = this.#from === null ? this.viewer.frame : null) {
    this.#from = this.viewer.image.frames > 1 ? frame : null;
    this.viewer.timeline.at(this.viewer.frame);
    if (this.range) this.viewer.say(t("range_on"), "");
  }

  forget() {
    if (this.#from === null) return false;
    this.begin(null);
    return true;
  }

  /** Do this to the chosen object; words instead where there is none, or where it cannot be done. */
  #with(words, deed) {
    const roi = this.#rois.selected;
    if (!data.mayCurate) return this.viewer.say(t("forbidden"), "warn");
    if (!roi) return this.viewer.say(t("choose_first"), "warn");
    if (this.viewer.image.frames < 2) return undefined;
    try {
      deed(roi, this.viewer.frame);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.viewer.say(t(words), "warn");
    }
    return undefined;
  }

  keyframe() {
    this.#with("last_keyframe", (roi, frame) => this.#rois.apply(roi, edits.toggleKeyframe(roi, frame)));
  }

  view() {
    this.#with("last_keyframe", (roi, frame) => {
      const { range } = this;
      const { frames } = this.viewer.image;
      this.#rois.apply(roi, range ? edits.hide(roi, ...range) : edits.toggleView(roi, frame, frames));
      this.forget();
    });
  }

  /** The shape of this frame on the next one, which is shown then. */
  duplicate() {
    this.#with("no_next", (roi, frame) => {
      this.#rois.apply(roi, edits.duplicateToNext(roi, frame, this.viewer.image.frames));
      this.viewer.go(frame + 1).then(() => this.viewer.shapes.focus(roi.id));
    });
  }

  split() {
    this.#with("no_split", (roi, frame) => {
      const [before, after] = edits.split(roi, frame);
      this.#rois.apply(roi, before);
      this.#part(roi, after);
    });
  }

  #part(roi, { keyframes, outOfView, uncertain }) {
    const { lesionId, label, margin } = roi;
    this.#rois.add(this.#rois.make(roi.kind, roi.use, keyframes, { lesionId, label, margin, outOfView, uncertain }));
  }

  /** The two chosen objects of one lesion become one; between them the lesion is out of view until someone says else. */
  merge() {
    const { chosen } = this.#rois;
    if (!data.mayCurate) return this.viewer.say(t("forbidden"), "warn");
    if (chosen.length !== 2 || chosen[0].lesionId !== chosen[1].lesionId || chosen[0].use !== chosen[1].use) return this.viewer.say(t("merge_two"), "warn");
    const [one, other] = chosen[0].keyframes[0][0] < chosen[1].keyframes[0][0] ? chosen : [chosen[1], chosen[0]];
    try {
      const whole = edits.merge(one, other, edits.span(other)[0] - edits.span(one)[1] > 1);
      this.#rois.remove(other, true);
      this.viewer.shapes.selected = [one.id];
      this.#rois.apply(one, whole);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.viewer.say(t("merge_apart"), "warn");
    }
    return undefined;
  }

  /** Nothing is said any more about the frames of the range; without a range about this frame. */
  deleteRange() {
    this.#with("last_keyframe", (roi, frame) => {
      const [first, ...others] = edits.deleteRange(roi, ...(this.range ?? [frame, frame]));
      if (!first) this.#rois.remove(roi);
      else {
        this.#rois.apply(roi, first);
        for (const part of others) this.#part(roi, part);
      }
      this.forget();
    });
  }

  // Ways

  /** To the next (1) or previous (-1) keyframe of the chosen object, or of any. */
  jump(direction) {
    const { selected, all } = this.#rois;
    const frame = edits.beside(selected ? [selected] : all, this.viewer.frame, direction);
    if (frame !== null) this.viewer.go(frame);
  }

  /** To the next (1) or previous (-1) object of this image. */
  turn(direction) {
    const { all, selected } = this.#rois;
    if (!all.length) return;
    const at = selected ? all.indexOf(selected) : direction > 0 ? -1 : 0;
    this.#rois.visit(all[(at + direction + all.length) % all.length]);
  }

  /** To the next image that shows the lesion of the chosen object. */
  follow() {
    const lesionId = this.#rois.selected?.lesionId ?? this.#rois.lesions[0];
    const at = data.images.indexOf(this.viewer.image);
    const after = [...data.images.slice(at + 1), ...data.images.slice(0, at)];
    for (const image of after) {
      const roi = image.rois.find((one) => one.lesionId === lesionId);
      if (!roi) continue;
      this.viewer.open(image, roi.keyframes[0][0]);
      this.#rois.select(roi.id);
      return;
    }
    this.viewer.say(t("nowhere_else"), "warn");
  }
}
