// Answers the vectors of tests/vectors with web/static/tracks.js: node tracks.mjs MODULE BY_HAND FROZEN PATH SHAPES > answers.
// The vectors name things as Python does; the module as the page does.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, ...vectors] = process.argv.slice(2);
const tracks = await import(pathToFileURL(module));
const names = {
  hide: "hide", show: "show", split: "split", delete_range: "deleteRange", merge: "merge", set_keyframe: "setKeyframe",
  remove_keyframe: "removeKeyframe", duplicate_to_next: "duplicateToNext",
};

const there = (one) => {
  if (!one?.keyframes) return one;
  const { out_of_view: outOfView, ...rest } = one;
  return { ...rest, outOfView };
};
const back = (one) => {
  if (Array.isArray(one)) return one.map(back);
  const { outOfView, ...rest } = one;
  return { ...rest, out_of_view: outOfView };
};

function answer({ track, frames, verb, given }) {
  if (!verb) return frames.map((frame) => tracks.interpolate(there(track), frame)?.points ?? null);
  try {
    return back(tracks[names[verb]](there(track), ...given.map(there)));
  } catch (error) {
    if (error instanceof RangeError) return "refused";
    throw error;
  }
}

function measure(shape) {
  const { x, y, width, height } = tracks.boxOf(shape);
  const isClosed = !["line", "points"].includes(shape.kind);
  return { box: [x, y, width, height], area: tracks.areaOf(shape), outline: isClosed ? tracks.outline(shape) : null };
}

const [byHand, frozen, path, shapes] = vectors.map((file) => JSON.parse(readFileSync(file, "utf8")));
const boxes = path.boxes.map((_, index) => tracks.interpolate(there(path.track), index + 1)?.points ?? null);
process.stdout.write(JSON.stringify({ cases: [...byHand, ...frozen].map(answer), path: boxes, shapes: shapes.map(measure) }));
