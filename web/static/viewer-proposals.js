// Help from a model: shapes that it proposes, dashed and apart from the ROIs. Nothing of it is an ROI until a person says so.
"use strict";
import { save } from "./case-save.js";
import { heart, say } from "./heart-words.js";
import { boxOf } from "./tracks.js";
import { base, data, figure, labelOf, t } from "./viewer-words.js";

const PREFIX = "proposal:";
const DONE = new Set(["ACCEPTED", "EDITED", "REJECTED"]);
// A border of the ventricle goes into the contour of its image; it is drawn as a line, and a lesion never is.
const isBorder = ({ kind }) => kind === "line";
const wordOf = (one) => (isBorder(one) && heart ? say(`${one.label}_long`) : labelOf(one.label)) || t("proposals");

export class Proposals {
  #image = null;
  #known = new Map();

  /** `viewer` has rois, shapes, mode, frame, go(frame) and say(words, tone). */
  constructor(viewer) {
    this.viewer = viewer;
  }

  take(image) {
    this.#image = image;
  }

  /** What is proposed for this image, asked for once, when a person wants it: nobody has to clear what they did not ask for.
   *  The key of the words that say why the model could not be asked; nothing when it could. */
  async #ask(image) {
    if (!data.proposes || this.#known.has(image.id) || !data.mayCurate || !data.maySeePixels || !image.mask?.digest) return "";
    this.#known.set(image.id, []);
    this.viewer.say(t("proposing"), "");
    try {
      const answer = await fetch(this.#path(image), { method: "POST", credentials: "same-origin", headers: { Accept: "application/json" } });
      if (!answer.ok) throw { status: answer.status };
      const { proposals, model } = await answer.json();
      this.#known.set(image.id, proposals.filter(({ state }) => !DONE.has(String(state).toUpperCase())).map((one) => ({ ...one, model })));
    } catch ({ status }) {
      this.#known.delete(image.id); // The network or the model is away, or the candidate changed: it can be asked for again.
      return status === 503 ? "no_model" : "proposing_failed";
    }
    this.viewer.say("", "");
    if (image === this.#image && this.#open.length && this.viewer.mode === "look") this.viewer.rois.show();
    return "";
  }

  #path(image) {
    return `${base}/images/${image.id}/proposals`;
  }

  get #open() {
    return this.#known.get(this.#image?.id) ?? [];
  }

  isOne(id) {
    return id?.startsWith(PREFIX) ?? false;
  }

  frames() {
    return [...new Set(this.#open.map((one) => one.frame))];
  }

  /** The open proposals of a frame, as viewer-shapes.js shows them. */
  items(frame) {
    return this.#open.filter((one) => one.frame === frame).map((one) => ({
      id: PREFIX + one.id, kind: one.kind, use: isBorder(one) ? "lv" : "lesion", points: one.points, tone: "proposal", dashed: true, isKey: false,
      tag: `${figure(one.score * 100)} %`, name: () => this.#name(one),
    }));
  }

  #name(one) {
    const { width, height } = boxOf(one);
    return t("proposal_name", { label: wordOf(one), score: figure(one.score * 100), frame: one.frame, width: figure(width), height: figure(height) });
  }

  /** The chosen proposal, else the surest of this frame. */
  get #current() {
    const here = this.#open.filter((one) => one.frame === this.viewer.frame);
    const [chosen] = this.viewer.shapes.selected;
    return here.find((one) => PREFIX + one.id === chosen) ?? here.toSorted((a, b) => b.score - a.score)[0];
  }

  /** To the next frame with an open proposal, which is chosen then. */
  async next() {
    const trouble = await this.#ask(this.#image);
    if (trouble) return this.viewer.say(t(trouble), "warn");
    const { frame } = this.viewer;
    const later = this.#open.filter((one) => one.frame > frame);
    const one = later.toSorted((a, b) => a.frame - b.frame)[0] ?? this.#open[0];
    if (!one) return this.viewer.say(t("no_proposals"), "");
    if (one.frame !== frame) await this.viewer.go(one.frame);
    this.viewer.rois.select(PREFIX + one.id, false, true);
    return undefined;
  }

  accept(points) {
    const one = this.#current;
    return one ? this.#answer(one, "accept", points) : this.viewer.say(t("no_proposals"), "");
  }

  /** A drag of a proposal takes it, as it lies then. */
  edit(id, points) {
    const one = this.#open.find(({ id: own }) => PREFIX + own === id);
    return one && this.#answer(one, "accept", points);
  }

  reject() {
    const one = this.#current;
    return one ? this.#answer(one, "reject") : this.viewer.say(t("no_proposals"), "");
  }

  /** All that this frame shows. */
  acceptAll() {
    const here = this.#open.filter((one) => one.frame === this.viewer.frame);
    if (!here.length) return false;
    for (const one of here) this.#answer(one, "accept");
    return true;
  }

  async #answer(one, answer, points = null) {
    const image = this.#image;
    const { rois, shapes } = this.viewer;
    if (!data.mayCurate) return this.viewer.say(t("forbidden"), "warn");
    this.#known.set(image.id, this.#open.filter((other) => other !== one));
    shapes.selected = shapes.selected.filter((id) => id !== PREFIX + one.id);
    const isTaken = answer === "accept";
    const roi = isTaken && !isBorder(one) ? rois.make(one.kind, "lesion", [[one.frame, points ?? one.points]], one.label ? { label: one.label } : {}) : null;
    if (roi) {
      image.rois.push(roi);
      rois.number(roi.lesionId);
      shapes.selected = [roi.id];
    }
    rois.show();
    if (roi) shapes.focus(roi.id);
    try {
      const roiId = isTaken && isBorder(one) ? await this.viewer.heart.takeUp(one, points ?? one.points) : null;
      if (isTaken && !roi && !roiId) return undefined; // the contour was refused, and the page has said why
      const told = await save("POST", `${this.#path(image)}/${one.id}`, () => ({ answer, ...(roi && { roi: rois.bodyOf(roi) }), ...(roiId && { roiId }) }));
      if (roi) Object.assign(roi, told.roi ?? { version: 1 });
      document.dispatchEvent(new CustomEvent("sonobank:rois", { detail: { imageId: image.id, rois: image.rois } }));
    } catch (error) {
      if (error?.status === undefined) throw error;
      image.rois = image.rois.filter((other) => other !== roi);
      this.viewer.say(t(error.status === 409 ? "changed" : "not_saved"), "stop", true);
    }
    return rois.show();
  }
}
