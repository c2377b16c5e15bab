// Picks: of the image that is shown, or of several that are chosen in the list; a rejected image has a coded reason.
"use strict";
import { save } from "./case-save.js";

const { case: caseId } = document.querySelector("[data-case]")?.dataset ?? {};
const picks = document.querySelector("[data-picks]");
const thumbs = document.getElementById("thumbs");
const dialog = document.getElementById("reject-dialog");
const told = document.getElementById("thumbs-chosen");
export const rows = picks ? [...picks.querySelectorAll(".pick")] : [];
const mayEdit = rows.some((row) => row.querySelector("form"));
const links = () => [...(thumbs?.querySelectorAll("[data-image]") ?? [])];
const rowOf = (id) => rows.find((row) => row.dataset.image === id);
let here = null;
let anchor = null; // where a range begins
const chosen = new Set();

// The image that the viewer shows is the one that is decided on

function turn(id) {
  here = rowOf(id) ?? null;
  for (const row of rows) row.classList.toggle("here", row === here);
  picks?.classList.toggle("one", Boolean(here));
  anchor = id;
}
document.addEventListener("sonobank:image", (event) => { choose([]); turn(event.detail.id); });
const shown = document.querySelector('#thumbs [data-image][aria-current="true"]');
if (shown) turn(shown.dataset.image);

async function decide(row, isPicked, why = null) {
  const form = row?.querySelector("form");
  if (!form) return;
  if (why) form.elements.reason.value = why;
  const reason = isPicked ? null : form.elements.reason.value;
  const body = () => ({ picked: isPicked, reason, version: Number(row.dataset.version) });
  mark(row, isPicked);
  try {
    const answer = await save("PUT", `/cases/${caseId}/images/${row.dataset.image}/pick`, body);
    row.dataset.version = form.elements.version.value = String(answer.version);
    document.dispatchEvent(new CustomEvent("sonobank:picked", { detail: { imageId: row.dataset.image, picked: answer.picked, reason: answer.reason } }));
  } catch (refused) {
    if (refused?.status === undefined) throw refused;
    location.reload(); // somebody else decided first: show what they said
  }
}

function mark(row, isPicked) {
  row.dataset.picked = isPicked ? "yes" : "no";
  for (const button of row.querySelectorAll("button[name=picked]")) button.setAttribute("aria-pressed", String(button.value === row.dataset.picked));
  const count = document.getElementById("picks-count");
  if (count) count.textContent = count.dataset.words.replace("{picked}", rows.filter((one) => one.dataset.picked === "yes").length).replace("{total}", rows.length);
}

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

/** Pick the chosen images, or the one that is shown. */
export function pick() {
  const wanted = targets();
  for (const row of wanted) decide(row, true);
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

const targets = () => (chosen.size ? rows.filter((row) => chosen.has(row.dataset.image)) : [here]).filter((row) => row?.querySelector("form"));

function rejectFor(reason) {
  for (const row of targets()) decide(row, false, reason);
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
  const start = chosen.size || !here || here.dataset.image === id ? chosen : [here.dataset.image];
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
