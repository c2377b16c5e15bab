// The form of a case: fields that come and go with the answers, saved by itself, with what the server says beside each field.
"use strict";
import { keepDraft, save } from "./case-save.js";

const WAIT_MS = 1200;
const LONGEST_MS = 1800; // however long somebody types
const form = document.getElementById("answers");
const questions = form ? [...form.querySelectorAll(".q")] : [];
const path = form?.getAttribute("action").replace(/form-plain$/, "form");
const derive = form ? JSON.parse(form.dataset.rules) : {};
const orders = new Map(); // the codes of a list in the order in which a person chose them
const undo = [];
let version = Number(form?.dataset.version ?? 0);
let timer = 0;
let since = 0;
let isSending = false;
let isDirty = false;
let isBehind = false;
let last = "";

document.documentElement.classList.add("has-script");

const fields = (question) => [...question.querySelectorAll(`[name="${question.dataset.field}"]`)];
const plain = (text) => text.normalize("NFKC").trim().replace(/,/g, "");

// Answers

function answerOf(question) {
  const { field, type } = question.dataset;
  if (type === "codes") return orders.get(field)?.length ? [...orders.get(field)] : null;
  const inputs = fields(question);
  const value = inputs[0]?.type === "radio" ? inputs.find((input) => input.checked)?.value ?? "" : inputs[0]?.value ?? "";
  if (value === "") return null;
  if (type === "boolean") return value === "yes";
  if (type === "number" || type === "integer") return plain(value) === "" ? null : Number(plain(value));
  return value;
}

function order(question, codes) {
  orders.set(question.dataset.field, [...codes]);
  question.querySelector("input[type=hidden]").value = codes.join(" ");
}

function put(question, value) {
  const { field, type } = question.dataset;
  const inputs = fields(question);
  const given = value === null || value === undefined ? [] : Array.isArray(value) ? value.map(String) : [type === "boolean" ? (value ? "yes" : "no") : String(value)];
  if (type === "codes") order(question, given);
  for (const input of inputs) {
    if (input.type === "radio" || input.type === "checkbox") input.checked = given.length ? given.includes(input.value) : input.type === "radio" && input.value === "";
    else input.value = given[0] ?? "";
  }
  question.dispatchEvent(new Event("sonobank:put"));
}

function fill(values) {
  for (const question of questions) put(question, values[question.dataset.field] ?? null);
  last = JSON.stringify(everything());
  show();
}

/** What the form says, all fields; those that do not apply are left out when it is sent. */
const everything = () => Object.fromEntries(questions.map((question) => [question.dataset.field, answerOf(question)]));

// Rules, the same as the server's: it decides, this only shows

const isEmpty = (value) => value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length);

function malignancy(values) {
  let diagnosis = values[derive.from];
  let groups = { benign: derive.benign, malignant: derive.malignant, no_lesion: derive.no_lesion, undetermined: derive.undetermined };
  const grade = derive.by_grade;
  if (grade?.when.includes(diagnosis)) {
    groups = { benign: grade.benign, malignant: grade.malignant, undetermined: grade.undetermined };
    diagnosis = values[grade.field];
  }
  return Object.keys(groups).find((name) => groups[name].includes(diagnosis)) ?? null;
}

function holds(tests, values) {
  return tests.every((test) => {
    const answer = test.field === "malignancy" ? malignancy(values) : values[test.field];
    if (isEmpty(answer)) return false;
    const given = (Array.isArray(answer) ? answer : [answer]).map(String);
    if (test.any_of.length && !given.some((code) => test.any_of.includes(code))) return false;
    return !given.some((code) => test.none_of.includes(code));
  });
}

function asked(values) {
  let names = new Set(Object.keys(values));
  for (;;) {
    const seen = Object.fromEntries(Object.entries(values).filter(([name]) => names.has(name)));
    const left = new Set(questions.filter((question) => {
      const { applies } = JSON.parse(question.dataset.rules);
      return names.has(question.dataset.field) && (!applies || holds(applies, seen));
    }).map((question) => question.dataset.field));
    if (left.size === names.size) return left;
    names = left;
  }
}

