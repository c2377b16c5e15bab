// The receipt is printed from its own button; without scripts the browser's menu prints it as well.
"use strict";

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
