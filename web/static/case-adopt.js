// Puts what the server has into the open page, object by object: what was taken back, and what somebody else saved.
"use strict";
import { data } from "./viewer-words.js";

const say = (name, detail) => document.dispatchEvent(new CustomEvent(`sonobank:${name}`, { detail }));

/** `change` is { kind: roi | pick | form, … } as web/pages/case_live.py tells it. The viewer redraws on sonobank:roi-taken. */
export function adopt(change) {
  if (change.kind === "roi") adoptRoi(change.roi);
  else say(`${change.kind}-taken`, change);
}

function adoptRoi(roi) {
  const image = data.images.find((one) => one.id === roi.imageId);
  if (!image) return;
  const known = image.rois.find((one) => one.id === roi.id);
  if (roi.deleted) image.rois = image.rois.filter((one) => one !== known);
  else if (known) Object.assign(known, roi);
  else image.rois.push(roi);
  say("roi-taken", { imageId: image.id, roi });
  say("rois", { imageId: image.id, rois: image.rois });
}