/** Why a number cannot be taken, as the browser can tell; the server says it in words. */
function isWrong(question, values) {
  const input = question.querySelector("[data-least]");
  const value = values[question.dataset.field];
  if (!input || value === null) return false;
  const { least, most, step, atMost } = input.dataset;
  if (!Number.isFinite(value) || value < Number(least) || value > Number(most)) return true;
  if (question.dataset.type === "integer" && !Number.isInteger(value)) return true;
  if (step && Math.abs(value / step - Math.round(value / step)) > 1e-6 * Math.max(1, value / step)) return true;
  const limit = atMost && values[atMost];
  return typeof limit === "number" && value > limit;
}

function show() {
  const values = everything();
  const names = asked(values);
  for (const question of questions) {
    const { field } = question.dataset;
    const { needed } = JSON.parse(question.dataset.rules);
    question.hidden = !names.has(field);
    const isNeeded = needed === true || (Array.isArray(needed) && holds(needed, values)) || Boolean(JSON.parse(question.dataset.rules).group);
    question.querySelector(".needed").hidden = !isNeeded;
    question.classList.toggle("open", isNeeded && isEmpty(values[field]));
    const automatic = JSON.parse(question.dataset.automatic);
    question.classList.toggle("by-tag", automatic !== null && (values[field] === null || String(values[field]) === String(automatic)));
    const first = question.querySelector(".first") && orders.get(field)?.[0];
    for (const chip of question.querySelectorAll(".chip")) {
      const tag = chip.querySelector(".first");
      if (tag) tag.hidden = chip.querySelector("input").value !== first;
    }
  }
  for (const button of form.querySelectorAll("[data-quick]")) button.setAttribute("aria-pressed", String(button.dataset.quick === values.diagnosis));
}

