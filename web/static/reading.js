// Handing a reading in: first everything that is still on its way is saved, then the page asks the server.
"use strict";

import { idle } from "./case-save.js";

const form = document.getElementById("hand-in");
const badge = document.getElementById("save-badge");

/** Whether nothing waits to be saved any more; what was refused or cannot be sent keeps the reading open. */
async function isSaved() {
  // The form and the ROIs send what was changed last; what was typed while a save was on its way goes with the next turn.
  for (let turn = 0; turn < 3; turn += 1) {
    dispatchEvent(new Event("sonobank:flush"));
    await idle();
    await new Promise((resolve) => { setTimeout(resolve, 60); });
  }
  return !["offline", "conflict", "refused"].includes(badge.dataset.now);
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  if (await isSaved()) form.submit();
  else {
    button.disabled = false;
    document.getElementById("flash").textContent = form.dataset.wait;
  }
});

addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.code === "Enter" && !event.isComposing && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    form?.requestSubmit();
  }
});
