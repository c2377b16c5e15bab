// The keys of the form side: picks, the way from gap to gap, from case to case, and what a person usually answers.
"use strict";
import "./case-choice.js";
import { keepAll } from "./case-defaults.js";
import { chooseQuick, settle, takeBackChange } from "./case-form.js";
import { pick, reject } from "./case-picks.js";
import { step } from "./case-undo.js";
import { data } from "./viewer-words.js";
import "./wall-motion.js";

let visited = null; // the gap that was jumped to last
let place = -1;

// From gap to gap

function visit(link) {
  const image = link.dataset.image && data.images.find((one) => one.number === Number(link.dataset.image));
  if (image) document.querySelector(`#thumbs [data-image="${image.id}"]`)?.click();
  const target = document.getElementById(link.dataset.gap);
  if (!target) return false;
  link.closest("details")?.removeAttribute("open");
  target.scrollIntoView({ block: "center" });
  const inside = target.querySelector('[data-part][tabindex="0"], input:checked, input:not([type=hidden]), select:not([hidden]), button, a');
  (inside ?? target).focus({ preventScroll: true });
  for (const one of document.querySelectorAll(".gap-here")) one.classList.remove("gap-here");
  target.classList.add("gap-here");
  return true;
}

/** The gap after the one that was visited last; when that one is filled, the one that took its place. */
function nextGap() {
  const links = [...document.querySelectorAll("#case-standing [data-gap]")];
  if (!links.length) return;
  const nameOf = (link) => `${link.dataset.gap} ${link.dataset.image ?? ""}`;
  const at = links.findIndex((link) => nameOf(link) === visited);
  place = (at >= 0 ? at + 1 : Math.max(0, place)) % links.length;
  visited = nameOf(links[place]);
  visit(links[place]);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#case-standing [data-gap]");
  if (link && visit(link)) event.preventDefault();
  for (const open of document.querySelectorAll(".drop[open]")) if (!open.contains(event.target)) open.open = false;
});

// From case to case

/** To the neighbour in the list that this person works through, once everything is with the server. */
async function go(rel) {
  const link = document.querySelector(`.case-nav a[rel=${rel}]`);
  await settle();
  location.assign(link?.href ?? document.querySelector(".case-nav a").href);
}

/** Register and go on: a complete case shows its sheet first, whose second button does both. Another case is left as it is. */
async function onward() {
  const sheet = document.querySelector("#sheet-dialog[open] .sheet-foot");
  if (sheet) {
    sheet.querySelector("[name=then]:enabled")?.click();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  await settle();
  const register = document.querySelector("a#register");
  if (!register) {
    go("next");
    return;
  }
  document.getElementById("sheet").dataset.onward = "yes";
  register.click();
}

document.body.addEventListener("htmx:afterSwap", (event) => {
  const foot = event.detail.target.id === "sheet" && event.detail.target.querySelector("form.sheet-foot");
  if (!foot) return;
  const { next = "", list = "" } = document.querySelector(".case-nav [data-next]")?.dataset ?? {};
  foot.elements.next.value = next;
  foot.elements.list.value = list;
  if (event.detail.target.dataset.onward) foot.querySelector("[name=then]").focus({ preventScroll: true });
  delete event.detail.target.dataset.onward;
});

// Keys

const typing = (target) => {
  const field = target.closest?.("input, textarea, select, [contenteditable]");
  return field && !["checkbox", "radio"].includes(field.type);
};
const takeSize = () => {
  const button = document.querySelector("[data-roi-size]");
  button?.click();
  return Boolean(button);
};
const PLAIN = {
  KeyP: () => pick(),
  KeyX: () => reject(false),
  KeyN: () => (nextGap(), true),
  KeyR: () => takeSize(),
};
const SHIFTED = {
  KeyN: () => keepAll(),
  KeyX: () => reject(true),
  KeyJ: () => (go("next"), true),
  KeyK: () => (go("prev"), true),
};

function withControl(event) {
  if (event.code !== "Enter") return;
  if (event.shiftKey) onward();
  else if (!document.querySelector("dialog[open]")) document.querySelector("a#register")?.click();
  else return;
  event.preventDefault();
}

addEventListener("keydown", (event) => {
  if (event.isComposing || event.defaultPrevented || event.metaKey || event.altKey) return;
  if (event.ctrlKey) {
    withControl(event);
    return;
  }
  if (typing(event.target) || document.querySelector("dialog[open]") || (event.target.closest?.("[data-part]") && /^(?:Digit|Numpad)/.test(event.code))) return;
  const isInForm = Boolean(event.target.closest?.("#case-form"));
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  let isDone = (event.shiftKey ? SHIFTED : PLAIN)[event.code]?.() ?? false;
  if (event.code === "KeyZ") isDone = (!event.shiftKey && isInForm && takeBackChange()) || (step(event.shiftKey ? "redo" : "undo"), true);
  else if (digit && isInForm) isDone = chooseQuick(Number(digit[1]));
  if (isDone) event.preventDefault();
}, true);