function complain(problems) {
  for (const question of questions) {
    const words = problems[question.dataset.field];
    const place = question.querySelector(".bad");
    place.textContent = words ?? "";
    place.hidden = !words;
    question.classList.toggle("wrong", Boolean(words));
    const input = question.querySelector("input:not([type=radio]):not([type=checkbox]), select");
    if (!input) continue;
    if (words) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
}

// Saving: one request at a time; what is changed meanwhile goes with the next

function body(without = new Set()) {
  const values = everything();
  const names = asked(values);
  const kept = Object.entries(values).filter(([name, value]) => names.has(name) && !isEmpty(value) && !without.has(name));
  // A number that cannot be read is sent as it stands, for the server to say what is wrong.
  const sent = kept.map(([name, value]) => [name, Number.isNaN(value) ? "?" : value]);
  return { values: Object.fromEntries(sent), version };
}

async function send() {
  clearTimeout(timer);
  if (!isDirty || isSending) return;
  if (isBehind) {
    conflict();
    return;
  }
  isSending = true;
  isDirty = false;
  since = 0;
  try {
    await deliver();
  } catch (refused) {
    if (refused?.status === 409) conflict();
    else if (refused?.status === undefined) throw refused;
  } finally {
    isSending = false;
    if (isDirty && !isBehind) later();
  }
}

const wrongOf = (values) => new Set(questions.filter((question) => isWrong(question, values)).map((question) => question.dataset.field));

/** The right answers are saved even while another is wrong: that one is left out, and so stays a gap. */
async function deliver() {
  const values = everything();
  const wrong = wrongOf(values);
  let problems = {};
  if (wrong.size) problems = await check();
  for (let turn = 0; turn < 3; turn += 1) {
    try {
      const without = new Set([...wrong, ...Object.keys(problems)]);
      const told = await save("PUT", path, () => body(without));
      taken(told);
      complain(problems);
      return;
    } catch (refused) {
      if (refused.status !== 422 || !refused.body.problems) throw refused;
      problems = { ...problems, ...refused.body.problems };
    }
  }
  complain(problems);
}

/** What the server says of answers that look wrong here; nothing is saved by a form with a problem. */
async function check() {
  try {
    taken(await save("PUT", path, () => body()));
    return {};
  } catch (refused) {
    if (refused.status === 422 && refused.body.problems) return refused.body.problems;
    throw refused;
  }
}

function taken(told) {
  version = told.version;
  undo.length = 0; // what is saved is taken back by the server
  form.dataset.version = String(version);
  form.elements.version.value = String(version);
}

function later(wait = WAIT_MS) {
  clearTimeout(timer);
  since ||= Date.now();
  timer = setTimeout(send, Math.max(0, Math.min(wait, since + LONGEST_MS - Date.now())));
  if (!isBehind) keepDraft("PUT", path, body(wrongOf(everything())));
}

function changed() {
  const now = JSON.stringify(everything());
  if (now === last) return;
  undo.push(last);
  if (undo.length > 100) undo.shift();
  last = now;
  isDirty = true;
  show();
  later();
}

/** Back to how the form was before the last change that is not saved yet; false where there is none. */
export function takeBackChange() {
  const before = undo.pop();
  if (before === undefined) return false;
  fill(JSON.parse(before));
  isDirty = true;
  later(200);
  return true;
}

/** Show the answers that the server has, as somebody else saved them or this person took them back. */
function take({ version: newer, answers }) {
  taken({ version: newer });
  fill(Object.fromEntries(Object.entries(answers).map(([name, entry]) => [name, entry.value])));
  isBehind = false;
}

/** Answers that an earlier page had not sent, and that somebody was before: both sides are shown. */
function left(sent) {
  fill(sent.values);
  form.elements.version.value = String(sent.version);
  isDirty = true;
  conflict();
}

// Two people at one form: the server shows both sides field by field

function conflict() {
  isBehind = true;
  const dialog = document.getElementById("conflict-dialog");
  htmx.ajax("POST", form.getAttribute("action"), { source: form, target: "#conflict", swap: "innerHTML" }).then(() => {
    if (document.querySelector("#conflict form") && !dialog.open) dialog.showModal();
  });
}

// Choosing

function choose(code) {
  const question = questions.find((one) => one.dataset.field === "diagnosis");
  if (!question) return false;
  put(question, answerOf(question) === code ? null : code);
  changed();
  return true;
}

/** The n-th of the common diagnoses, counted from 1. */
export function chooseQuick(place) {
  const button = form?.querySelectorAll("[data-quick]")[place - 1];
  return Boolean(button) && choose(button.dataset.quick);
}

function clicked(event) {
  const button = event.target.closest("[data-quick], [data-back], [data-roi-size]");
  if (!button) return;
  if (button.dataset.quick) choose(button.dataset.quick);
  if (button.dataset.back !== undefined) {
    const question = button.closest(".q");
    put(question, JSON.parse(question.dataset.automatic));
    changed();
  }
  if (button.dataset.roiSize !== undefined) {
    for (const [name, value] of [["size_long_mm", button.dataset.long], ["size_short_mm", button.dataset.short]]) {
      const question = questions.find((one) => one.dataset.field === name);
      if (question) put(question, Number(value));
    }
    changed();
  }
}

function ordered(event) {
  const question = event.target.closest(".q");
  if (event.target.type !== "checkbox" || !question) return;
  const rest = (orders.get(question.dataset.field) ?? []).filter((code) => code !== event.target.value);
  order(question, event.target.checked ? [...rest, event.target.value] : rest);
}

// What is being saved, in one line

const badge = document.getElementById("save-badge");
function tell(name, detail = {}) {
  if (!badge) return;
  const at = detail.at ? new Date(detail.at).toLocaleTimeString(document.documentElement.lang, { hour12: false }) : "";
  badge.textContent = badge.dataset[name].replace("{at}", at);
  badge.dataset.now = name;
}
for (const name of ["saving", "saved", "offline", "conflict", "refused"]) document.addEventListener(`sonobank:${name}`, (event) => tell(name, event.detail));

document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "sheet") return;
  const dialog = document.getElementById("sheet-dialog");
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(".sheet-foot button")?.focus({ preventScroll: true });
  dialog.scrollTop = 0;
});

if (form && form.dataset.locked === "no") {
  for (const question of questions) {
    const boxes = [...question.querySelectorAll("input[type=checkbox][data-place]")];
    if (question.dataset.type === "codes") order(question, boxes.sort((a, b) => a.dataset.place - b.dataset.place).map((box) => box.value));
  }
  last = JSON.stringify(everything());
  show();
  form.addEventListener("change", ordered);
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  form.addEventListener("sonobank:chosen", changed);
  form.addEventListener("click", clicked);
  form.addEventListener("focusout", () => { if (isDirty) later(200); });
  form.addEventListener("submit", (event) => { event.preventDefault(); isDirty = true; send(); });
  addEventListener("sonobank:idle", send);
  addEventListener("sonobank:flush", send);
  document.addEventListener("sonobank:conflict", (event) => { if (event.detail.path === path && !isSending) left(event.detail.sent); });
  document.addEventListener("sonobank:form-taken", (event) => take(event.detail));
  addEventListener("pagehide", send);
}
