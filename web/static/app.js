// What every page needs: leaving an idle page, rows by keyboard, things to copy, dialogs. Everything works without it.
"use strict";

// Away from the desk: a page that may show a patient's values is left after 15 minutes without a hand on it. What was saved is safe.
const idle = Number(document.body.dataset.idle || 0) * 1000;
if (idle) {
  let last = Date.now();
  for (const kind of ["pointerdown", "pointermove", "keydown", "wheel"]) {
    addEventListener(kind, () => { last = Date.now(); }, { passive: true });
  }
  setInterval(() => {
    if (Date.now() - last < idle) return;
    dispatchEvent(new Event("sonobank:idle"));
    const here = location.pathname + location.search;
    location.replace(document.body.dataset.idleHref + "?" + new URLSearchParams({ next: here }));
  }, 5000);
}

// What a case page has not sent yet is kept in this browser for its person alone, and no longer than they are signed in.
document.addEventListener("submit", (event) => {
  if (event.target.matches('form[action="/sign-out"]')) forgetDrafts(() => true);
});
if (document.body.dataset.person) forgetDrafts((name) => !name.startsWith(`sonobank-drafts:${document.body.dataset.person}:`));

function forgetDrafts(isOld) {
  try {
    for (const name of Object.keys(localStorage)) if (name.startsWith("sonobank-drafts:") && isOld(name)) localStorage.removeItem(name);
  } catch { /* no storage: nothing is kept */ }
}

// A field for files shows what was chosen beside its button.
document.addEventListener("change", ({ target }) => {
  if (target.matches(".file > input")) target.closest(".file").querySelector("output").value = [...target.files].map(({ name }) => name).join(", ");
});

// Lists: J and K (or the arrows) move from row to row, Enter opens, X marks. Plain letters act outside text fields only.
const typing = (target) => target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
addEventListener("keydown", (event) => {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const rows = [...document.querySelectorAll("table[data-rows] tbody tr")];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const step = { KeyJ: 1, ArrowDown: 1, KeyK: -1, ArrowUp: -1 }[event.code];
  if (step) {
    const row = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
    (row.querySelector("a[href]") || row).focus();
    event.preventDefault();
  } else if (event.code === "KeyX" && at >= 0) {
    const box = rows[at].querySelector("input[type=checkbox]");
    if (box) box.click();
  }
});

addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-open], [data-close], [data-all]");
  if (!button) return;
  if (button.dataset.copy !== undefined) navigator.clipboard?.writeText(button.dataset.copy);
  if (button.dataset.open) document.getElementById(button.dataset.open)?.showModal();
  if (button.dataset.close !== undefined) button.closest("dialog")?.close();
  if (button.dataset.all) {
    for (const box of document.querySelectorAll(`input[name="${button.dataset.all}"]`)) box.checked = button.checked;
  }
});

// What a page asks by itself does not keep its person signed in (web/deps.py).
document.body.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.elt.closest("[data-poll]")) event.detail.headers["Sonobank-Poll"] = "1";
});
