// Undo and redo on the server: they go on over a reload, for the history is the case's and not the page's.
"use strict";
import { save } from "./case-save.js";
import { base, data, t } from "./viewer-words.js";

const SAID = { undo: ["undone", "no_undo"], redo: ["redone", "no_redo"] };

export class Undo {
  #turn = Promise.resolve();

  /** `viewer` has rois (saves, renew) and say(words, tone). */
  constructor(viewer) {
    this.viewer = viewer;
  }

  back() {
    this.#ask("undo");
  }

  forth() {
    this.#ask("redo");
  }

  #ask(what) {
    if (!data.mayCurate) this.viewer.say(t("forbidden"), "warn");
    else this.#turn = this.#turn.then(() => this.#go(what));
  }

  /** After everything that waits: the server knows what the last change was. */
  async #go(what) {
    const [done, nothing] = SAID[what];
    await this.viewer.rois.saves.flush();
    try {
      await save("POST", `${base}/${what}`, {});
      await this.#renew();
      this.viewer.say(t(done), "ok");
    } catch (error) {
      if (error?.status === undefined) throw error;
      this.viewer.say(t(error.status === 404 ? nothing : error.status === 409 ? "changed" : "failed"), "warn", error.status === 409);
    }
  }

  /** What the server has now of every image, as it writes it into the page. */
  async #renew() {
    const answer = await fetch(location.pathname, { credentials: "same-origin", headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const { images } = JSON.parse(page.getElementById("case-data").textContent);
    this.viewer.rois.renew(new Map(images.map((image) => [image.id, image.rois])));
  }
}
