// One way to save on the case page: in order, again while the network or the server is away, and never lost by a sign-out in between.
"use strict";

const PREFIX = "sonobank-drafts:";
const AWAY = new Set([429, 502, 503, 504]);
const LONGEST_WAIT = 30;
// Codes and numbers only. A sentence is not kept in the browser, whoever sends it.
const CODE = /^(?:[\w.:/+-]{1,64}|[A-Z0-9_]+(?: [A-Z0-9_]+){0,4})$/;

const page = document.querySelector("[data-case]");
const caseId = page?.dataset.case ?? (location.pathname.match(/\/cases\/([0-9a-f-]{36})/) ?? [])[1] ?? "";
const person = page?.dataset.person ?? "";
const key = PREFIX + caseId;

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

function drafts() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? "null");
    return kept?.person === person ? kept.entries : [];
  } catch {
    return [];
  }
}

function store(entries) {
  try {
    if (entries.length) sessionStorage.setItem(key, JSON.stringify({ person, entries }));
    else sessionStorage.removeItem(key);
  } catch { /* A full or forbidden storage: the edit is still in this page. */ }
}

function keep(id, method, path, body) {
  const rest = drafts().filter((entry) => entry.id !== id && !(method === "PUT" && entry.method === "PUT" && entry.path === path));
  store(isCoded(body) ? [...rest, { id, method, path, body }] : rest);
}

const forget = (id) => store(drafts().filter((entry) => entry.id !== id));

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

async function deliver(id, method, path, body) {
  const given = typeof body === "function" ? body() : body;
  keep(id, method, path, given);
  say("saving", { path });
  const answer = await send(method, path, given);
  if (answer.status === 401) {
    leave();
    return new Promise(() => {}); // the draft is sent after the sign-in
  }
  const told = await answer.json().catch(() => ({}));
  forget(id);
  if (answer.ok) {
    say("saved", { at: told.at ?? new Date().toISOString(), path, body: told });
    return told;
  }
  if (answer.status === 409) say("conflict", { path, body: told });
  else say("refused", { path, status: answer.status, body: told });
  throw { status: answer.status, body: told };
}

function leave() {
  isLeaving = true;
  location.assign("/sign-in?" + new URLSearchParams({ next: location.pathname + location.search }));
}

/**
 * Send `body` (or what the function `body` gives when its turn has come) as JSON; one after another, in the order of the calls.
 * Resolves with the answer's object; rejects with {status, body} for what the server refuses, 409 when somebody else was first.
 */
export function save(method, path, body) {
  const id = `${Date.now()}-${serial++}`;
  keep(id, method, path, typeof body === "function" ? body() : body);
  waiting += 1;
  const turn = chain.then(() => deliver(id, method, path, body)).finally(() => { waiting -= 1; });
  chain = turn.catch(() => {});
  return turn;
}

// What was not sent before a sign-in or a reload goes now; then the page shows what the server has.
async function replay() {
  const left = drafts();
  if (!left.length) return;
  store([]);
  const sent = await Promise.allSettled(left.map((entry) => save(entry.method, entry.path, entry.body)));
  if (sent.every((one) => one.status === "fulfilled")) location.reload();
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches('form[action="/sign-out"]')) return;
  isLeaving = true;
  for (const name of Object.keys(sessionStorage)) if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
});
addEventListener("sonobank:idle", () => { isLeaving = true; });
addEventListener("beforeunload", (event) => { if (waiting && !isLeaving) event.preventDefault(); });

if (caseId) replay();
