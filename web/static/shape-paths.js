// How a shape is drawn: its path in SVG, in pixels of the stored frame; marks keep their size on the screen. Pure.
"use strict";
import { openSpline, outline } from "./tracks.js";

const TICK = 6;
const CROSS = 8;
const put = (value) => Math.round(value * 100) / 100;
const through = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${put(x)} ${put(y)}`).join("");

/** The path of a shape at a scale of so many screen pixels to one of the frame. */
export function pathOf({ kind, use, points }, scale = 1) {
  if (kind === "ellipse") return ellipsePath(points);
  if (kind === "line") return through(use === "lv" ? openSpline(points) : points);
  if (kind === "points") return points.length === 2 ? caliperPath(points, TICK / scale) : points.map((point) => crossPath(point, CROSS / scale)).join("");
  return `${through(outline({ kind, points }))}Z`;
}

function ellipsePath([[cx, cy], [ax, ay], [bx, by]]) {
  const [along, across] = [put(Math.hypot(ax - cx, ay - cy)), put(Math.hypot(bx - cx, by - cy))];
  const arc = `A${along} ${across} ${put((Math.atan2(ay - cy, ax - cx) * 180) / Math.PI)} 1 1`;
  const [ox, oy] = [put(2 * cx - ax), put(2 * cy - ay)];
  return `M${put(ax)} ${put(ay)}${arc} ${ox} ${oy}${arc} ${put(ax)} ${put(ay)}Z`;
}

/** A line with a short bar across each end. */
function caliperPath([[ax, ay], [bx, by]], half) {
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const [nx, ny] = [(-(by - ay) / length) * half, ((bx - ax) / length) * half];
  const bar = (x, y) => `M${put(x - nx)} ${put(y - ny)}L${put(x + nx)} ${put(y + ny)}`;
  return `M${put(ax)} ${put(ay)}L${put(bx)} ${put(by)}${bar(ax, ay)}${bar(bx, by)}`;
}

function crossPath([x, y], arm) {
  const gap = arm / 3;
  return [[-1, 0], [1, 0], [0, -1], [0, 1]].map(([dx, dy]) => `M${put(x + dx * gap)} ${put(y + dy * gap)}L${put(x + dx * arm)} ${put(y + dy * arm)}`).join("");
}

/** The path of what is being drawn: `points` are set, `next` (or null) is where the pointer is. */
export function sketchPath(kind, points, next, scale) {
  const all = next ? [...points, next] : points;
  if (!all.length) return "";
  if (kind === "spline" && all.length > 2) return pathOf({ kind, points: all }, scale);
  return all.length === 1 ? crossPath(all[0], CROSS / 2 / scale) : through(all);
}
