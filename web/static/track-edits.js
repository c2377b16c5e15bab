// What a person does to one object of an image, a track of keyframes, in terms of tracks.js. Pure, tested in node.
// The verbs give { keyframes, outOfView, uncertain }, or throw a RangeError where there is nothing to give.
"use strict";
import * as tracks from "./tracks.js";

function changed({ keyframes, outOfView = [], uncertain = [] }) {
  const numbers = new Set(keyframes.map(([number]) => number));
  return { keyframes, outOfView, uncertain: uncertain.filter(([number]) => numbers.has(number)) };
}

/** The points of this frame, null where the object shows nothing. */
export const pointsAt = (roi, frame) => tracks.interpolate(roi, frame)?.points ?? null;
export const isKeyframe = (roi, frame) => roi.keyframes.some(([number]) => number === frame);
export const span = (roi) => [roi.keyframes[0][0], roi.keyframes.at(-1)[0]];

/** The points of the keyframe that is nearest, the earlier of two. */
export function nearest(roi, frame) {
  return roi.keyframes.reduce((best, one) => (Math.abs(one[0] - frame) < Math.abs(best[0] - frame) ? one : best));
}

export const place = (roi, frame, points) => changed(tracks.setKeyframe(roi, frame, points));

/** A keyframe where there is none, of what is shown or of the nearest keyframe; the one that is there goes. */
export function toggleKeyframe(roi, frame) {
  if (isKeyframe(roi, frame)) return changed(tracks.removeKeyframe(roi, frame));
  return place(roi, frame, pointsAt(roi, frame) ?? nearest(roi, frame)[1]);
}

/** Out of view from this frame until the next keyframe or the end; back in view until the end of its span. */
export function toggleView(roi, frame, frames) {
  const spanHere = (roi.outOfView ?? []).find(([first, last]) => first <= frame && frame <= last);
  if (spanHere) return changed(tracks.show(roi, frame, spanHere[1]));
  const next = roi.keyframes.find(([number]) => number > frame)?.[0] ?? frames + 1;
  return hide(roi, frame, next - 1);
}

export const hide = (roi, first, last) => changed(tracks.hide(roi, first, last));

/** The parts before the frame and from it on. */
export const split = (roi, frame) => tracks.split(roi, frame).map(changed);

/** None, one or two parts. */
export const deleteRange = (roi, first, last) => tracks.deleteRange(roi, first, last).map(changed);

/** One of both, the frames between them out of view where nothing says that they go on. */
export function merge(one, other, gapIsOutOfView) {
  const whole = tracks.merge(one, other, gapIsOutOfView);
  return changed({ ...whole, uncertain: [...(one.uncertain ?? []), ...(other.uncertain ?? [])] });
}

export const duplicateToNext = (roi, frame, frames) => changed(tracks.duplicateToNext(roi, frame, frames));

/** The keyframe after (1) or before (-1) a frame, of these objects; null where there is none. */
export function beside(rois, frame, direction) {
  const numbers = rois.flatMap((roi) => roi.keyframes.map(([number]) => number)).filter((number) => (number - frame) * direction > 0);
  return numbers.length ? Math[direction > 0 ? "min" : "max"](...numbers) : null;
}

/** What a strip shows of a track: { spans: [[first, last], ...] in view, gaps: out of view, keys: [frame, ...] }. */
export function strip(roi) {
  const [first, last] = span(roi);
  const gaps = roi.outOfView ?? [];
  const spans = [];
  let from = first;
  for (const [begin, end] of gaps) {
    if (end < first || begin > last) continue;
    if (begin > from) spans.push([from, begin - 1]);
    from = Math.max(from, end + 1);
  }
  if (from <= last) spans.push([from, last]);
  return { spans, gaps, keys: roi.keyframes.map(([number]) => number) };
}
