// Picks by hand and by key, the way from gap to gap, and what else the keyboard does on the form side.
"use strict";
import { save } from "./case-save.js";
import "./case-choice.js";
import { chooseQuick, takeBackChange } from "./case-form.js";
import { step } from "./case-undo.js";

const { case: caseId } = document.querySelector("[data-case]")?.dataset ?? {};
const picks = document.querySelector("[data-picks]");
const rows = picks ? [...picks.querySelectorAll(".pick")] : [];
let here = null;
let gap = -1;

// The image that the viewer shows is the one that is decided on

function turn(id) {
  here = rows.find((row) => row.dataset.image === id) ?? null;
  for (const row of rows) row.classList.toggle("here", row === here);
  picks?.classList.toggle("one", Boolean(here));
}
document.addEventListener("sonobank:image", (event) => turn(event.detail.id));
const shown = document.querySelector('#thumbs [data-image][aria-current="true"]');
if (shown) turn(shown.dataset.image);

async function decide(row, isPicked) {
  const form = row?.querySelector("form");
  if (!form) return;
  const reason = isPicked ? null : form.elements.reason.value;
  const body = () => ({ picked: isPicked, reason, version: Number(row.dataset.version) });
  mark(row, isPicked);
  try {
    const told = await save("PUT", `/cases/${caseId}/images/${row.dataset.image}/pick`, body);
    row.dataset.version = form.elements.version.value = String(told.version);
    document.dispatchEvent(new CustomEvent("sonobank:picked", { detail: { imageId: row.dataset.image, picked: told.picked, reason: told.reason } }));
  } catch (refused) {
    if (refused?.status === undefined) throw refused;
    location.reload(); // somebody else decided first: show what they said
  }
}

function mark(row, isPicked) {
  row.dataset.picked = isPicked === null ? "" : isPicked ? "yes" : "no";
  for (const button of row.querySelectorAll("button[name=picked]")) button.setAttribute("aria-pressed", String(button.value === row.dataset.picked));
  const count = document.getElementById("picks-count");
  if (count) count.textContent = count.dataset.words.replace("{picked}", rows.filter((one) => one.dataset.picked === "yes").length).replace("{total}", rows.length);
}

/** A decision as the server has it: of somebody else, or taken back. */
function taken({ imageId, picked, reason, version }) {
  const row = rows.find((one) => one.dataset.image === imageId);
  if (!row) return;
  row.dataset.version = String(version);
  const form = row.querySelector("form");
  if (form) {
    form.elements.version.value = String(version);
    if (reason) form.elements.reason.value = reason;
    mark(row, picked);
  }
  document.dispatchEvent(new CustomEvent("sonobank:picked", { detail: { imageId, picked, reason } }));
}
document.addEventListener("sonobank:pick-taken", (event) => taken(event.detail));

picks?.addEventListener("submit", (event) => {
  const row = event.target.closest(".pick");
  if (!row) return;
  event.preventDefault();
  decide(row, event.submitter?.value !== "no");
});
picks?.addEventListener("change", (event) => {
  const row = event.target.closest(".pick");
  if (event.target.name === "reason" && row?.dataset.picked === "no") decide(row, false);
});

// From gap to gap

function visit(link) {
  const place = document.getElementById(link.dataset.gap);
  if (!place) return false;
  const row = rows.find((one) => one.dataset.number === link.dataset.image);
  const thumb = row && document.querySelector(`#thumbs [data-image="${row.dataset.image}"]`);
  if (thumb) thumb.click();
  link.closest("details")?.removeAttribute("open");
  place.scrollIntoView({ block: "center" });
  const inside = place.querySelector("input:checked, input:not([type=hidden]), select:not([hidden]), button, a");
  (inside ?? place).focus({ preventScroll: true });
  for (const one of document.querySelectorAll(".gap-here")) one.classList.remove("gap-here");
  place.classList.add("gap-here");
  return true;
}

function nextGap() {
  const links = [...document.querySelectorAll("#case-standing [data-gap]")];
  if (!links.length) return;
  gap = (gap + 1) % links.length;
  visit(links[gap]);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#case-standing [data-gap]");
  if (link && visit(link)) event.preventDefault();
  for (const open of document.querySelectorAll(".drop[open]")) if (!open.contains(event.target)) open.open = false;
});

// Keys

const typing = (target) => {
  const field = target.closest?.("input, textarea, select, [contenteditable]");
  return field && !["checkbox", "radio"].includes(field.type);
};

addEventListener("keydown", (event) => {
  if (event.isComposing || event.defaultPrevented || event.metaKey || event.altKey) return;
  if (event.ctrlKey) {
    if (event.code === "Enter" && !document.querySelector("dialog[open]")) {
      document.querySelector("a#register")?.click();
      event.preventDefault();
    }
    return;
  }
  if (typing(event.target) || document.querySelector("dialog[open]")) return;
  const isInForm = Boolean(event.target.closest?.("#case-form"));
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  let isDone = false;
  if (event.code === "KeyP" && !event.shiftKey) isDone = Boolean(here) && (decide(here, true), true);
  else if (event.code === "KeyX" && !event.shiftKey) isDone = Boolean(here) && (decide(here, false), true);
  else if (event.code === "KeyN" && !event.shiftKey) isDone = (nextGap(), true);
  else if (event.code === "KeyZ") isDone = (!event.shiftKey && isInForm && takeBackChange()) || (step(event.shiftKey ? "redo" : "undo"), true);
  else if (digit && isInForm) isDone = chooseQuick(Number(digit[1]));
  if (isDone) event.preventDefault();
}, true);
