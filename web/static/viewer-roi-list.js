// The list of an image's ROIs below the picture, with class and lesion of the chosen one; what each object is called.
"use strict";
import { lengthMm, sizeMm } from "./measures.js";
import { boxOf } from "./tracks.js";
import { pointsAt, span } from "./track-edits.js";
import { data, figure, labelOf, make, t } from "./viewer-words.js";

const classOf = (code) => data.labels.find((one) => one.code === code);

export class RoiList {
  #wish = null;
  #wishLesion = null;
  #recent = null;

  /** `rois` has all, selected, lesions, number(), viewer and the verbs. */
  constructor(root, rois) {
    Object.assign(this, { root, rois });
    this.list = root.querySelector("#roi-list");
    this.label = root.querySelector("#roi-class");
    this.lesion = root.querySelector("#roi-lesion");
    this.label.append(...data.labels.map((one) => make("option", { value: one.code, text: one.label })));
    this.label.addEventListener("change", () => rois.classify(this.label.value));
    this.lesion.addEventListener("change", () => rois.belong(this.lesion.value === "new" ? 0 : rois.lesions.indexOf(this.lesion.value) + 1));
    root.querySelector("#roi-delete").addEventListener("click", () => rois.remove(rois.selected));
  }

  // Words

  /** What stands beside the shape: the number of the lesion, or the length. */
  tag(roi, points) {
    if (roi.use === "caliper" && points.length === 2) return this.#length(points);
    if (roi.use === "landmark") return "";
    return String(this.rois.number(roi.lesionId));
  }

