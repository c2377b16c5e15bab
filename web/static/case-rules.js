// The rules of a form as the browser can follow them, the same as the server's: it decides, these only show.
"use strict";

export const isEmpty = (value) => value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length);

/** How an organ's file sorts its diagnoses; nothing where no diagnosis is a lesion. */
function malignancy(derive, values) {
  if (!derive.from) return null;
  let diagnosis = values[derive.from];
  let groups = { benign: derive.benign, malignant: derive.malignant, no_lesion: derive.no_lesion, undetermined: derive.undetermined };
  const grade = derive.by_grade;
  if (grade?.when.includes(diagnosis)) {
    groups = { benign: grade.benign, malignant: grade.malignant, undetermined: grade.undetermined };
    diagnosis = values[grade.field];
  }
  return Object.keys(groups).find((name) => groups[name].includes(diagnosis)) ?? null;
}

export function holds(tests, values, derive) {
  return tests.every((test) => {
    const answer = test.field === "malignancy" ? malignancy(derive, values) : values[test.field];
    if (isEmpty(answer)) return false;
    const given = (Array.isArray(answer) ? answer : [answer]).map(String);
    if (test.any_of.length && !given.some((code) => test.any_of.includes(code))) return false;
    return !given.some((code) => test.none_of.includes(code));
  });
}

/** The fields that apply; taken again until stable, since one that does not apply cannot make another apply. */
export function asked(questions, values, derive) {
  let names = new Set(Object.keys(values));
  for (;;) {
    const seen = Object.fromEntries(Object.entries(values).filter(([name]) => names.has(name)));
    const left = new Set(questions.filter((question) => {
      const { applies } = JSON.parse(question.dataset.rules);
      return names.has(question.dataset.field) && (!applies || holds(applies, seen, derive));
    }).map((question) => question.dataset.field));
    if (left.size === names.size) return left;
    names = left;
  }
}

/** Why a number cannot be taken, as [name of the sentence, what it says]; null when it can. `labelOf` names a field. */
export function whyWrong(question, values, labelOf) {
  const input = question.querySelector("[data-least]");
  const value = values[question.dataset.field];
  if (!input || value === null) return null;
  const { least, most, step, atMost } = input.dataset;
  if (!Number.isFinite(value)) return ["number", {}];
  const unit = question.querySelector(".unit").firstChild.textContent.trim();
  if (value < Number(least) || value > Number(most)) return ["range", { least: Number(least), most: Number(most), unit }];
  if (question.dataset.type === "integer" && !Number.isInteger(value)) return ["whole", {}];
  if (step && Math.abs(value / step - Math.round(value / step)) > 1e-6 * Math.max(1, value / step)) return ["step", { step: Number(step) }];
  const limit = atMost && values[atMost];
  return typeof limit === "number" && value > limit ? ["most", { field: labelOf(atMost) }] : null;
}
