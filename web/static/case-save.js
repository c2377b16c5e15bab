// One way to save on the case page: in order, again while the network or the server is away, and never lost: what is not with
// the server yet is kept in this browser (codes and numbers only), so that a closed tab or a killed browser loses nothing.
"use strict";

const PREFIX = "sonobank-drafts:";
const AWAY = new Set([429, 502, 503, 504]);
const LONGEST_WAIT = 30;
const KEPT_MS = 14 * 24 * 3600 * 1000;
const EARLY_MS = 10_000;
// Codes and numbers only. A sentence is not kept in the browser, whoever sends it.
const CODE = /^(?:[\w.:/+-]{1,64}|[A-Z0-9_]+(?: [A-Z0-9_]+){0,4})$/;

const page = document.querySelector("[data-case]");
const caseId = page?.dataset.case ?? (location.pathname.match(/\/cases\/([0-9a-f-]{36})/) ?? [])[1] ?? "";
const person = page?.dataset.person ?? "";
const mine = `${PREFIX}${person}:${caseId}:`;
// Two tabs at one case keep apart what each has not sent.
const key = mine + [...crypto.getRandomValues(new Uint32Array(2))].map((part) => part.toString(36)).join("");

let chain = Promise.resolve();
let waiting = 0;
let isLeaving = false;
let serial = 0;

const say = (name, detail = {}) => document.dispatchEvent(new CustomEvent(`sonobank:${name}`, { detail }));

function isCoded(value) {
  if (value === null || typeof value === "number" || typeof value === "boolean") return true;
  if (typeof value === "string") return value === "" || CODE.test(value);
  return typeof value === "object" && Object.values(value).every(isCoded);
}

/** What of a body may be kept: all, or a form without its sentences (the server then keeps those it has); null for nothing. */
function keepable(body) {
  if (isCoded(body)) return body;
  if (!body.values) return null;
  const entries = Object.entries(body.values);
  const left = entries.filter(([, value]) => !isCoded(value)).map(([name]) => name);
  return { ...body, values: Object.fromEntries(entries.filter(([name]) => !left.includes(name))), keep: left };
}

function drafts(name = key) {
  try {
    const kept = JSON.parse(localStorage.getItem(name) ?? "null");
    return kept?.entries?.filter((entry) => Date.now() - entry.at < KEPT_MS) ?? [];
  } catch {
    return [];
  }
}

function store(entries) {
  try {
    if (entries.length) localStorage.setItem(key, JSON.stringify({ entries }));
    else localStorage.removeItem(key);
  } catch { /* A full or forbidden storage: the edit is still in this page. */ }
}

/** The newest PUT to a path stands for those before it; `tries` counts how often one of them may have reached the server. */
function keep(id, method, path, body, isTried = false) {
  const replaces = (entry) => entry.id === id || (method === "PUT" && entry.method === "PUT" && entry.path === path);
  const all = drafts();
  const tries = Math.max(0, ...all.filter(replaces).map((entry) => entry.tries)) + (isTried ? 1 : 0);
  const kept = keepable(body);
  const rest = all.filter((entry) => !replaces(entry));
  store(kept ? [...rest, { id, method, path, body: kept, tries, at: Date.now() }] : rest);
  return tries;
}

const forget = (id) => store(drafts().filter((entry) => entry.id !== id));

/** Keep an edit that is sent a little later; `save` to the same path takes its place. */
export const keepDraft = (method, path, body) => { keep(`${Date.now()}-${serial++}`, method, path, body); };

/** Resolves when everything that was saved so far is with the server, or refused by it. */
export async function idle() {
  while (waiting) await chain;
}

