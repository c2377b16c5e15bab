// Finds operations by any of their words; without it the list is whole.
"use strict";

const find = document.getElementById("find");
const hits = document.getElementById("hits");
const operations = [...document.querySelectorAll(".operation")];

const filter = () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const operation of operations) {
    const fits = words.every((word) => operation.dataset.text.includes(word));
    operation.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  for (const group of document.querySelectorAll(".group")) {
    group.hidden = !group.querySelector(".operation:not([hidden])");
  }
  hits.textContent = words.length ? hits.dataset.words.replace("{}", shown) : "";
};

// An address that names an operation opens it.
const open = () => {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.matches("details")) named.open = true;
};

find.hidden = false;
find.addEventListener("input", filter);
addEventListener("hashchange", open);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  find.focus();
});
open();
