// Text that the candidate still shows: each place is masked or left by a person before the image can be confirmed.
"use strict";
import { save } from "./case-save.js";
import { data, make, t } from "./viewer-words.js";

const keyOf = (place) => `text-${place.number}`;

/** The places of an image that nobody has answered yet, with their numbers in the mask's list. */
export function openTexts(image) {
  return (image.mask?.texts ?? []).map((text, number) => ({ ...text, number })).filter((text) => !text.answer);
}

export class Texts {
  /** `masks` has viewer, become(image, mask), isDrafted(image) and pathOf(image). */
  constructor(root, masks) {
    this.root = root;
    this.masks = masks;
    root.addEventListener("click", (event) => {
      const { text, answer } = event.target.closest("button")?.dataset ?? {};
      if (answer === "mask-all") this.answerAll();
      else if (answer) this.answer(answer, Number(text));
      else if (text) this.turn(this.#places.find((one) => one.number === Number(text)));
    });
  }

  get #image() {
    return this.masks.viewer.image;
  }

  get #places() {
    return openTexts(this.#image);
  }

  /** What is drawn over this frame: the open places that were found on it, and in a still all of them. */
  boxes(image, frame) {
    return openTexts(image).filter((place) => place.frame === frame).map((place) => {
      const [x0, y0, x1, y1] = place.box;
      return { key: keyOf(place), x: x0, y: y0, width: x1 - x0, height: y1 - y0, kind: "text", isFixed: true, name: place.what };
    });
  }

  show() {
    const places = this.#places;
    this.root.hidden = !places.length;
    if (!places.length) return;
    this.root.querySelector("h3").textContent = t("texts", { count: places.length });
    this.root.querySelector("[data-answer='mask-all']").hidden = places.length < 2 || !data.mayCurate;
    this.root.querySelector("ol").replaceChildren(...places.map((place) => this.#row(place)));
  }

  #row(place) {
    const isSelected = this.masks.viewer.boxes.selected === keyOf(place);
    const where = this.#image.frames > 1 ? t("text_frame", { frame: place.frame }) : "";
    const name = `${place.what} ${where}`.trim();
    const button = (answer, icon, key) => make("button", {
      type: "button", class: "small", icon, "data-answer": answer, "data-text": place.number, disabled: !data.mayCurate,
    }, make("span", { text: t(`text_${answer}`) }), make("span", { class: "hidden", text: ` ${name}` }),
    ...(isSelected ? [" ", make("kbd", { text: key })] : []));
    return make("li", {},
      make("button", { type: "button", class: "text-row", "data-text": place.number, "aria-pressed": isSelected ? "true" : "false", text: name }),
      button("mask", "masked", "H"), button("leave", "seen", "L"));
  }

  /** Show this place: its frame, with its box chosen. */
  turn(place) {
    if (!place) return;
    const { viewer } = this.masks;
    if (viewer.frame !== place.frame) viewer.go(place.frame);
    viewer.boxes.selected = keyOf(place);
    this.masks.show();
    viewer.boxes.select(keyOf(place), true);
  }

  next() {
    const places = this.#places;
    const at = places.findIndex((one) => keyOf(one) === this.masks.viewer.boxes.selected);
    this.turn(places[(at + 1) % places.length]);
  }

  /** Answer for the chosen place, or for the one with this number. */
  answer(answer, number = null) {
    const places = this.#places;
    const place = places.find((one) => (number === null ? keyOf(one) === this.masks.viewer.boxes.selected : one.number === number));
    if (!place) return places.length ? this.turn(places[0]) : undefined;
    return this.#send({ [place.number]: answer });
  }

  answerAll() {
    return this.#send(Object.fromEntries(this.#places.map((place) => [place.number, "mask"])));
  }

  async #send(answers) {
    const image = this.#image;
    const { viewer } = this.masks;
    if (!data.mayCurate) return viewer.say(t("forbidden"), "warn");
    if (this.masks.isDrafted(image)) return viewer.say(t("voids"), "warn");
    await this.masks.tell();
    try {
      this.masks.become(image, await save("POST", `${this.masks.pathOf(image)}/texts`, { answers, revision: image.mask.revision }));
    } catch (error) {
      return viewer.say(t(error.status === 409 ? "changed" : "not_saved"), "stop", true);
    }
    const [first] = image === this.#image ? openTexts(image) : [];
    if (first && image.mask.digest) this.turn(first);
    return undefined;
  }
}
