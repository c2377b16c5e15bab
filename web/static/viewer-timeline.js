// The timeline under the scrubber: a line for each object with its keyframes, spans and gaps, and where the cine is now.
"use strict";
import { strip } from "./track-edits.js";
import { svg } from "./viewer-stage.js";
import { labelOf, make, t } from "./viewer-words.js";

const ROW_PX = 24;
const THUMB_PX = 16; // of the scrubber: its middle stands over the frame
const DIAMOND_PX = 5;

export class Timeline {
  #image = null;
  #frame = 1;
  #left = 0;
  #width = 0;

  /** `viewer` has rois, tracks, proposals, go(frame). */
  constructor(root, scrubber, viewer) {
    Object.assign(this, { root, scrubber, viewer });
    this.rows = root.querySelector("#timeline-rows");
    this.needle = root.querySelector("#timeline-needle");
    this.band = root.querySelector("#timeline-range");
    new ResizeObserver(() => this.#measure()).observe(scrubber);
    this.rows.addEventListener("pointerdown", (event) => this.#down(event));
    this.rows.addEventListener("pointermove", (event) => { if (this.rows.hasPointerCapture?.(event.pointerId)) this.#seek(event); });
    this.rows.addEventListener("click", (event) => {
      const { roi } = event.target.closest("button")?.dataset ?? {};
      if (!roi) return;
      if (event.shiftKey) viewer.rois.select(roi, true);
      else viewer.rois.visit(viewer.rois.all.find((one) => one.id === roi));
    });
  }

  // Where frames are

  #measure() {
    const [own, other] = [this.root.parentElement.getBoundingClientRect(), this.scrubber.getBoundingClientRect()];
    if (!other.width) return;
    this.#left = other.left - own.left + THUMB_PX / 2;
    this.#width = other.width - THUMB_PX;
    this.root.style.setProperty("--timeline-left", `${this.#left}px`);
    this.root.style.setProperty("--timeline-width", `${this.#width}px`);
    if (this.#image) this.show(this.#image);
  }

  #x(frame) {
    return this.#image.frames > 1 ? ((frame - 1) / (this.#image.frames - 1)) * this.#width : 0;
  }

  #frameAt(clientX) {
    const share = (clientX - this.root.getBoundingClientRect().left - this.#left) / this.#width;
    return Math.min(this.#image.frames, Math.max(1, 1 + Math.round(share * (this.#image.frames - 1))));
  }

  // Shown

  /** Only what a frame changes: two elements are moved. */
  at(frame) {
    this.#frame = frame;
    if (this.root.hidden) return;
    this.needle.style.transform = `translateX(${this.#left + this.#x(frame)}px)`;
    const { range } = this.viewer.tracks;
    this.band.hidden = !range;
    if (!range) return;
    this.band.style.transform = `translateX(${this.#left + this.#x(range[0])}px)`;
    this.band.style.width = `${Math.max(2, this.#x(range[1]) - this.#x(range[0]))}px`;
  }

  show(image) {
    this.#image = image;
    const suggested = this.viewer.proposals.frames();
    this.root.hidden = image.frames < 2 || (!image.rois.length && !suggested.length);
    if (this.root.hidden) return;
    const at = this.rows.contains(document.activeElement) ? document.activeElement.dataset.roi : null;
    const rows = image.rois.map((roi) => this.#row(roi));
    if (suggested.length) rows.push(this.#suggested(suggested));
    this.rows.replaceChildren(...rows);
    if (at) this.rows.querySelector(`button[data-roi="${at}"]`)?.focus({ preventScroll: true });
    this.at(this.#frame);
  }

  #row(roi) {
    const { rois, shapes } = this.viewer;
    const { spans, gaps, keys } = strip(roi);
    const isSelected = shapes.selected.includes(roi.id);
    const number = rois.number(roi.lesionId);
    const word = roi.use === "lesion" ? labelOf(roi.label) : t(`use_${roi.use}`);
    const hidden = gaps.map(([first, last]) => `${first}–${last}`).join(", ");
    const name = t("strip_name", { lesion: number, label: word, kind: t(`kind_${roi.kind}`), keys: keys.join(", "), gaps: hidden || t("none") });
    const line = svg("svg", { width: this.#width, height: ROW_PX, "aria-hidden": "true", "data-line": roi.id });
    line.append(
      svg("rect", { class: "ground", x: 0, y: 0, width: this.#width, height: ROW_PX }),
      ...spans.map(([first, last]) => svg("rect", { class: "span", x: this.#x(first) - 2, y: ROW_PX / 2 - 3, width: this.#x(last) - this.#x(first) + 4, height: 6 })),
      ...gaps.map(([first, last]) => svg("path", { class: "gap", d: `M${this.#x(first) - 2} ${ROW_PX / 2}H${this.#x(Math.min(last, this.#image.frames)) + 2}` })),
      ...keys.map((frame) => svg("path", { class: "key", d: this.#diamond(this.#x(frame)) })),
    );
    return make("div", { class: `timeline-row tone-${rois.tone(roi)}${isSelected ? " selected" : ""}` },
      make("button", { type: "button", class: "timeline-name", "data-roi": roi.id, "aria-pressed": isSelected ? "true" : "false", "aria-label": name, title: name },
        make("i", { class: `swatch tone-${rois.tone(roi)}` }), make("span", { text: roi.use === "lesion" ? `${number} ${word}` : word })),
      line, make("span", { class: "number quiet", text: t("keyframes", { count: keys.length }) }));
  }

  #diamond(x) {
    const middle = ROW_PX / 2;
    return `M${x} ${middle - DIAMOND_PX}l${DIAMOND_PX} ${DIAMOND_PX}l${-DIAMOND_PX} ${DIAMOND_PX}l${-DIAMOND_PX} ${-DIAMOND_PX}Z`;
  }

  #suggested(frames) {
    const line = svg("svg", { width: this.#width, height: ROW_PX, "aria-hidden": "true", "data-line": "" });
    line.append(svg("rect", { class: "ground", x: 0, y: 0, width: this.#width, height: ROW_PX }), ...frames.map((frame) => svg("path", { class: "key", d: this.#diamond(this.#x(frame)) })));
    return make("div", { class: "timeline-row tone-proposal" }, make("span", { class: "timeline-name", text: t("proposals") }), line, make("span", { class: "number quiet", text: String(frames.length) }));
  }

  // Pointer: press or drag to a frame; with Shift a range

  #down(event) {
    const line = event.target.closest("[data-line]");
    if (!line || event.button) return;
    const { rois, tracks } = this.viewer;
    event.preventDefault();
    this.rows.setPointerCapture(event.pointerId);
    if (event.shiftKey) tracks.begin(this.#frameAt(event.clientX));
    if (line.dataset.line) rois.select(line.dataset.line);
    this.#seek(event);
  }

  #seek(event) {
    const frame = this.#frameAt(event.clientX);
    if (frame !== this.viewer.frame) this.viewer.go(frame);
    else this.at(frame);
  }
}
