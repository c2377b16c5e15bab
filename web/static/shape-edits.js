// What a hand does to one shape: drawn, moved, pulled by a handle, vertices added and taken away. Pure, tested in node.
// Points as in tracks.js: pixels of the stored frame; `size` is [columns, rows], which nothing leaves.
"use strict";
import { boxOf } from "./tracks.js";

export const FEWEST = { rectangle: 2, ellipse: 3, polygon: 3, spline: 3, line: 2, points: 1 };
const LEAST = 2;
const TURNS = 12;
const HAIR = 0.1;
const STRAIGHT = Math.PI / 36;
const SIDES = [[0, 0, "nw"], [0.5, 0, "n"], [1, 0, "ne"], [0, 0.5, "w"], [1, 0.5, "e"], [0, 1, "sw"], [0.5, 1, "s"], [1, 1, "se"]];

const within = (value, most) => Math.min(Math.max(0, value), most);
// A hundredth of a pixel is finer than any hand.
const fine = (value) => Math.round(value * 100) / 100;
export const inside = ([x, y], [columns, rows]) => [fine(within(x, columns)), fine(within(y, rows))];

export const isOutline = (kind) => kind === "polygon" || kind === "spline" || kind === "line";

/** Rectangle (whole pixels), ellipse or caliper between two places; null while it is too small to be meant. */
export function drawn(kind, from, to, size) {
  const [[ax, ay], [bx, by]] = [inside(from, size), inside(to, size)];
  const [width, height] = [Math.abs(bx - ax), Math.abs(by - ay)];
  if (kind === "points") return Math.max(width, height) < LEAST ? null : [[ax, ay], [bx, by]];
  if (kind === "rectangle") {
    const points = upright([[Math.round(ax), Math.round(ay)], [Math.round(bx), Math.round(by)]]);
    return points[1][0] - points[0][0] < LEAST || points[1][1] - points[0][1] < LEAST ? null : points;
  }
  if (width < LEAST || height < LEAST) return null;
  const [x, y] = [(ax + bx) / 2, (ay + by) / 2];
  return fitted(kind, [[x, y], [x + width / 2, y], [x, y + height / 2]].map(([px, py]) => [fine(px), fine(py)]), size);
}

/** The outline without points in one place beside each other; null while it has too few or holds nothing. */
export function closed(kind, points, size) {
  const kept = points.map((point) => inside(point, size)).filter(([x, y], index, all) => !index || x !== all[index - 1][0] || y !== all[index - 1][1]);
  if (kept.length < FEWEST[kind]) return null;
  const { width, height } = boxOf({ kind, points: kept });
  return kind !== "line" && (width < LEAST || height < LEAST) ? null : fitted(kind, kept, size);
}

/** The outline of an ellipse or a spline may swing out of the frame where its points do not: they give way until it lies inside. */
export function fitted(kind, points, [columns, rows]) {
  if (kind !== "spline" && kind !== "ellipse") return points;
  let kept = points;
  for (let turn = 0; turn < TURNS; turn++) {
    const { x, y, width, height } = boxOf({ kind, points: kept });
    const [left, top] = [Math.max(0, -x), Math.max(0, -y)];
    const [right, bottom] = [Math.max(0, x + width - columns), Math.max(0, y + height - rows)];
    if (!(left || top || right || bottom)) return kept;
    if (kind === "ellipse") {
      const factor = Math.max(0.5, 1 - (Math.max(left, top, right, bottom) + HAIR) / Math.min(width / 2, height / 2));
      const [[cx, cy]] = kept;
      kept = kept.map(([px, py]) => [fine(cx + (px - cx) * factor), fine(cy + (py - cy) * factor)]);
    } else kept = givingWay(kept, left, top, right, bottom, [columns, rows]);
  }
  return kept.map(([px, py]) => [fine(px * 0.8 + columns * 0.1), fine(py * 0.8 + rows * 0.1)]);
}

/** What lies nearest to a side where the outline is outside goes inwards by as much. */
function givingWay(points, left, top, right, bottom, [columns, rows]) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [low, high] = [[left && Math.min(...xs) + left + HAIR, top && Math.min(...ys) + top + HAIR],
    [right ? Math.max(...xs) - right - HAIR : columns, bottom ? Math.max(...ys) - bottom - HAIR : rows]];
  return points.map((point) => point.map((value, axis) => fine(Math.min(Math.max(value, low[axis]), high[axis]))));
}

/** Moved, as far as the frame reaches. */
export function moved(kind, points, dx, dy, [columns, rows]) {
  const { x, y, width, height } = boxOf({ kind, points });
  const sx = within(x + dx, columns - width) - x;
  const sy = within(y + dy, rows - height) - y;
  const round = kind === "rectangle" ? Math.round : fine;
  return fitted(kind, points.map(([px, py]) => [round(px + sx), round(py + sy)]), [columns, rows]);
}

/** The lower right of the box goes by dx, dy; the upper left stays, and every point keeps its part of the way. */
export function grown(kind, points, dx, dy, [columns, rows]) {
  const { x, y, width, height } = boxOf({ kind, points });
  const wide = width && Math.min(Math.max(LEAST, width + dx), columns - x);
  const high = height && Math.min(Math.max(LEAST, height + dy), rows - y);
  const [fx, fy] = [width ? wide / width : 1, height ? high / height : 1];
  if (kind === "ellipse") {
    const made = stretched(points, fx, fy, x, y);
    return isInside(made, [columns, rows]) ? made : points;
  }
  const round = kind === "rectangle" ? Math.round : fine;
  return fitted(kind, points.map(([px, py]) => [round(x + (px - x) * fx), round(y + (py - y) * fy)]), [columns, rows]);
}

