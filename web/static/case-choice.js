// A long list of choices: a box in which one types Japanese, English or a code; the select under it keeps the answer.
"use strict";

import { rank } from "./choice-search.js";

const form = document.getElementById("answers");

class Choice {
  at = -1;

  constructor(question) {
    this.question = question;
    this.select = question.querySelector("select");
    this.options = [...this.select.options].filter((option) => option.value);
    const { id } = this.select;
    this.select.id = `${id}-list`;
    this.select.hidden = true;
    this.box = Object.assign(document.createElement("input"), { type: "text", id, autocomplete: "off", placeholder: this.select.options[0].textContent, spellcheck: false });
    this.list = Object.assign(document.createElement("ul"), { className: "choices", id: `${id}-choices`, hidden: true });
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", question.querySelector(".q-label").firstChild.textContent.trim());
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.list.id })) this.box.setAttribute(name, value);
    const place = Object.assign(document.createElement("span"), { className: "choice-box" });
    place.append(this.box, this.list);
    this.select.before(place);
    this.box.addEventListener("input", (event) => { event.stopPropagation(); this.open(); });
    this.box.addEventListener("change", (event) => event.stopPropagation());
    this.box.addEventListener("click", () => this.open(true));
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("blur", () => this.leave());
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const item = event.target.closest("[data-code]");
      if (item) this.take(item.dataset.code);
    });
    question.addEventListener("sonobank:put", () => this.words());
    this.words();
  }

  words() {
    this.box.value = this.select.value ? this.select.selectedOptions[0].textContent : "";
  }

  open(isAll = false) {
    const typed = isAll ? "" : this.box.value;
    const ranks = new Map(this.options.map((option) => [option, rank(option.dataset.words, typed)]));
    const fitting = this.options.filter((option) => ranks.get(option)).sort((a, b) => ranks.get(b) - ranks.get(a));
    if (!fitting.length) {
      this.none();
      return;
    }
    this.list.replaceChildren(...fitting.map((option, place) => {
      const item = document.createElement("li");
      item.id = `${this.list.id}-${place}`;
      item.dataset.code = option.value;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(option.value === this.select.value));
      item.textContent = option.textContent;
      return item;
    }));
    this.list.hidden = !fitting.length;
    this.box.setAttribute("aria-expanded", String(!this.list.hidden));
    this.mark(isAll ? fitting.findIndex((option) => option.value === this.select.value) : 0);
  }

  /** Nothing fits: say so instead of closing without a word. */
  none() {
    this.list.replaceChildren(Object.assign(document.createElement("li"), { className: "quiet", textContent: form.dataset.noMatch }));
    this.list.firstChild.setAttribute("role", "option");
    this.list.firstChild.setAttribute("aria-disabled", "true");
    this.list.hidden = false;
    this.box.setAttribute("aria-expanded", "true");
    this.mark(-1);
  }

  mark(at) {
    const items = [...this.list.children];
    this.at = Math.min(items.length - 1, at);
    items.forEach((item, place) => item.classList.toggle("here", place === this.at));
    const here = items[this.at];
    if (here) {
      this.box.setAttribute("aria-activedescendant", here.id);
      here.scrollIntoView({ block: "nearest" });
    } else this.box.removeAttribute("aria-activedescendant");
  }

  close() {
    this.list.hidden = true;
    this.box.setAttribute("aria-expanded", "false");
    this.box.removeAttribute("aria-activedescendant");
  }

  take(code) {
    this.select.value = code;
    this.words();
    this.close();
    this.select.dispatchEvent(new Event("sonobank:chosen", { bubbles: true }));
  }

  leave() {
    if (this.box.value.trim() === "") this.take("");
    this.words();
    this.close();
  }

  key(event) {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (this.list.hidden) this.open(true);
      else this.mark(Math.max(0, this.at + step));
    } else if (event.key === "Enter") {
      event.preventDefault();
      const here = this.list.hidden ? null : this.list.children[this.at];
      if (here?.dataset.code) this.take(here.dataset.code);
    } else if (event.key === "Escape" && !this.list.hidden) {
      event.stopPropagation();
      this.words();
      this.close();
    }
  }
}

/** A box over many chips: those that do not fit what is typed step back, those that are chosen stay. */
function filtered(question) {
  const chips = [...question.querySelectorAll(".chip")];
  const box = Object.assign(document.createElement("input"), { type: "search", autocomplete: "off", className: "chip-filter" });
  const name = question.querySelector(".q-label").firstChild.textContent.trim();
  box.setAttribute("aria-label", `${name}: ${form.dataset.filter}`);
  box.placeholder = form.dataset.filter;
  for (const kind of ["input", "change"]) box.addEventListener(kind, (event) => event.stopPropagation());
  box.addEventListener("input", () => {
    for (const chip of chips) chip.hidden = !rank(chip.dataset.words ?? "", box.value) && !chip.querySelector("input").checked;
  });
  box.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  question.querySelector(".chips").before(box);
}

for (const question of document.querySelectorAll("#answers[data-locked=no] .q[data-long]")) {
  if (question.dataset.type === "code") new Choice(question);
  else filtered(question);
}