  #length(points) {
    const mm = lengthMm(this.rois.image.regions, boxOf({ kind: "points", points }));
    return mm === null ? t("unknown") : `${figure(mm, 1)} mm`;
  }

  name(roi, points, frame) {
    const { width, height } = boxOf({ kind: roi.kind, points });
    if (roi.use === "caliper" && points.length === 2) return t("caliper_name", { length: this.#length(points), frame });
    if (roi.use === "landmark") return t("landmark_name", { x: figure(points[0][0]), y: figure(points[0][1]), frame });
    const values = { lesion: this.rois.number(roi.lesionId), label: labelOf(roi.label), frame, width: figure(width), height: figure(height) };
    return t(roi.kind === "rectangle" ? "box" : "object", { ...values, kind: t(`kind_${roi.kind}`) });
  }

  #frames(roi) {
    const { frames } = this.rois.image;
    if (frames < 2) return "";
    const [first, last] = span(roi);
    return first === last ? t("frame_of", { frame: first, frames }) : t("frames_of", { first, last, count: roi.keyframes.length });
  }

  #size(roi) {
    const points = pointsAt(roi, this.rois.frame) ?? roi.keyframes[0][1];
    if (roi.use === "caliper" && points.length === 2) return this.#length(points);
    if (roi.use !== "lesion") return "";
    const mm = sizeMm(this.rois.image.regions, boxOf({ kind: roi.kind, points }));
    return mm ? `${figure(mm[0], 1)} × ${figure(mm[1], 1)} mm` : t("unknown");
  }

  #centre({ keyframes, kind, use, centrePx, centreMm }) {
    if (use === "caliper") return "";
    const box = boxOf({ kind, points: keyframes[0][1] });
    const [x, y] = centrePx ?? [box.x + box.width / 2, box.y + box.height / 2];
    const words = t("centre", { x: figure(x), y: figure(y) });
    return centreMm ? `${words} · ${figure(centreMm[0], 1)}, ${figure(centreMm[1], 1)} mm` : words;
  }

  #row(roi) {
    const isSelected = this.rois.viewer.shapes.selected.includes(roi.id);
    const what = roi.use === "lesion" ? [
      make("b", { text: t("lesion_of", { n: this.rois.number(roi.lesionId) }) }),
      make("span", { class: "class-name" }, make("i", { class: `swatch tone-${this.rois.tone(roi)}` }), labelOf(roi.label), ...this.#cyst(roi.label)),
    ] : [make("b", { text: t(`use_${roi.use}`) })];
    const button = make("button", { type: "button", class: "roi-row", "data-roi": roi.id, "aria-pressed": isSelected ? "true" : "false" },
      ...what,
      make("span", { class: "quiet", text: [roi.use === "lesion" ? t(`kind_${roi.kind}`) : "", this.#frames(roi)].filter(Boolean).join(" · ") }),
      make("span", { class: "number", text: this.#size(roi) }),
      make("span", { class: "number quiet", text: this.#centre(roi) }),
      ...(this.#isMasked(roi) ? [make("span", { class: "warned", icon: "warn", text: t("under_mask") })] : []));
    button.addEventListener("click", (event) => (event.shiftKey ? this.rois.select(roi.id, true) : this.rois.visit(roi)));
    return make("li", {}, button);
  }

  /** What the vocabulary says of the class; it is not asked. */
  #cyst(code) {
    const is = classOf(code)?.isCyst;
    return is === null || is === undefined ? [] : [make("span", { class: "tag", text: t(is ? "cyst" : "non_cyst") })];
  }

  #isMasked({ keyframes, kind }) {
    const box = boxOf({ kind, points: keyframes[0][1] });
    return (this.rois.image.mask?.rects ?? []).some(([x, y, width, height]) =>
      x < box.x + box.width && box.x < x + width && y < box.y + box.height && box.y < y + height);
  }

  // The list

  show() {
    const { all } = this.rois;
    const at = this.list.contains(document.activeElement) ? document.activeElement.dataset.roi : null;
    this.list.replaceChildren(...all.map((roi) => this.#row(roi)));
    if (at) this.list.querySelector(`[data-roi="${at}"]`)?.focus({ preventScroll: true });
    this.root.querySelector("#roi-none").hidden = all.length > 0;
    this.#controls();
  }

  intoView() {
    this.list.querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
  }

  #controls() {
    const { lesions, selected } = this.rois;
    const chosen = selected ? selected.lesionId : this.#wishLesion ?? this.#recent ?? lesions[0] ?? "new";
    const options = lesions.map((id, index) => make("option", { value: id, text: t("lesion", { n: index + 1 }) }));
    this.lesion.replaceChildren(...options, make("option", { value: "new", text: t("lesion_new") }));
    this.lesion.value = lesions.includes(chosen) ? chosen : "new";
    this.label.value = selected?.use === "lesion" ? selected.label : this.classOf(this.lesion.value);
    this.root.querySelector("#roi-delete").disabled = !selected || !data.mayCurate;
    this.label.disabled = this.lesion.disabled = !data.mayCurate;
  }

  /** The class of what is drawn next. */
  wish(code) {
    this.#wish = code;
    this.label.value = code;
  }

  get isWishing() {
    return this.#wishLesion !== null;
  }

  wishLesion(lesionId) {
    this.#wishLesion = lesionId;
    this.#wish = null;
    this.#controls();
  }

  /** An object was chosen: wishes for the next one are over. */
  turn(roi) {
    this.#wish = this.#wishLesion = null;
    if (roi) this.#recent = roi.lesionId;
  }

  /** The lesion of what is drawn next, null for a new one: what was wished for, else the last one, unless this frame has it. */
  lesionId(kind) {
    const wish = this.#wishLesion ?? this.rois.selected?.lesionId ?? this.#recent ?? this.rois.lesions[0];
    const isHere = this.rois.all.some((roi) => roi.lesionId === wish && roi.kind === kind && pointsAt(roi, this.rois.frame));
    return !wish || wish === "new" || (isHere && !this.#wishLesion) ? null : wish;
  }

  /** A lesion has one class; a new one has that of the lesion before or the form's diagnosis, unless one was wished for. */
  classOf(lesionId) {
    const drawn = data.images.flatMap((image) => image.rois).filter((roi) => roi.use === "lesion");
    const same = drawn.find((roi) => roi.lesionId === lesionId);
    const field = document.querySelector('#case-form select[name="diagnosis"], #case-form input[name="diagnosis"]:is([type=hidden], :checked)');
    return [this.#wish, same?.label, drawn.at(-1)?.label, field?.value].find(classOf) ?? data.labels[0]?.code;
  }
}
