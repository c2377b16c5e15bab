// Answers calls of the pure modules of the editor: node editor.mjs FOLDER < calls > answers.
// A call is { module, call, given }; the answer is what it gives, "refused" for a RangeError.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const calls = JSON.parse(readFileSync(0, "utf8"));
const modules = new Map();
for (const { module } of calls) if (!modules.has(module)) modules.set(module, await import(pathToFileURL(`${folder}/${module}`)));

function answer({ module, call, given }) {
  try {
    return modules.get(module)[call](...given) ?? null;
  } catch (error) {
    if (error instanceof RangeError) return "refused";
    throw error;
  }
}
process.stdout.write(JSON.stringify(calls.map(answer)));
