// Undo and redo of what this person saved in the case. The server knows the steps, so a reload forgets none of them.
"use strict";
import { adopt } from "./case-adopt.js";
import { idle, leave } from "./case-save.js";
import { data, t } from "./viewer-words.js";

const buttons = [...document.querySelectorAll("[data-step-back]")];
const place = document.getElementById("viewer-said");
let steps = Promise.resolve(); // one after the other: a key that is pressed twice means two steps

function allow(can) {
  for (const button of buttons) button.disabled = !data.mayCurate || !can[button.dataset.stepBack];
}

function tell(words) {
  const note = document.createElement("p");
  note.className = "note warn";
  note.setAttribute("role", "status");
  note.textContent = words;
  place?.replaceChildren(note);
  setTimeout(() => note.remove(), 6000);
}

/** Take back ("undo") or do again ("redo") one step, after everything that is still on its way. */
export function step(which) {
  steps = steps.then(() => take(which));
  return steps;
}

async function take(which) {
  if (!data.mayCurate || data.isReading) return;
  try {
    dispatchEvent(new Event("sonobank:flush"));
    await idle();
    const answer = await fetch(`/cases/${data.caseId}/${which}`, { method: "POST", credentials: "same-origin", headers: { Accept: "application/json" } });
    const told = await answer.json().catch(() => ({}));
    if (answer.status === 401) return leave();
    if (!answer.ok) return tell(told.said ?? t("not_saved"));
    adopt(told.changed);
    allow({ undo: told.canUndo, redo: told.canRedo });
    document.dispatchEvent(new CustomEvent("sonobank:saved", { detail: { at: told.at, path: which, body: told, isStep: true } }));
  } catch {
    tell(t("not_saved"));
  }
}

allow({ undo: data.canUndo, redo: data.canRedo });
for (const button of buttons) button.addEventListener("click", () => step(button.dataset.stepBack));
document.addEventListener("sonobank:saved", (event) => { if (!event.detail.isStep) allow({ undo: true, redo: false }); });
