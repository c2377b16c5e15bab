// The report on paper: every table is opened before it is printed.
"use strict";
const button = document.getElementById("report-print");
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
addEventListener("beforeprint", () => {
  for (const table of document.querySelectorAll("details")) table.open = true;
});
