// Answers of web/static for the heart: node heart.mjs TRACKS BEATS < {splines: [points], marks: [[beats, frame, kind]], joins: [[beats, proposals]]}.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [tracks, beats] = await Promise.all(process.argv.slice(2).map((file) => import(pathToFileURL(file))));
const { splines, marks, joins } = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify({
  splines: splines.map(tracks.openSpline),
  marks: marks.map((given) => beats.marked(...given)),
  joins: joins.map((given) => beats.joined(...given)),
}));
