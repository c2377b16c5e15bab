// Handing a reading in: first everything that is still on its way is saved, then the page asks the server.
"use strict";

const STEP_MS = 150;
const MOST = 80;
const form = document.getElementById("hand-in");
const badge = document.getElementById("save-badge");
const pause = () => new Promise((resolve) => setTimeout(resolve, STEP_MS));

/** Whether nothing waits to be saved any more; what was refused or cannot be sent keeps the reading open. */
async function isSaved() {
  let quiet = 0;
  for (let turn = 0; turn < MOST && quiet < 4; turn += 1) {
    dispatchEvent(new Event("sonobank:idle")); // the form sends what was typed last
    await pause();
    quiet = badge.dataset.now === "saving" ? 0 : quiet + 1;
  }
  return quiet >= 4 && !["offline", "conflict", "refused"].includes(badge.dataset.now);
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
