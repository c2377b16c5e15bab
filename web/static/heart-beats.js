// Beats as [end diastole, end systole] frames, one of them null: marked, moved and taken over. Pure, tested in node.
"use strict";

export const NEAR = 4; // a mark this near to one of its kind, with none of the other between, is the same one moved

/** Marks in the order of their frames: [frame, 0 for end diastole or 1 for end systole]. */
const marksOf = (beats) => beats.flatMap((beat) => beat.flatMap((frame, kind) => (frame === null ? [] : [[frame, kind]]))).sort((a, b) => a[0] - b[0]);

/** A systole ends the diastole before it; what has no partner stands alone. */
function paired(marks) {
  const beats = [];
  for (const [frame, kind] of [...marks].sort((a, b) => a[0] - b[0])) {
    const last = beats.at(-1);
    if (kind === 1 && last && last[1] === null) last[1] = frame;
    else beats.push(kind === 0 ? [frame, null] : [null, frame]);
  }
  return beats;
}

/** This frame is a mark of the kind; one that is there already is taken away, one close by is moved here. */
export function marked(beats, frame, kind) {
  const marks = marksOf(beats);
  if (marks.some(([at, which]) => at === frame && which === kind)) return paired(marks.filter(([at]) => at !== frame));
  const others = marks.filter(([at]) => at !== frame);
  const near = others.findIndex(([at, which], index) => which === kind && Math.abs(at - frame) <= NEAR
    && !others.some(([between, other], place) => place !== index && other !== kind && (between - at) * (between - frame) < 0));
  if (near >= 0) others.splice(near, 1);
  return paired([...others, [frame, kind]]);
}

/** The proposed marks join where none of their kind stands within half a beat. */
export function joined(beats, proposals) {
  const marks = marksOf(beats);
  const proposed = marksOf(proposals);
  const starts = proposed.filter(([, kind]) => kind === 0).map(([frame]) => frame);
  const half = starts.length > 1 ? (starts.at(-1) - starts[0]) / (starts.length - 1) / 2 : Infinity;
  const free = proposed.filter(([frame, kind]) => !marks.some(([at, which]) => at === frame || (which === kind && Math.abs(at - frame) < half)));
  return paired([...marks, ...free]);
}
