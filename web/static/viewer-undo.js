// Undo and redo on the server: they go on over a reload, for the history is the case's and not the page's.
"use strict";
import { save } from "./case-save.js";
import { data, t } from "./viewer-words.js";

const SAID = { undo: ["undone", "no_undo"], redo: ["redone", "no_redo"] };

export class Undo {
  #turn = Promise.resolve();

  /** `viewer` has rois (saves, become) and say(words, tone). */
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
      const told = await save("POST", `/cases/${data.caseId}/${what}`, {});
      this.viewer.become(told);
      this.viewer.say(t(done), "ok");
    } catch (error) {
      if (error?.status === undefined) throw error;
      this.viewer.say(t(error.status === 404 ? nothing : error.status === 409 ? "changed" : "failed"), "warn", error.status === 409);
    }
  }
}