/** An ellipse that is stretched stays one only along its axes: each semi-axis grows by what its own direction grows. */
function stretched([[cx, cy], ...ends], fx, fy, x, y) {
  const [mx, my] = [x + (cx - x) * fx, y + (cy - y) * fy];
  return [[fine(mx), fine(my)], ...ends.map(([px, py]) => {
    const [vx, vy] = [px - cx, py - cy];
    const length = Math.hypot(vx, vy) || 1;
    const factor = Math.hypot((vx / length) * fx, (vy / length) * fy);
    return [fine(mx + vx * factor), fine(my + vy * factor)];
  })];
}

/** Where a shape can be taken hold of: [{ x, y, index, side }]; `side` names the cursor of a rectangle's handle. */
export function handles(kind, points) {
  if (kind === "rectangle") {
    const [[left, top], [right, bottom]] = upright(points);
    return SIDES.map(([fx, fy, side], index) => ({ index, side, x: left + (right - left) * fx, y: top + (bottom - top) * fy }));
  }
  if (kind === "ellipse") {
    const [[cx, cy], ...ends] = points;
    return [...ends, ...ends.map(([x, y]) => [2 * cx - x, 2 * cy - y])].map(([x, y], index) => ({ index, x, y }));
  }
  return points.map(([x, y], index) => ({ index, x, y }));
}

/** The shape with the handle of this index pulled to a place. */
export function pulled(kind, points, index, to, size) {
  const place = inside(to, size);
  if (kind === "rectangle") return pulledSide(upright(points), SIDES[index][2], place);
  if (kind === "ellipse") return pulledAxis(points, index, place, size);
  return fitted(kind, points.map((point, at) => (at === index ? place : point)), size);
}

function pulledSide([[left, top], [right, bottom]], side, [x, y]) {
  const [px, py] = [Math.round(x), Math.round(y)];
  const [west, east] = [side.includes("w"), side.includes("e")];
  const [north, south] = [side.includes("n"), side.includes("s")];
  return [
    [west ? Math.min(px, right - LEAST) : left, north ? Math.min(py, bottom - LEAST) : top],
    [east ? Math.max(px, left + LEAST) : right, south ? Math.max(py, top + LEAST) : bottom],
  ];
}

/** The first axis turns and grows, the second only grows; within five degrees of upright it is upright. */
function pulledAxis([centre, one, other], index, [x, y], size) {
  const [cx, cy] = centre;
  const sign = index < 2 ? 1 : -1;
  const [dx, dy] = [(x - cx) * sign, (y - cy) * sign];
  let along = Math.hypot(one[0] - cx, one[1] - cy);
  let across = Math.hypot(other[0] - cx, other[1] - cy);
  let turn = Math.atan2(one[1] - cy, one[0] - cx);
  const side = (other[0] - cx) * -Math.sin(turn) + (other[1] - cy) * Math.cos(turn) < 0 ? -1 : 1;
  if (index % 2) across = Math.max(LEAST / 2, Math.abs(dx * -Math.sin(turn) + dy * Math.cos(turn)));
  else {
    along = Math.max(LEAST / 2, Math.hypot(dx, dy));
    turn = Math.atan2(dy, dx);
    const nearest = Math.round(turn / (Math.PI / 2)) * (Math.PI / 2);
    if (Math.abs(turn - nearest) < STRAIGHT) turn = nearest;
  }
  const [c, s] = [Math.cos(turn), Math.sin(turn)];
  const made = [centre, [cx + along * c, cy + along * s], [cx - across * s * side, cy + across * c * side]].map(([px, py]) => [fine(px), fine(py)]);
  return isInside(made, size) ? made : [centre, one, other];
}

function isInside(points, [columns, rows]) {
  const { x, y, width, height } = boxOf({ kind: "ellipse", points });
  return x >= 0 && y >= 0 && x + width <= columns && y + height <= rows;
}

/** The middle of each edge, where a vertex can be added: [{ x, y, after }]. */
export function middles(kind, points) {
  if (!isOutline(kind)) return [];
  const count = kind === "line" ? points.length - 1 : points.length;
  return points.slice(0, count).map(([x, y], after) => {
    const [nx, ny] = points[(after + 1) % points.length];
    return { after, x: (x + nx) / 2, y: (y + ny) / 2 };
  });
}

export function withVertex(kind, points, after, place, size) {
  return fitted(kind, [...points.slice(0, after + 1), inside(place, size), ...points.slice(after + 1)], size);
}

/** null where the kind needs every one of its points. */
export function withoutVertex(kind, points, index, size) {
  if (!isOutline(kind) || points.length <= FEWEST[kind]) return null;
  return fitted(kind, points.filter((_, at) => at !== index), size);
}

export function upright([[ax, ay], [bx, by]]) {
  return [[Math.min(ax, bx), Math.min(ay, by)], [Math.max(ax, bx), Math.max(ay, by)]];
}