/** Resolves after so many seconds, or at once when the network is back. */
function pause(seconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    addEventListener("online", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

async function send(method, path, body) {
  for (let wait = 1; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
    let answer = null;
    try {
      answer = await fetch(path, {
        method,
        credentials: "same-origin",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify(body),
      });
    } catch {
      // The network is away.
    }
    if (answer && !AWAY.has(answer.status)) return answer;
    say("offline", { seconds: wait });
    await pause(wait);
    say("saving", { path });
  }
}

async function deliver(id, method, path, body, earlier = 0) {
  const given = typeof body === "function" ? body() : body;
  const tries = keep(id, method, path, given, true) + earlier;
  say("saving", { path });
  const answer = await send(method, path, given);
  if (answer.status === 401) {
    leave();
    return new Promise(() => {}); // the draft is sent after the sign-in
  }
  const told = await answer.json().catch(() => ({}));
  // What stands there is this person's own earlier try, whose answer was lost: this edit goes on top of it.
  if (answer.status === 409 && told.mine && told.version > given.version && told.version - given.version <= tries) {
    return deliver(id, method, path, { ...given, version: told.version });
  }
  forget(id);
  if (answer.ok) {
    say("saved", { at: told.at ?? new Date().toISOString(), path, body: told });
    return told;
  }
  if (answer.status === 409) say("conflict", { path, body: told, sent: given });
  else say("refused", { path, status: answer.status, body: told });
  throw { status: answer.status, body: told };
}

/** To the sign-in and back here; once, though several hear at a time that the session is over. */
export function leave() {
  if (isLeaving) return;
  isLeaving = true;
  location.assign("/sign-in?" + new URLSearchParams({ next: location.pathname + location.search }));
}

document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (!event.detail.xhr.getResponseHeader("HX-Redirect")?.startsWith("/sign-in")) return;
  if (isLeaving) event.preventDefault();
  isLeaving = true;
});

/**
 * Send `body` (or what the function `body` gives when its turn has come) as JSON; one after another, in the order of the calls.
 * Resolves with the answer's object; rejects with {status, body} for what the server refuses, 409 when somebody else was first.
 */
export function save(method, path, body, earlier = 0) {
  const id = `${Date.now()}-${serial++}`;
  keep(id, method, path, typeof body === "function" ? body() : body);
  waiting += 1;
  const turn = chain.then(() => deliver(id, method, path, body, earlier)).finally(() => { waiting -= 1; });
  chain = turn.catch(() => {});
  return turn;
}

/** As `save`; answers that the server refuses by name are left out, for the others not to be lost with them. */
async function saveAgain({ method, path, body, tries }) {
  try {
    return await save(method, path, body, tries);
  } catch (refused) {
    const wrong = Object.keys(refused.body?.problems ?? {});
    if (refused.status !== 422 || !wrong.length) throw refused;
    const values = Object.fromEntries(Object.entries(body.values).filter(([name]) => !wrong.includes(name)));
    return save(method, path, { ...body, values });
  }
}

/** Send what a page that is gone has left, and then show what the server has. */
async function replay(name) {
  const left = drafts(name);
  localStorage.removeItem(name);
  if (!left.length) return;
  const sent = await Promise.allSettled(left.map(saveAgain));
  if (!waiting && sent.every((one) => one.status === "fulfilled")) location.reload();
}

function adopt() {
  const names = Object.keys(localStorage);
  for (const name of names) if (name.startsWith(PREFIX) && !name.startsWith(`${PREFIX}${person}:`)) localStorage.removeItem(name);
  const left = names.filter((name) => name.startsWith(mine) && name !== key);
  if (!navigator.locks) return left.forEach(replay);
  // Each page holds the lock of its drafts while it lives.
  navigator.locks.request(key, () => new Promise(() => {}));
  for (const name of left) navigator.locks.request(name, () => { if (performance.now() < EARLY_MS) replay(name); });
}

document.addEventListener("submit", (event) => { if (event.target.matches('form[action="/sign-out"]')) isLeaving = true; });
addEventListener("sonobank:idle", () => { isLeaving = true; });
addEventListener("beforeunload", (event) => { if (waiting && !isLeaving) event.preventDefault(); });

try { if (caseId) adopt(); } catch { /* no storage: nothing was left */ }
