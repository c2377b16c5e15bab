// The heart panel of the case page: view and beats of a cine, the ventricle's contour, its volumes, and M-mode from the cine.
"use strict";
import { joined, marked } from "./heart-beats.js";
import { Contour } from "./heart-contour.js";
import { MMode } from "./heart-mmode.js";
import { HeartStrip } from "./heart-strip.js";
import { fixed, heart, say } from "./heart-words.js";
import { save } from "./case-save.js";
import { data, make, t } from "./viewer-words.js";

const $ = (id) => document.getElementById(id);
const KINDS = ["ed", "es"];
// The sheet on `?` (templates/case/keys.html) says the same.
const PLAIN = { KeyQ: "ed", KeyE: "es" };
const SHIFTED = { KeyQ: "proposals", KeyH: "contour", KeyC: "copy", KeyU: "doubt", KeyM: "mmode", KeyV: "take" };
const DRAFTED = { Enter: "finish", NumpadEnter: "finish", Backspace: "back", Escape: "drop" };

export class Heart {
  #image = null;
  #asked = 0;

  /** null for organs other than the heart. */
  static of(viewer) {
    return heart ? new Heart(viewer) : null;
  }

  /** `viewer` has stage, frames, frame, mode, go(frame), open(image) and say(words, tone). */
  constructor(viewer) {
    this.viewer = viewer;
    const { stage, frames } = viewer;
    const layers = stage.overlay.querySelector("#heart-layer");
    this.layers = layers;
    this.strip = new HeartStrip($("heart-strip"), $("scrubber"), stage, (frame) => viewer.go(frame));
    this.contour = new Contour(stage, layers.querySelector("#heart-contour"), {
      changed: () => this.#controls(),
      saved: () => this.#ask(),
      failed: (error) => this.#failed(error),
    });
    this.mmode = new MMode($("heart-mmode"), stage, layers.querySelector("#heart-line"), frames, (frame) => viewer.go(frame));
    const { onLayout } = stage;
    stage.onLayout = (scale) => { onLayout(scale); this.contour.render(); if (this.mmode.line) this.mmode.render(); };
    this.view = $("heart-view");
    this.view.append(...heart.views.map(({ code, label }) => make("option", { value: code, text: label })));
    this.view.addEventListener("change", () => this.#mark({ view: this.view.value || null }));
    $("heart").addEventListener("click", (event) => this.#clicked(event));
    addEventListener("keydown", (event) => this.#key(event), true);
    document.getElementById("answers")?.addEventListener("input", (event) => event.target.closest(".q")?.querySelector(".measured")?.setAttribute("hidden", ""));
    // What was taken back, or came from somebody else: the numbers follow from it, so the page is read again.
    document.addEventListener("sonobank:marks-taken", () => location.reload());
    document.addEventListener("sonobank:roi-taken", ({ detail }) => { if (detail.roi.use === "lv") location.reload(); });
    new MutationObserver(() => this.#mode()).observe(stage.root, { attributeFilter: ["data-mode"] });
  }

  get #mine() {
    return heart.images[this.#image.id];
  }

  take(image) {
    this.#image = image;
    this.contour.take(image);
    this.mmode.take(image);
    this.strip.take(image);
    this.view.value = this.#mine.view ?? "";
    this.at(this.viewer.frame);
    this.#mode();
  }

  at(frame) {
    if (!this.#image) return;
    this.strip.at(frame);
    this.contour.at(frame);
    this.mmode.at(frame);
    this.#controls();
  }

  /** Masks are looked at without anything of this over them. */
  #mode() {
    const isMask = this.viewer.mode === "mask";
    if (isMask && this.#image) { this.contour.use(false); this.mmode.use(false); }
    $("heart").hidden = isMask;
    $("heart-strip").hidden = isMask || !this.#image || this.#image.frames < 2;
    if (isMask) this.layers.setAttribute("hidden", "");
    else this.layers.removeAttribute("hidden");
    if (this.#image) this.#controls();
  }

  // Deeds: each has a button and a key

  #key(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
    const isField = event.target.closest?.("input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
    if (isField || !this.#image || this.viewer.mode === "mask" || document.querySelector("dialog[open]")) return;
    const isDrafting = this.contour.draft.length > 0 && !event.shiftKey && !event.target.closest?.("button, a, summary");
    const deed = (isDrafting && DRAFTED[event.code]) || (event.shiftKey ? SHIFTED : PLAIN)[event.code];
    if (!deed || (event.code === "Backspace" && this.contour.handles.focused !== null)) return;
    this.#do(deed);
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  #clicked(event) {
    const button = event.target.closest("button");
    if (button?.dataset.deed) this.#do(button.dataset.deed);
    if (button?.dataset.frame) this.viewer.go(Number(button.dataset.frame));
  }

  #do(deed) {
    const { contour, mmode } = this;
    if (deed === "mmode") { contour.use(false); mmode.use(!mmode.isOn); }
    else if (!data.mayCurate) return;
    else if (KINDS.includes(deed)) this.#beat(KINDS.indexOf(deed));
    else if (deed === "proposals") this.#mark({ beats: joined(this.#mine.beats, this.#mine.proposals) });
    else if (deed === "contour") { mmode.use(false); contour.use(!contour.isOn); this.viewer.pause(); }
    else if (deed === "finish" && !contour.finish()) this.viewer.say(say("too_few"), "warn");
    else if (deed === "copy" && !contour.copy()) this.viewer.say(say("no_copy"), "warn");
    else if (deed === "doubt" && !contour.doubt()) this.viewer.say(say("no_point"), "warn");
    else if (["back", "drop", "remove"].includes(deed)) contour[deed]();
    else if (deed === "take") this.#take();
    else if (deed === "ask") this.viewer.proposals.next();
    else if (deed === "accept") this.viewer.proposals.accept();
    else if (deed === "refuse") this.viewer.proposals.reject();
    this.#controls();
  }

  #beat(kind) {
    if (this.#image.frames < 2) return;
    this.#mark({ beats: marked(this.#mine.beats, this.viewer.frame, kind) });
  }

  /** A border that a model proposed and a person took: its frame is an end of a beat. The contour's id, null when refused. */
  takeUp({ frame, label }, points) {
    const kind = KINDS.indexOf(label);
    if (kind >= 0 && !this.#mine.beats.some((beat) => beat[kind] === frame)) this.#mark({ beats: marked(this.#mine.beats, frame, kind) });
    return this.contour.takeUp(frame, points);
  }

  async #mark(change) {
    const mine = this.#mine;
    Object.assign(mine, change);
    this.strip.render();
    this.#controls();
    try {
      const told = await save("PUT", `/cases/${data.caseId}/images/${mine.id}/marks`, () => ({ view: mine.view, beats: mine.beats, version: mine.version }));
      mine.version = told.version;
      this.#took(told);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** The numbers go into the form, which is saved as if a person had entered them; the server knows where they come from. */
  #take() {
    const [best] = heart.volumes.ejections;
    if (!best) return this.viewer.say(say("no_volumes"), "warn");
    document.dispatchEvent(new CustomEvent("sonobank:fill", { detail: best.answers }));
    for (const field of heart.fields) document.querySelector(`#f-${field} .measured`)?.removeAttribute("hidden");
    return this.viewer.say(say("taken", { ef: fixed(best.answers.lvef_percent, 1) }), "ok");
  }

  // What the server says

  async #ask() {
    const mine = ++this.#asked;
    const answer = await fetch(`/cases/${data.caseId}/heart`, { credentials: "same-origin" }).catch(() => null);
    if (answer?.ok && mine === this.#asked) this.#took(await answer.json());
  }

  #took({ proposals, volumes }) {
    heart.volumes = volumes;
    for (const [id, beats] of Object.entries(proposals)) if (heart.images[id]) heart.images[id].proposals = beats;
    this.strip.render();
    this.#controls();
  }

  #failed(error) {
    this.viewer.say(t(error.status === 409 ? "changed" : error.status === 403 ? "forbidden" : "not_saved"), "stop", true);
  }

  // Shown

  #controls() {
    const { contour, mmode } = this;
    const isCine = this.#image.frames > 1;
    const able = {
      ask: isCine, accept: isCine, refuse: isCine, ed: isCine, es: isCine, proposals: isCine && this.#mine.proposals.length > 0, contour: true, finish: contour.draft.length >= 5,
      copy: !contour.here && contour.nearest !== null, doubt: Boolean(contour.here), remove: Boolean(contour.here), take: heart.volumes.ejections.length > 0,
    };
    for (const button of $("heart").querySelectorAll("[data-deed]")) {
      const { deed } = button.dataset;
      button.disabled = deed === "mmode" ? !isCine : !data.mayCurate || !able[deed];
      if (button.hasAttribute("aria-pressed")) button.setAttribute("aria-pressed", String(deed === "mmode" ? mmode.isOn : deed === "contour" ? contour.isOn : this.#isMarked(deed)));
    }
    this.view.disabled = !data.mayCurate;
    this.viewer.stage.root.classList.toggle("heart-draws", contour.isOn || mmode.isOn);
    $("heart-hint").textContent = this.#hint();
    this.#beats();
    this.#volumes();
  }

  #isMarked(deed) {
    return this.#mine.beats.some((beat) => beat[KINDS.indexOf(deed)] === this.viewer.frame);
  }

  #hint() {
    const { contour, mmode } = this;
    if (mmode.isOn) return say("hint_mmode");
    if (!contour.isOn) return "";
    if (contour.here) return say("hint_edit");
    return contour.draft.length ? say("hint_draft", { n: contour.draft.length }) : say("hint_draw");
  }

  #beats() {
    const drawn = new Set(this.contour.keyframes.map(([frame]) => frame));
    const rows = this.#mine.beats.map((beat, index) => make("li", {},
      make("span", { class: "quiet", text: say("beat", { n: index + 1 }) }),
      ...beat.map((frame, kind) => this.#end(frame, kind, drawn))));
    $("heart-beats").replaceChildren(...rows);
    $("heart-none").hidden = rows.length > 0;
  }

  #end(frame, kind, drawn) {
    if (frame === null) return make("span", { class: "quiet", text: `${say(KINDS[kind])} –` });
    const isDrawn = drawn.has(frame);
    const name = say(isDrawn ? "end_drawn" : "end_bare", { what: say(`${KINDS[kind]}_long`), frame });
    return make("button", { type: "button", class: `small${isDrawn ? " drawn" : ""}`, "data-frame": frame, title: name, text: `${say(KINDS[kind])} ${frame}` });
  }

  #volumes() {
    const { views, ejections, problem, foreshortened } = heart.volumes;
    const states = views.map((view) => {
      const lacks = view.image === null ? [say("lacks_view")]
        : [[view.beat[0], view.diastole, "ed"], [view.beat[1], view.systole, "es"]].flatMap(([frame, isThere, end]) =>
          (isThere ? [] : [say(frame === null ? "lacks_mark" : "lacks_contour", { what: say(end) })]));
      const words = view.problem || (lacks.length ? lacks.join(say("comma")) : say("whole", { n: view.image }));
      return make("li", { class: view.problem ? "warned" : lacks.length ? "quiet" : "ok" }, make("b", { text: view.label }), make("span", { text: words }));
    });
    $("heart-views").replaceChildren(...states);
    const rows = ejections.map(({ method, answers }) => make("tr", {}, make("th", { scope: "row", text: method }),
      ...[`${fixed(answers.lvef_percent, 1)} %`, `${fixed(answers.edv_ml, 1)} mL`, `${fixed(answers.esv_ml, 1)} mL`].map((text) => make("td", { class: "number", text }))));
    $("heart-volumes").hidden = rows.length === 0;
    $("heart-volumes").tBodies[0].replaceChildren(...rows);
    const warning = problem || (foreshortened === null ? "" : say("foreshortened", { percent: fixed(foreshortened, 0) }));
    $("heart-warning").textContent = warning;
    $("heart-warning").hidden = !warning;
  }
}
