// Two people at one case: who else is here, and what they saved since this page was loaded, to be taken in with one button.
"use strict";
import { adopt } from "./case-adopt.js";
import { imageShown } from "./case-place.js";
import { idle } from "./case-save.js";
import { data, make, t } from "./viewer-words.js";

const EVERY_MS = 15_000;
const others = document.getElementById("case-others");
const news = document.getElementById("case-news");
let seen = data.newest ?? "00000000-0000-0000-0000-000000000000";

const ask = (path, options) => fetch(`/cases/${data.caseId}/${path}`, {
  credentials: "same-origin",
  headers: { Accept: "application/json", "Content-Type": "application/json", "Sonobank-Poll": "1" }, // it keeps nobody signed in
  ...options,
});

async function beat() {
  if (document.hidden) return;
  let told;
  const since = seen;
  try {
    const answer = await ask("presence", { method: "POST", body: JSON.stringify({ seen: since, image: imageShown() }) });
    if (!answer.ok) return;
    told = await answer.json();
  } catch {
    return; // the network is away: the saving says so
  }
  if (since === seen) show(told); // else it was taken in meanwhile
}

function show({ others: people, changes }) {
  const words = people.map((one) => (one.image ? t("other_at", { name: one.name, image: one.image }) : one.name));
  others.hidden = !people.length;
  if (others.dataset.words !== words.join()) {
    others.dataset.words = words.join();
    others.replaceChildren(make("span", { icon: "person" }), t("others", { names: words.join(t("comma")) }));
  }
  news.hidden = !changes.length;
  const what = changes.map((one) => t("news_what", { name: one.by, what: t(`news_${one.kind}`, { image: one.image }) }));
  if (!changes.length || news.dataset.words === what.join()) return;
  news.dataset.words = what.join();
  const button = make("button", { type: "button", class: "small", text: t("take_in") });
  button.addEventListener("click", take);
  news.replaceChildren(make("span", { text: [...new Set(what)].join(t("comma")) }), button);
}

/** What the others saved, put in its place in this page. */
async function take() {
  dispatchEvent(new Event("sonobank:flush"));
  await idle();
  const answer = await ask(`changes?${new URLSearchParams({ after: seen })}`).catch(() => null);
  if (!answer?.ok) return;
  const told = await answer.json();
  for (const change of told.changes) adopt(change);
  seen = told.newest ?? seen;
  news.hidden = true;
  news.dataset.words = "";
  document.getElementById("stage").focus({ preventScroll: true });
}

document.addEventListener("visibilitychange", beat);
if (others && data.isOpen) {
  setInterval(beat, EVERY_MS);
  setTimeout(beat, 500);
}
