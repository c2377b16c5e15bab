// The panels at the sides of the picture: opened and closed, and remembered in this browser.
"use strict";

const $ = (id) => document.getElementById(id);

/** The panels at the sides; how this person left them is remembered in this browser. */
export function panels() {
  const root = $("case-panels");
  const read = () => { try { return localStorage.getItem("sonobank-panels") ?? ""; } catch { return ""; } };
  const set = (side, isClosed) => {
    root.classList.toggle(`no-${side}`, isClosed);
    $(`toggle-${side}`).setAttribute("aria-expanded", String(!isClosed));
  };
  for (const side of ["left", "right"]) {
    set(side, read().includes(side));
    $(`toggle-${side}`).addEventListener("click", () => {
      set(side, !root.classList.contains(`no-${side}`));
      try { localStorage.setItem("sonobank-panels", ["left", "right"].filter((one) => root.classList.contains(`no-${one}`)).join(" ")); } catch { /* it is only a wish */ }
    });
  }
}
