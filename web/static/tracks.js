// One lesion through a cine: the JavaScript twin of core/curation/tracks.py and shapes.py, tested on the same vectors.
// Pure: a track is an ROI as the server sends and takes it, { kind, keyframes: [[frame, [[x, y], …]], …],
// outOfView: [[first, last], …], … }, frames from 1, points in pixels of the stored frame. Every function gives a new one,
// with whatever else the given one had, and throws a RangeError where there is none to give.
"use strict";

const SAME_PLACE = 1e-9;
const ELLIPSE_VERTICES = 256;
const SPAN_STEPS = 16;
const SPLINE_VERTICES = 1024;
const OPEN_VERTICES = 512;

/** The shape { kind, points } on a frame; null outside the keyframes and where the lesion is out of view. */
export function interpolate(track, frame) {
  const keys = track.keyframes;
  if (frame < keys[0][0] || frame > keys.at(-1)[0] || isOutOfView(track, frame)) return null;
  const after = keys.findIndex(([number]) => number >= frame);
  const [last, other] = keys[after];
  if (last === frame) return { kind: track.kind, points: other };
  const [first, one] = keys[after - 1];
  return { kind: track.kind, points: between(track.kind, one, other, (frame - first) / (last - first)) };
}

export function isOutOfView(track, frame) {
  return (track.outOfView ?? []).some(([first, last]) => first <= frame && frame <= last);
}

/** The track with these points on that frame, which is in view from now on. */
export function setKeyframe(track, frame, points) {
  const kept = track.keyframes.filter(([number]) => number !== frame);
  return made(track, [...kept, [frame, points]], without(track.outOfView ?? [], frame, frame));
}

export function removeKeyframe(track, frame) {
  return made(track, track.keyframes.filter(([number]) => number !== frame), track.outOfView ?? []);
}

/** The lesion is out of view from first to last, both included; what other frames show stays. */
export function hide(track, first, last) {
  const left = track.keyframes.filter(([number]) => number < first || number > last);
  const ends = left.length < track.keyframes.length ? [...edge(track, first - 1, -1), ...edge(track, last + 1, 1)] : [];
  return made(track, [...left, ...ends], joined([...(track.outOfView ?? []), [first, last]]));
}

/** Nothing from first to last is out of view any more. */
export function show(track, first, last) {
  return made(track, track.keyframes, without(track.outOfView ?? [], first, last));
}

/** [what comes before the frame, what comes from it on]; every frame shows what it showed. */
export function split(track, frame) {
  const parts = [part(track, null, frame - 1), part(track, frame, null)];
  if (parts.includes(null)) throw new RangeError("nothing to split");
  return parts;
}

/** What is left, as none, one or two tracks; nothing is said any more about first to last. */
export function deleteRange(track, first, last) {
  return [part(track, null, first - 1), part(track, last + 1, null)].filter((one) => one !== null);
}

/** One track of both, with the class and lesion of the first given; the gap is out of view or goes on. */
export function merge(one, other, gapIsOutOfView) {
  const [early, late] = one.keyframes[0][0] <= other.keyframes[0][0] ? [one, other] : [other, one];
  const [last, first] = [early.keyframes.at(-1)[0], late.keyframes[0][0]];
  if (one.kind !== other.kind || last >= first) throw new RangeError("nothing to merge");
  const spans = (early.outOfView ?? []).map(([a, b]) => [a, Math.min(b, first - 1)]);
  spans.push(...(late.outOfView ?? []).map(([a, b]) => [Math.max(a, last + 1), b]));
  if (gapIsOutOfView) spans.push([last + 1, first - 1]);
  return made(one, [...early.keyframes, ...late.keyframes], joined(spans.filter(([a, b]) => a <= b)));
}

/** The shape of this frame as a keyframe on the next one of a cine of so many frames. */
export function duplicateToNext(track, frame, frames) {
  const shape = interpolate(track, frame);
  if (shape === null || frame >= frames) throw new RangeError("nothing to duplicate");
  return setKeyframe(setKeyframe(track, frame, shape.points), frame + 1, shape.points);
}

/** The points a `share` (0 to 1) of the way from one shape of this kind to another. */
export function between(kind, one, other, share) {
  if (kind === "rectangle") return blend(upright(one), upright(other), share);
  if (kind === "ellipse") return ellipse(one, other, share);
  if (kind === "points") {
    if (one.length !== other.length) throw new RangeError("points in unequal number");
    return blend(one, other, share);
  }
  const turned = kind !== "line" && signedArea(one) * signedArea(other) < 0;
  const second = turned ? [other[0], ...other.slice(1).reverse()] : other;
  return blend(...matched(one, second, kind), share);
}

