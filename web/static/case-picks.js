// Picks: of the image that is shown, or of several that are chosen in the list; a rejected image has a coded reason.
"use strict";
import { save } from "./case-save.js";
import { data } from "./viewer-words.js";

const { case: caseId } = document.querySelector("[data-case]")?.dataset ?? {};
const picks = document.querySelector("[data-picks]");
const row = picks?.querySelector(".pick");
const form = row?.querySelector("form");
const thumbs = document.getElementById("thumbs");
const dialog = document.getElementById("reject-dialog");
const told = document.getElementById("thumbs-chosen");
const mayEdit = Boolean(form) && data.mayCurate;
const links = () => [...(thumbs?.querySelectorAll("[data-image]") ?? [])];
const imageOf = (id) => data.images.find((image) => image.id === id);
let here = null; // the image that the viewer shows: it is the one that is decided on
let anchor = null; // where a range begins
const chosen = new Set();

function turn(id) {
  here = imageOf(id) ?? null;
  anchor = id;
  if (here && form) tell();
}
document.addEventListener("sonobank:image", (event) => { choose([]); turn(event.detail.id); });
const shown = document.querySelector('#thumbs [data-image][aria-current="true"]');
if (shown) turn(shown.dataset.image);

/** The form says what is decided on the image that is shown. */
function tell() {
  row.id = `pick-${here.number}`;
  row.dataset.image = here.id;
  row.querySelector(".pick-name").textContent = row.dataset.name.replace("{number}", here.number);
  form.action = `/cases/${caseId}/images/${here.id}/pick`;
  form.elements.version.value = String(here.pickVersion);
  form.elements.reason.value = here.pickReason ?? form.dataset.reason;
  for (const button of form.querySelectorAll("button[name=picked]")) button.setAttribute("aria-pressed", String(button.value === { true: "yes", false: "no" }[here.picked]));
}

async function decide(image, isPicked, given = null) {
  if (!image || !mayEdit) return;
  const reason = isPicked ? null : given ?? (image === here ? form.elements.reason.value : form.dataset.reason);
  const body = () => ({ picked: isPicked, reason, version: image.pickVersion });
  mark(image, isPicked, reason);
  try {
    const { picked, reason: why, version } = await save("PUT", `/cases/${caseId}/images/${image.id}/pick`, body);
    image.pickVersion = version; // what is shown stays: a newer decision may be on its way already
    if (image === here) form.elements.version.value = String(version);
    document.dispatchEvent(new CustomEvent("sonobank:picked", { detail: { imageId: image.id, picked, reason: why } }));
  } catch (refused) {
    if (refused?.status === undefined) throw refused;
    location.reload(); // somebody else decided first: show what they said
  }
}

function mark(image, picked, pickReason) {
  Object.assign(image, { picked, pickReason });
  if (image === here) tell();
  const count = document.getElementById("picks-count");
  if (count) count.textContent = count.dataset.words.replace("{picked}", data.images.filter((one) => one.picked).length).replace("{total}", data.images.length);
}

/** A decision as the server has it: of somebody else, or taken back. */
function taken({ imageId, picked, reason, version }) {
  const image = imageOf(imageId);
  if (!image) return;
  image.pickVersion = version;
  mark(image, picked, reason);
  document.dispatchEvent(new CustomEvent("sonobank:picked", { detail: { imageId, picked, reason } }));
}
document.addEventListener("sonobank:pick-taken", (event) => taken(event.detail));

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  decide(here, event.submitter?.value !== "no");
});
form?.addEventListener("change", (event) => {
  if (event.target.name === "reason" && here?.picked === false) decide(here, false);
});

/** Pick the chosen images, or the one that is shown. */
export function pick() {
  const wanted = targets();
  for (const image of wanted) decide(image, true);
  choose([]);
  return wanted.length > 0;
}

/** Reject them; several, or when it is asked for, by a reason that is chosen by its number. */
export function reject(isAsking) {
  const wanted = targets();
  if (!wanted.length) return false;
  if (chosen.size || isAsking) dialog.showModal();
  else decide(wanted[0], false);
  return true;
}

const targets = () => (mayEdit ? chosen.size ? data.images.filter((image) => chosen.has(image.id)) : [here] : []).filter(Boolean);

function rejectFor(reason) {
  for (const image of targets()) decide(image, false, reason);
  choose([]);
  dialog.close();
}
dialog?.addEventListener("click", (event) => {
  const { reason } = event.target.closest("[data-reason]")?.dataset ?? {};
  if (reason) rejectFor(reason);
});
dialog?.addEventListener("keydown", (event) => {
  const place = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  const button = place && dialog.querySelectorAll("[data-reason]")[Number(place[1]) - 1];
  if (!button) return;
  event.preventDefault();
  rejectFor(button.dataset.reason);
});

// Several at once: Ctrl and Shift as in any list

function choose(ids) {
  chosen.clear();
  for (const id of ids) chosen.add(id);
  for (const link of links()) {
    const isChosen = chosen.has(link.dataset.image);
    link.classList.toggle("chosen", isChosen);
    if (isChosen) link.setAttribute("aria-description", told.dataset.one);
    else link.removeAttribute("aria-description");
  }
  if (told) {
    told.textContent = chosen.size ? told.dataset.words.replace("{count}", chosen.size) : "";
    told.hidden = !chosen.size;
  }
}

function range(to) {
  const ids = links().map((link) => link.dataset.image);
  const [from, until] = [ids.indexOf(anchor ?? ids[0]), ids.indexOf(to)].sort((a, b) => a - b);
  choose(ids.slice(Math.max(0, from), until + 1));
}

document.addEventListener("sonobank:choose", ({ detail: { id, isRange } }) => {
  if (!mayEdit) return;
  if (isRange) {
    range(id);
    return;
  }
  const start = chosen.size || !here || here.id === id ? chosen : [here.id];
  choose(chosen.has(id) ? [...chosen].filter((one) => one !== id) : [...start, id]);
  anchor = id;
});
thumbs?.addEventListener("keydown", (event) => {
  if (!mayEdit || event.altKey) return;
  const all = links();
  const at = all.indexOf(document.activeElement);
  const step = event.shiftKey && { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape" && chosen.size) choose([]);
  else if ((event.ctrlKey || event.metaKey) && event.code === "KeyA") choose(all.map((link) => link.dataset.image));
  else if (step && at >= 0) {
    const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
    if (!chosen.size) anchor = all[at].dataset.image;
    next.focus();
    range(next.dataset.image);
  } else return;
  event.preventDefault();
  event.stopPropagation();
});
