// The form of a case: fields that come and go with the answers, saved by itself, with what the server says beside each field.
"use strict";
import { asked, holds, isEmpty, whyWrong } from "./case-rules.js";
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
let refused = {}; // what the server does not take, in its words

document.documentElement.classList.add("has-script");

const fields = (question) => [...question.querySelectorAll(`[name="${question.dataset.field}"]`)];
const plain = (text) => text.normalize("NFKC").trim().replace(/,/g, "");

// Answers

function answerOf(question) {
  const { field, type } = question.dataset;
  if (type === "wall_motion") return segments(question);
  if (type === "codes") return orders.get(field)?.length ? [...orders.get(field)] : null;
  const inputs = fields(question);
  const value = inputs[0]?.type === "radio" ? inputs.find((input) => input.checked)?.value ?? "" : inputs[0]?.value ?? "";
  if (value === "") return null;
  if (type === "boolean") return value === "yes";
  if (type === "number" || type === "integer") return plain(value) === "" ? null : Number(plain(value));
  return value;
}

/** A finding for each segment; none as long as nobody has looked at any. */
function segments(question) {
  const codes = fields(question).map((input) => input.value);
  const { notEvaluated } = question.querySelector("[data-wall-motion]").dataset;
  return codes.every((code) => code === notEvaluated) ? null : codes;
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
  for (const [place, input] of inputs.entries()) {
    if (type === "wall_motion") input.value = given[place] ?? question.querySelector("[data-wall-motion]").dataset.notEvaluated;
    else if (input.type === "radio" || input.type === "checkbox") input.checked = given.length ? given.includes(input.value) : input.type === "radio" && input.value === "";
    else input.value = given[0] ?? "";
  }
  question.dispatchEvent(new Event("sonobank:put"));
}

function fill(values) {
  for (const question of questions) put(question, values[question.dataset.field] ?? null);
  last = snapshot();
  show();
}

/** What the form says, all fields; those that do not apply are left out when it is sent. */
export const everything = () => Object.fromEntries(questions.map((question) => [question.dataset.field, answerOf(question)]));

/** The same as text, to see what has changed; a number that cannot be read is none, but not nothing. */
const snapshot = () => JSON.stringify(everything(), (_, value) => (Number.isNaN(value) ? "?" : value));

// What is shown

const labelOf = (field) => questions.find((one) => one.dataset.field === field)?.querySelector(".q-label").firstChild.textContent.trim() ?? field;
const sentences = form ? JSON.parse(form.dataset.why) : {};

/** In words what is wrong with an answer as far as the browser can tell; null when nothing is. */
function problemOf(question, values) {
  const [name, places] = whyWrong(question, values, labelOf) ?? [];
  return name ? sentences[name].replace(/\{(\w+)\}/g, (_, place) => places[place]) : null;
}

function show() {
  const values = everything();
  const names = asked(questions, values, derive);
  for (const question of questions) {
    const { field } = question.dataset;
    const { needed } = JSON.parse(question.dataset.rules);
    question.hidden = !names.has(field);
    const isNeeded = needed === true || (Array.isArray(needed) && holds(needed, values, derive)) || Boolean(JSON.parse(question.dataset.rules).group);
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
  complain(values);
  form.dispatchEvent(new CustomEvent("sonobank:shown", { detail: values }));
}

function complain(values = everything()) {
  for (const question of questions) {
    const words = question.hidden ? null : problemOf(question, values) ?? refused[question.dataset.field];
    const place = question.querySelector(".bad");
    place.textContent = words ?? "";
    place.hidden = !words;
    question.classList.toggle("wrong", Boolean(words));
    const input = question.querySelector("input:not([type=radio]):not([type=checkbox]):not([type=hidden]), select");
    if (!input) continue;
    input.toggleAttribute("aria-invalid", false);
    if (words) input.setAttribute("aria-invalid", "true");
    const notes = [words && place.id, input.dataset.least !== undefined && `u-${question.dataset.field}`].filter(Boolean);
    if (notes.length) input.setAttribute("aria-describedby", notes.join(" "));
    else input.removeAttribute("aria-describedby");
  }
}

// Saving: one request at a time; what is changed meanwhile goes with the next

function body(without = new Set()) {
  const values = everything();
  const names = asked(questions, values, derive);
  const kept = Object.entries(values).filter(([name, value]) => names.has(name) && !isEmpty(value) && !without.has(name));
  return { values: Object.fromEntries(kept), version };
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
  } catch (answer) {
    if (answer?.status === 409) conflict();
    else if (answer?.status === undefined) throw answer;
  } finally {
    isSending = false;
    if (isDirty && !isBehind) later(200);
  }
}