/** The vertices of the closed outline of a shape { kind, points }; throws for lines and points. */
export function outline({ kind, points }) {
  if (kind === "polygon") return points;
  if (kind === "rectangle") {
    const [[ax, ay], [bx, by]] = points;
    return [[ax, ay], [bx, ay], [bx, by], [ax, by]];
  }
  if (kind === "ellipse") {
    const [[x, y], [ax, ay], [bx, by]] = points;
    return Array.from({ length: ELLIPSE_VERTICES }, (_, index) => {
      const turn = (2 * Math.PI * index) / ELLIPSE_VERTICES;
      const [c, s] = [Math.cos(turn), Math.sin(turn)];
      return [x + c * (ax - x) + s * (bx - x), y + c * (ay - y) + s * (by - y)];
    });
  }
  if (kind !== "spline") throw new RangeError("only a closed shape has an area");
  const steps = Math.max(2, Math.min(SPAN_STEPS, Math.floor(SPLINE_VERTICES / points.length)));
  return points.flatMap((_, span) => Array.from({ length: steps }, (_, step) => onSpline(points, span, step / steps)));
}

/** The vertices of the smooth open line through the points, from the first to the last. */
export function openSpline(points) {
  if (points.length < 2) return points;
  const padded = [points[0], ...points, points.at(-1)];
  const steps = Math.max(2, Math.min(SPAN_STEPS, Math.floor(OPEN_VERTICES / (points.length - 1))));
  const dense = points.slice(1).flatMap((_, span) => Array.from({ length: steps }, (_, step) => onSpline(padded, span + 1, step / steps)));
  return [...dense, points.at(-1)];
}

/** The tight box { x, y, width, height } of a shape; of lines and points it may have no width or height. */
export function boxOf({ kind, points }) {
  if (kind === "ellipse") {
    const [[x, y], [ax, ay], [bx, by]] = points;
    const [halfWidth, halfHeight] = [far(ax, bx, x, x), far(ay, by, y, y)];
    return { x: x - halfWidth, y: y - halfHeight, width: 2 * halfWidth, height: 2 * halfHeight };
  }
  const all = kind === "spline" ? outline({ kind, points }) : points;
  const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}

/** Square pixels inside a closed outline that does not cross itself; 0 for lines and points. */
export function areaOf(shape) {
  return ["line", "points"].includes(shape.kind) ? 0 : Math.abs(signedArea(outline(shape)));
}

/** Area of a closed outline, positive when it runs from the x axis towards the y axis. */
export function signedArea(points) {
  let total = 0;
  points.forEach(([x0, y0], index) => {
    const [x1, y1] = points[(index + 1) % points.length];
    total += x0 * y1 - x1 * y0;
  });
  return total / 2;
}

function made(track, keyframes, spans) {
  const ordered = [...new Map(keyframes).entries()].sort(([a], [b]) => a - b);
  if (ordered.length === 0) throw new RangeError("no keyframe left");
  const counts = new Set(ordered.map(([, points]) => points.length));
  if (track.kind === "points" && counts.size > 1) throw new RangeError("points in unequal number");
  return { ...track, keyframes: ordered, outOfView: spans };
}

const blend = (one, other, share) =>
  one.map(([x, y], index) => [x + (other[index][0] - x) * share, y + (other[index][1] - y) * share]);

function upright([[ax, ay], [bx, by]]) {
  return [[Math.min(ax, bx), Math.min(ay, by)], [Math.max(ax, bx), Math.max(ay, by)]];
}

function ellipse(one, other, share) {
  const [a, b] = [axes(one), axes(other)];
  // An axis has no direction: the difference of two turns lies within a quarter turn either way.
  const swing = b[4] - a[4] - Math.PI * Math.floor((b[4] - a[4]) / Math.PI + 0.5);
  const [x, y, along, across] = [0, 1, 2, 3].map((index) => a[index] + (b[index] - a[index]) * share);
  const turn = a[4] + swing * share;
  const [c, s] = [Math.cos(turn), Math.sin(turn)];
  return [[x, y], [x + along * c, y + along * s], [x - across * s, y + across * c]];
}

const axes = ([[x, y], [ax, ay], [bx, by]]) =>
  [x, y, far(x, y, ax, ay), far(x, y, bx, by), Math.atan2(ay - y, ax - x)];

// Not Math.hypot: the square root is rounded alike in every language.
const far = (ax, ay, bx, by) => Math.sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay));

