// Answers the vectors of tests/vectors with web/static/tracks.js: node tracks.mjs MODULE BY_HAND FROZEN PATH > answers.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, ...vectors] = process.argv.slice(2);
const tracks = await import(pathToFileURL(module));
const names = {
  hide: "hide", show: "show", split: "split", delete_range: "deleteRange", merge: "merge", set_keyframe: "setKeyframe",
  remove_keyframe: "removeKeyframe", duplicate_to_next: "duplicateToNext",
};

function answer({ track, frames, verb, given }) {
  if (!verb) return frames.map((frame) => tracks.interpolate(track, frame)?.points ?? null);
  try {
    return tracks[names[verb]](track, ...given);
  } catch (error) {
    if (error instanceof RangeError) return "refused";
    throw error;
  }
}

const [byHand, frozen, path] = vectors.map((file) => JSON.parse(readFileSync(file, "utf8")));
const boxes = path.boxes.map((_, index) => tracks.interpolate(path.track, index + 1)?.points ?? null);
process.stdout.write(JSON.stringify({ cases: [...byHand, ...frozen].map(answer), path: boxes }));
