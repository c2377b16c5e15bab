// Plays a cine of 300 frames of 1024 x 768 through viewer-frames.js as the viewer does; prints which frames were not there.
import { pathToFileURL } from "node:url";

let closed = 0;
globalThis.addEventListener = () => {};
globalThis.fetch = async (address) => {
  const query = new URL(address, "http://node").searchParams;
  const count = Math.min(Number(query.get("count")), 301 - Number(query.get("first")));
  const headers = { "Sonobank-Digest": "d", "Sonobank-Media-Type": "image/jpeg", "Sonobank-Lengths": Array(count).fill(9).join(",") };
  return { ok: true, headers: { get: (name) => headers[name] }, arrayBuffer: async () => new ArrayBuffer(9 * count) };
};
globalThis.createImageBitmap = async () => ({ width: 1024, height: 768, close: () => { closed += 1; } });
const moment = () => new Promise((go) => setTimeout(go, 0));

const { Frames } = await import(pathToFileURL(process.argv[2]));
const image = { id: "i", rows: 768, columns: 1024, frames: 300, mask: { revision: 1, digest: "d" } };
const frames = new Frames(() => "/frames", () => {});
await frames.get(image, 1);
frames.ahead(image, 1, 1);
for (let n = 0; n < 50; n += 1) await moment();
const missing = [];
let most = 0;
for (let frame = 2; frame <= 600; frame += 1) {
  const now = (frame - 1) % 300 + 1;
  if (!frames.peek(image, now)) missing.push(now);
  else if (now % 4 === 0) frames.ahead(image, now, 1);
  most = Math.max(most, frames.bytes);
  for (let n = 0; n < 4; n += 1) await moment();
}
process.stdout.write(JSON.stringify({ missing, most, closed }));