/** The point a `share` of the way from points[span] to the next, on the closed centripetal Catmull-Rom spline. */
function onSpline(points, span, share) {
  const ends = [-1, 0, 1, 2].map((step) => points[(span + step + points.length) % points.length]);
  const times = [0, 1, 2].map((index) => Math.sqrt(far(...ends[index], ...ends[index + 1])));
  return [0, 1].map((axis) => hermite(ends.map((point) => point[axis]), times, share));
}

/** One coordinate of a span, from the values before it, of it and after it; points in one place have no slope. */
function hermite([v0, v1, v2, v3], [before, now, after], share) {
  if (now === 0) return v1;
  const start = before > 0 ? now * ((v1 - v0) / before - (v2 - v0) / (before + now) + (v2 - v1) / now) : v2 - v1;
  const end = after > 0 ? now * ((v2 - v1) / now - (v3 - v1) / (now + after) + (v3 - v2) / after) : v2 - v1;
  const [bend, turn] = [3 * (v2 - v1) - 2 * start - end, 2 * (v1 - v2) + start + end];
  return v1 + share * (start + share * (bend + share * turn));
}

/** Both outlines with a vertex wherever either has one, by arc length: only a spline changes, and by little. */
function matched(one, other, kind) {
  if (one.length === other.length) return [one, other];
  const closed = kind !== "line";
  const [ofOne, ofOther] = [places(one, closed), places(other, closed)];
  const all = [];
  for (const place of [...ofOne, ...ofOther].sort((a, b) => a - b)) {
    if (all.length === 0 || place - all.at(-1) > SAME_PLACE) all.push(place);
  }
  if (closed && all.at(-1) > 1 - SAME_PLACE) all.pop();
  return [at(one, ofOne, all, kind), at(other, ofOther, all, kind)];
}

/** For each vertex, which part of the whole length lies before it. */
function places(points, closed) {
  const way = closed ? [...points, points[0]] : points;
  const reached = [0];
  for (let index = 1; index < way.length; index++) reached.push(reached.at(-1) + far(...way[index - 1], ...way[index]));
  const whole = reached.at(-1);
  return points.map((_, index) => (whole === 0 ? index / points.length : reached[index] / whole));
}

function at(points, own, all, kind) {
  const closed = kind !== "line";
  const ends = closed ? [...own, 1] : own;
  const way = closed ? [...points, points[0]] : points;
  let edge = 0;
  return all.map((place) => {
    while (edge < ends.length - 2 && ends[edge + 1] <= place) edge++;
    const length = ends[edge + 1] - ends[edge];
    const share = length === 0 ? 0 : Math.min(1, Math.max(0, (place - ends[edge]) / length));
    if (kind === "spline") return onSpline(points, edge, share);
    const [[ax, ay], [bx, by]] = [way[edge], way[edge + 1]];
    return [ax + (bx - ax) * share, ay + (by - ay) * share];
  });
}

/** What this frame shows, as a keyframe; where it is out of view, the next one in view, later (1) or earlier (-1). */
function edge(track, frame, step) {
  const span = (track.outOfView ?? []).find(([first, last]) => first <= frame && frame <= last);
  const number = !span ? frame : step > 0 ? span[1] + 1 : span[0] - 1;
  const shape = interpolate(track, number);
  return shape === null ? [] : [[number, shape.points]];
}

/** The track cut to these frames (null: open); null where it shows nothing there. */
function part(track, first, last) {
  const [low, high] = [first ?? 1, last ?? track.keyframes.at(-1)[0]];
  const inside = track.keyframes.filter(([number]) => low <= number && number <= high);
  if (first !== null) inside.push(...edge(track, first, 1).filter(([number]) => number <= high));
  if (last !== null) inside.push(...edge(track, last, -1).filter(([number]) => number >= low));
  const spans = (track.outOfView ?? []).map(([a, b]) => [Math.max(a, low), last === null ? b : Math.min(b, high)]);
  return inside.length ? made(track, inside, spans.filter(([a, b]) => a <= b)) : null;
}

function without(spans, first, last) {
  const cut = spans.flatMap(([a, b]) => [[a, Math.min(b, first - 1)], [Math.max(a, last + 1), b]]);
  return joined(cut.filter(([a, b]) => a <= b));
}

/** In order, those that touch made one. */
function joined(spans) {
  const found = [];
  for (const [first, last] of [...spans].sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (found.length && first <= found.at(-1)[1] + 1) found.at(-1)[1] = Math.max(found.at(-1)[1], last);
    else found.push([first, last]);
  }
  return found;
}
