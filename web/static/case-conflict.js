// Two people changed the same ROI: keep mine, take theirs, or keep both.
"use strict";
import { adopt } from "./case-adopt.js";
import { save } from "./case-save.js";
import { base, data, figure, labelOf, make, newId, t } from "./viewer-words.js";

const dialog = document.getElementById("roi-conflict");
const waiting = [];

function line(head, roi) {
  const place = roi.deleted ? t("conflict_deleted")
    : roi.width ? `${figure(roi.width)} × ${figure(roi.height)} px` : t("conflict_drawn");
  return make("div", {}, make("dt", { text: head }), make("dd", { text: [labelOf(roi.label), place].filter(Boolean).join(t("comma")) }));
}

function show() {
  const { path, body, sent } = waiting[0];
  const { theirs } = body;
  const number = data.images.find((one) => one.id === theirs.imageId)?.number;
  dialog.querySelector("h2").textContent = t("conflict_title", { image: number });
  dialog.querySelector("p").textContent = t("conflict_by", { name: body.by, at: body.at });
  dialog.querySelector("dl").replaceChildren(line(t("conflict_mine"), { ...theirs, ...sent }), line(t("conflict_theirs"), theirs));
  dialog.querySelector('[value="both"]').disabled = Boolean(sent.deleted || theirs.deleted);
  dialog.showModal();
  const onClose = async () => {
    waiting.shift();
    await settle(dialog.returnValue || "theirs", { path, body, sent });
    if (waiting.length) show();
  };
  dialog.addEventListener("close", onClose, { once: true });
}

/** Whatever is chosen, the other version stays in the history. */
async function settle(choice, { path, body: { version, theirs }, sent }) {
  const { id: _, version: __, deleted, ...own } = sent;
  try {
    if (choice === "mine") return adopt({ kind: "roi", roi: await save("PUT", path, { ...own, deleted: deleted ?? false, version }) });
    adopt({ kind: "roi", roi: theirs });
    if (choice !== "both") return null;
    const drawn = { ...(own.frame && !own.keyframes ? named(theirs) : whole(theirs)), ...own, id: newId() };
    return adopt({ kind: "roi", roi: await save("POST", `${base}/images/${theirs.imageId}/rois`, drawn) });
  } catch {
    return null; // a third version: its own conflict is asked about, anything else was said
  }
}

// What a new ROI is sent with, from one that is told: a change may have left anything out, and a box alone is its own shape.
const named = ({ use, margin, label, lesionId }) => ({ use, margin, label, lesionId });
const whole = ({ kind, keyframes, outOfView, uncertain, ...rest }) => ({ kind, keyframes, outOfView, uncertain, ...named(rest) });

document.addEventListener("sonobank:conflict", (event) => {
  if (!event.detail.body?.theirs || !dialog) return;
  waiting.push(event.detail);
  if (waiting.length === 1) show();
});