const wrongOf = (values) => new Set(questions.filter((question) => problemOf(question, values)).map((question) => question.dataset.field));

/** The right answers are saved even while another is wrong: that one is left out, and so stays a gap. */
async function deliver() {
  const values = everything();
  const wrong = wrongOf(values);
  refused = {};
  for (let turn = 0; turn < 3; turn += 1) {
    try {
      taken(await save("PUT", path, () => body(new Set([...wrong, ...Object.keys(refused)]))));
      break;
    } catch (answer) {
      if (answer.status !== 422 || !answer.body.problems) throw answer;
      refused = { ...refused, ...answer.body.problems };
    }
  }
  complain();
}

function taken(told) {
  version = told.version;
  undo.length = 0; // what is saved is taken back by the server
  form.dataset.version = String(version);
  form.elements.version.value = String(version);
  for (const question of questions) follow(question, told.answers?.[question.dataset.field]);
}

/** The tags were read again: what nobody has entered by hand is what they say now. */
function follow(question, entry) {
  const before = JSON.parse(question.dataset.automatic);
  if (entry?.source !== "tag" || String(entry.value) === String(before)) return;
  const answer = answerOf(question);
  question.dataset.automatic = JSON.stringify(entry.value);
  if (answer !== null && String(answer) !== String(before)) return;
  put(question, entry.value);
  if (!isDirty) last = snapshot();
}

/** Everything that was entered is with the server, or it has had its time: then the page may be left. */
export async function settle(patience = 3000) {
  send();
  for (let waited = 0; waited < patience && (isDirty || isSending || badge?.dataset.now === "saving"); waited += 40) {
    await new Promise((resolve) => { setTimeout(resolve, 40); });
  }
}

function later(wait = WAIT_MS) {
  clearTimeout(timer);
  since ||= Date.now();
  timer = setTimeout(send, Math.max(0, Math.min(wait, since + LONGEST_MS - Date.now())));
  if (!isBehind) keepDraft("PUT", path, body(wrongOf(everything())));
}

/** A choice is saved at once, so that each is a step of its own to undo; what is typed, after a pause. */
function changed(event) {
  const now = snapshot();
  if (now === last) return;
  undo.push(last);
  if (undo.length > 100) undo.shift();
  last = now;
  refused = {};
  isDirty = true;
  show();
  later(event?.type === "input" && event.target.matches("textarea, input:not([type=radio]):not([type=checkbox])") ? WAIT_MS : 0);
}

/** Give fields their answers, as a person would. */
export function answer(values) {
  for (const question of questions) if (question.dataset.field in values) put(question, values[question.dataset.field]);
  changed();
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
    answer({ size_long_mm: Number(button.dataset.long), size_short_mm: Number(button.dataset.short) });
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
  last = snapshot();
  show();
  form.addEventListener("change", ordered);
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  form.addEventListener("sonobank:chosen", changed);
  document.addEventListener("sonobank:fill", (event) => {
    for (const question of questions) if (question.dataset.field in event.detail) put(question, event.detail[question.dataset.field]);
    changed();
  });
  form.addEventListener("click", clicked);
  form.addEventListener("focusout", () => { if (isDirty) later(200); });
  form.addEventListener("submit", (event) => { event.preventDefault(); isDirty = true; send(); });
  addEventListener("sonobank:idle", send);
  addEventListener("sonobank:flush", send);
  document.addEventListener("sonobank:conflict", (event) => { if (event.detail.path === path && !isSending) left(event.detail.sent); });
  document.addEventListener("sonobank:form-taken", (event) => take(event.detail));
  addEventListener("pagehide", send);
}
