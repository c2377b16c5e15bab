// ROIs: the list beside the picture, their class and lesion, and each change saved under the version that was seen.
"use strict";
import { save } from "./case-save.js";
import { base, data, figure, labelOf, make, newId, t } from "./viewer-words.js";

const MARGIN = 8;
const PAUSE_MS = 400;

export class Rois {
  #image = null;
  #frame = 1;
  #timers = new Map();
  #saving = new Map();

  /** `viewer` has boxes, go(frame) and say(words, tone). */
  constructor(root, viewer) {
    this.root = root;
    this.viewer = viewer;
    this.list = root.querySelector("#roi-list");
    this.label = root.querySelector("#roi-class");
    this.lesion = root.querySelector("#roi-lesion");
    this.label.append(...data.labels.map((one) => make("option", { value: one.code, text: one.label })));
    this.lesions = [...new Set(data.images.flatMap((image) => image.rois.map((roi) => roi.lesionId)))];
    this.label.addEventListener("change", () => { this.isChosen = true; this.classify(this.label.value); });
    this.lesion.addEventListener("change", () => this.#belong(this.lesion.value));
    root.querySelector("#roi-delete").addEventListener("click", () => this.remove(this.#selected()));
    addEventListener("pagehide", () => this.#flush());
  }

  take(image, frame) {
    this.#flush();
    this.#image = image;
    this.#frame = frame;
  }

  at(frame) {
    if (frame === this.#frame) return;
    this.#frame = frame;
    if (this.viewer.mode === "look" && (this.viewer.boxes.items.length || this.#here().length)) this.#place();
  }

  #here() {
    return this.#image.rois.filter((roi) => roi.frame === this.#frame);
  }

  #place() {
    const items = this.#here().map((roi) => Object.assign(roi, { key: roi.id, kind: "roi", name: this.#name(roi) }));
    this.viewer.boxes.set(items, data.mayCurate);
  }

  /** Put the ROIs of this frame over the picture, and all of the image into the list. */
  show() {
    const image = this.#image;
    this.#place();
    const { selected } = this.viewer.boxes;
    this.list.replaceChildren(...image.rois.map((roi) => this.#row(roi, roi.id === selected)));
    this.root.querySelector("#roi-none").hidden = image.rois.length > 0;
    this.#controls();
  }

  #name(roi) {
    return t("box", { lesion: this.#number(roi.lesionId), label: labelOf(roi.label), frame: roi.frame, width: figure(roi.width), height: figure(roi.height) });
  }

  #number(lesionId) {
    if (!this.lesions.includes(lesionId)) this.lesions.push(lesionId);
    return this.lesions.indexOf(lesionId) + 1;
  }

  #row(roi, isSelected) {
    const centre = roi.centrePx
      ? t("centre", { x: figure(roi.centrePx[0], 1), y: figure(roi.centrePx[1], 1) })
      : "…";
    const mm = roi.centreMm ? `${roi.centreMm.map((mm) => figure(mm, 1)).join(", ")} mm` : "";
    const size = roi.sizeMm ? `${figure(roi.sizeMm[0], 1)} × ${figure(roi.sizeMm[1], 1)} mm` : `${figure(roi.width)} × ${figure(roi.height)} px`;
    const button = make("button", { type: "button", class: "roi-row", "aria-pressed": isSelected ? "true" : "false" },
      make("b", { text: t("lesion_of", { n: this.#number(roi.lesionId) }) }),
      make("span", { text: labelOf(roi.label) }),
      make("span", { class: "quiet", text: this.#image.frames > 1 ? t("frame_of", { frame: roi.frame, frames: this.#image.frames }) : "" }),
      make("span", { class: "number", text: size }),
      make("span", { class: "number quiet", text: `${centre}${mm ? ` · ${mm}` : ""}` }),
      ...(this.#isMasked(roi) ? [make("span", { class: "warned", icon: "warn", text: t("under_mask") })] : []));
    button.addEventListener("click", () => {
      if (roi.frame !== this.#frame) this.viewer.go(roi.frame);
      this.at(roi.frame);
      this.viewer.boxes.select(roi.id, true);
    });
    return make("li", {}, button);
  }

  #isMasked(roi) {
    return (this.#image.mask?.rects ?? []).some(([x, y, width, height]) =>
      x < roi.x + roi.width && roi.x < x + width && y < roi.y + roi.height && roi.y < y + height);
  }

  #selected() {
    return this.#image?.rois.find((roi) => roi.id === this.viewer.boxes.selected);
  }

  #controls() {
    const roi = this.#selected();
    const chosen = roi ? roi.lesionId : this.lesion.value;
    const options = this.lesions.map((id, index) => make("option", { value: id, text: t("lesion", { n: index + 1 }) }));
    this.lesion.replaceChildren(...options, make("option", { value: "new", text: t("lesion_new") }));
    this.lesion.value = this.lesions.includes(chosen) ? chosen : this.lesions[0] ?? "new";
    if (roi) this.label.value = roi.label;
    else if (!this.isChosen) this.label.value = this.#usual();
    this.root.querySelector("#roi-delete").disabled = !roi || !data.mayCurate;
    this.label.disabled = this.lesion.disabled = !data.mayCurate;
  }

  /** The class that a new ROI most likely has: that of the ROIs before, else the diagnosis of the form. */
  #usual() {
    const drawn = data.images.flatMap((image) => image.rois).at(-1)?.label;
    const field = document.querySelector('#case-form select[name="diagnosis"], #case-form input[name="diagnosis"]:is([type=hidden], :checked)');
    return [drawn, field?.value].find((code) => data.labels.some((one) => one.code === code)) ?? data.labels[0]?.code;
  }

  /** A box was drawn: a new ROI of the class and lesion that are set. */
  draw(box) {
    const lesionId = this.lesion.value === "new" || !this.lesion.value ? newId() : this.lesion.value;
    const roi = { id: newId(), imageId: this.#image.id, ...box, frame: this.#frame, margin: MARGIN, label: this.label.value, lesionId, version: 0 };
    const image = this.#image;
    image.rois.push(roi);
    this.#number(lesionId);
    this.viewer.boxes.selected = roi.id;
    this.show();
    this.viewer.boxes.select(roi.id, true);
    this.#send(image, roi, "POST", `${base}/images/${image.id}/rois`, () => body(roi));
  }

  change(roi) {
    roi.centrePx = roi.centreMm = roi.sizeMm = undefined;
    this.show();
    const image = this.#image;
    clearTimeout(this.#timers.get(roi.id)?.timer);
    const send = () => { this.#timers.delete(roi.id); this.#update(image, roi); };
    this.#timers.set(roi.id, { timer: setTimeout(send, PAUSE_MS), send });
  }

  /** Give the chosen ROI (or the next one) this class. */
  classify(code) {
    this.label.value = code;
    this.isChosen = true;
    const roi = this.#selected();
    if (!roi || !data.mayCurate || roi.label === code) return;
    roi.label = code;
    this.change(roi);
  }

  #belong(lesionId) {
    const roi = this.#selected();
    if (!roi) return;
    roi.lesionId = lesionId === "new" ? newId() : lesionId;
    this.#number(roi.lesionId);
    this.change(roi);
  }

  remove(roi) {
    if (!roi || !data.mayCurate) return;
    clearTimeout(this.#timers.get(roi.id)?.timer);
    this.#timers.delete(roi.id);
    const image = this.#image;
    image.rois = image.rois.filter((one) => one !== roi);
    this.viewer.boxes.select(null);
    this.show();
    this.viewer.boxes.stage.root.focus({ preventScroll: true });
    this.#update(image, roi, true);
  }

  select() {
    this.show();
    this.#row_into_view();
  }

  #row_into_view() {
    this.list.querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
  }

  #flush() {
    for (const { timer, send } of [...this.#timers.values()]) { clearTimeout(timer); send(); }
  }

  #update(image, roi, deleted = false) {
    this.#send(image, roi, "PUT", `${base}/rois/${roi.id}`, () => ({ ...body(roi), version: roi.version || 1, deleted }));
  }

  async #send(image, roi, method, path, made) {
    this.#saving.set(roi.id, (this.#saving.get(roi.id) ?? 0) + 1);
    try {
      const told = await save(method, path, made);
      roi.version = told.version;
      const isLast = this.#saving.get(roi.id) === 1 && !this.#timers.has(roi.id);
      if (isLast) Object.assign(roi, { centrePx: told.centrePx, centreMm: told.centreMm, sizeMm: told.sizeMm });
    } catch (error) {
      this.viewer.say(t(error.status === 409 ? "changed" : error.status === 403 ? "forbidden" : "not_saved"), "stop", true);
    } finally {
      this.#saving.set(roi.id, this.#saving.get(roi.id) - 1);
    }
    if (image === this.#image && this.viewer.mode === "look") this.show();
    document.dispatchEvent(new CustomEvent("sonobank:rois", { detail: { imageId: image.id, rois: image.rois } }));
  }
}

const body = ({ id, frame, x, y, width, height, margin, label, lesionId }) => ({ id, frame, x, y, width, height, margin, label, lesionId });
