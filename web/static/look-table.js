// How grey values are shown: a window by its level and width, both in percent of the range, and a gamma. Pure.
"use strict";

export const PLAIN = Object.freeze({ level: 50, width: 100, gamma: 1 });
export const BOUNDS = { level: [0, 100, 1], width: [2, 200, 1], gamma: [0.3, 3, 0.05] };
const STEPS = 64;

export const isPlain = (look) => Object.keys(PLAIN).every((name) => look[name] === PLAIN[name]);

/** The same look with one value within its bounds, on its step. */
export function turned(look, name, value) {
  const [least, most, step] = BOUNDS[name];
  const kept = Math.min(most, Math.max(least, Math.round(value / step) * step));
  return { ...look, [name]: Number(kept.toFixed(2)) };
}

/** What each of 65 evenly spaced values (0 to 1) is shown as, for feFunc of the type table. */
export function tableOf({ level, width, gamma }) {
  return Array.from({ length: STEPS + 1 }, (_, index) => {
    const share = ((index / STEPS) * 100 - (level - width / 2)) / width;
    return Number((Math.min(1, Math.max(0, share)) ** (1 / gamma)).toFixed(4));
  });
}
