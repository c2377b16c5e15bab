// A curator's usual answers: offered beside the questions that have none, taken or forgotten with one press.
"use strict";
import { answer, everything } from "./case-form.js";
import { isEmpty } from "./case-rules.js";
import { save } from "./case-save.js";

const form = document.getElementById("answers");
const all = document.getElementById("usual-all");
const offered = new Map([...(form?.querySelectorAll(".q[data-usual]") ?? [])].map((question) => [question.dataset.field, question]));
const usual = (question) => JSON.parse(question.dataset.usual);

/** Only what has no answer is offered; the choice that would be taken is marked. */
function show(values) {
  for (const [field, question] of offered) {
    const isOpen = isEmpty(values[field]);
    question.querySelector(".usual").hidden = !isOpen;
    for (const chip of question.querySelectorAll(".chip")) chip.classList.toggle("offered", isOpen && [usual(question)].flat().map(String).includes(chip.querySelector("input").value));
  }
  if (all) all.hidden = ![...offered.values()].some((question) => !question.hidden && !question.querySelector(".usual").hidden);
}

const open = () => [...offered].filter(([, question]) => !question.hidden && !question.querySelector(".usual").hidden);

/** Take every usual answer that is offered. */
export function keepAll() {
  const kept = open().map(([field, question]) => [field, usual(question)]);
  if (kept.length) answer(Object.fromEntries(kept));
  return kept.length > 0;
}

async function forget(question) {
  const { field } = question.dataset;
  offered.delete(field);
  for (const chip of question.querySelectorAll(".offered")) chip.classList.remove("offered");
  question.querySelector(".usual").remove();
  if (all && !open().length) all.hidden = true;
  await save("PUT", form.getAttribute("action").replace(/form-plain$/, "defaults"), { forget: [field] }).catch(() => {}); // it is offered again next time
}

form?.addEventListener("sonobank:shown", (event) => show(event.detail));
if (offered.size) show(everything());
form?.addEventListener("click", (event) => {
  const button = event.target.closest("[data-keep], [data-forget], [data-keep-all]");
  if (!button) return;
  const question = button.closest(".q");
  if (button.dataset.keepAll !== undefined) keepAll();
  else if (button.dataset.keep !== undefined) answer({ [question.dataset.field]: usual(question) });
  else forget(question);
});
