// Handing a reading in: first everything that is still on its way is saved, then the page asks the server.
"use strict";

import { idle } from "./case-save.js";

const form = document.getElementById("hand-in");
const badge = document.getElementById("save-badge");

/** Whether nothing waits to be saved any more; what was refused or cannot be sent keeps the reading open. */
async function isSaved() {
  dispatchEvent(new Event("sonobank:flush")); // the form and the ROIs send what was changed last
  await idle();
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
