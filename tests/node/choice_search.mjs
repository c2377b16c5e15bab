// Ranks what the vectors type with web/static/choice-search.js: node choice_search.mjs MODULE VECTORS > ranks.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, vectors] = process.argv.slice(2);
const { fold, rank } = await import(pathToFileURL(module));
const found = JSON.parse(readFileSync(vectors, "utf8")).map(({ words, ...typed }) => Object.fromEntries(Object.entries(typed).map(([kind, texts]) => [kind, texts.map((text) => rank(words, text))])));
process.stdout.write(JSON.stringify({ found, twice: ["きょう", "ABC", "ｶﾞﾝ", "肝癌"].map((text) => fold(fold(text)) === fold(text)) }));
