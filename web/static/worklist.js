// How many rows are marked, beside the buttons that act on them, and ranges of rows. Without it the buttons work all the same.
"use strict";

const count = () => {
  const place = document.querySelector("[data-marked]");
  if (!place) return;
  place.dataset.empty ??= place.textContent;
  const marked = document.querySelectorAll('input[name="case"]:checked').length;
  place.textContent = marked ? place.dataset.marked.replace("{n}", marked) : place.dataset.empty;
  for (const box of document.querySelectorAll('input[name="case"]')) box.closest("tr").classList.toggle("on", box.checked);
  const all = document.querySelector('[data-all="case"]');
  const boxes = document.querySelectorAll('input[name="case"]').length;
  if (all) {
    all.checked = marked > 0 && marked === boxes;
    all.indeterminate = marked > 0 && marked < boxes;
  }
};
// Shift and a click mark every row from the last one that was marked to this one.
let anchor = null;
addEventListener("click", (event) => {
  if (!event.target.matches('input[name="case"]')) return;
  const boxes = [...document.querySelectorAll('input[name="case"]')];
  const [from, to] = [boxes.indexOf(anchor), boxes.indexOf(event.target)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) for (const box of boxes.slice(from, to + 1)) box.checked = event.target.checked;
  anchor = event.target;
});
addEventListener("change", count);
addEventListener("click", (event) => { if (event.target.closest("[data-all]")) setTimeout(count); });
document.body.addEventListener("htmx:afterSettle", count);
count();
