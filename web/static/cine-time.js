// Which frame of a cine is due at a moment of its play. Pure, tested in node.
"use strict";

// Half a picture of a screen of 60 Hz: a cine of that rate must not fall now before and now after the turn of a frame, which
// shows one twice and leaves the next one out.
const EARLY_MS = 8;

/** The frame, from 1, that is due `elapsedMs` after `from` was shown, when each lasts `stepMs`; after the last comes the first. */
export const dueFrame = (from, elapsedMs, stepMs, frames) => (from - 1 + Math.floor((elapsedMs + EARLY_MS) / stepMs)) % frames + 1;
