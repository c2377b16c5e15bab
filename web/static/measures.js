// Millimetres by the ultrasound region that holds a shape: the JavaScript twin of core/services/rois.py. Pure.
"use strict";

/** The region that holds a whole box { x, y, width, height }: of several the one of high priority, then the smallest. */
export function regionAround(regions, { x, y, width, height }) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  // The last pixel that the box touches; an end on a pixel's edge does not reach into the next one.
  const [right, bottom] = [Math.max(left, Math.ceil(x + width) - 1), Math.max(top, Math.ceil(y + height) - 1)];
  const holding = regions.filter((one) => one.x0 <= left && right <= one.x1 && one.y0 <= top && bottom <= one.y1);
  const area = (one) => (one.x1 - one.x0) * (one.y1 - one.y0);
  return holding.sort((a, b) => Boolean(a.isLowPriority) - Boolean(b.isLowPriority) || area(a) - area(b))[0] ?? null;
}

/** [width, height] of a box in mm; null where no region that holds it has a scale. */
export function sizeMm(regions, box) {
  const scale = regionAround(regions, box)?.mmPerPx;
  return scale ? [box.width * scale[0], box.height * scale[1]] : null;
}

/** Millimetres from corner to corner of a box, which is the length of a caliper; null where that is unknown. */
export function lengthMm(regions, box) {
  const size = sizeMm(regions, box);
  return size && Math.hypot(...size);
}
