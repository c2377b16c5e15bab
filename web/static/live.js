// The live page: a source of frames, the stream to the model, and what is drawn. Pictures from the disk or a camera stay on this node.
"use strict";
import { Boxes, Timeline } from "./live-draw.js";
import { Cine, Moving } from "./live-sources.js";
import { Stream } from "./live-stream.js";

const WIDEST = 640; // what is sent: a model looks at fewer pixels still
const AT_ONCE = 2;
const $ = (id) => document.getElementById(id);
const { words, images } = JSON.parse($("live-data").textContent);
const canvas = $("picture"), context = canvas.getContext("2d");
const small = document.createElement("canvas"), sending = small.getContext("2d");
const boxes = new Boxes($("boxes"), words), timeline = new Timeline($("timeline"));
let source = null, frame = 0, isPlaying = false, isEncoding = false, isWaiting = false, skipped = 0, due = 0, shown = [], border = null;

const stream = new Stream({
  said(answer, note) {
    if (!note || note.source !== source) return;
    if (answer.type === "error") { say(answer.status === 503 ? words.no_model : words.refused); return; }
    const { scale, x, y } = note;
    shown = (answer.lesions ?? answer.boxes).map((box) => ({ ...box, x: x + box.x / scale, y: y + box.y / scale, width: box.width / scale, height: box.height / scale }));
    border = answer.border && { score: answer.border.score, points: answer.border.points.map((point) => [x + point[0] / scale, y + point[1] / scale]) };
    show();
    timeline.put(note.frame, border ? [{ label: words.ventricle, score: border.score }] : shown);
    $("live-model").textContent = `${answer.model.name} v${answer.model.version}`;
    tell();
    if (!isPlaying && source.count && note.frame !== frame) look();
  },
  changed(state, told) {
    if (state === "ready") {
      const model = told.models[$("domain").value] ?? told.models["*"];
      say(model ? words.running : words.no_model);
      if (model && !$("threshold").dataset.moved) setThreshold(model.threshold ?? 0.5);
      look();
    } else say(words[state] ?? "");
  },
});

function say(text) { $("state").textContent = text; }

function show() {
  const least = Number($("threshold").value);
  const sure = shown.filter((box) => box.number !== undefined || box.score >= least);
  boxes.show(sure, canvas.width, canvas.height, border?.points);
  const lines = sure.map((box) => `${boxes.numbered(box)}${boxes.named(box.label)} · ${Math.round(box.score * 100)}% · ${Math.round(box.width)} × ${Math.round(box.height)} px`);
  if (border) lines.push(`${words.ventricle} · ${Math.round(border.score * 100)}%`);
  $("list").replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

function tell() {
  const speed = stream.speed, ms = (value) => (Number.isFinite(value) ? `${value.toFixed(0)} ms` : "–");
  $("median").textContent = ms(speed.median);
  $("p95").textContent = ms(speed.p95);
  $("own").textContent = ms(speed.own);
  $("rate").textContent = Number.isFinite(speed.rate) ? `${speed.rate.toFixed(1)} fps` : "–";
  $("dropped").textContent = String(stream.dropped + skipped);
  const [found, looked] = timeline.found;
  $("found").textContent = words.found.replace("{found}", found).replace("{looked}", looked);
}

/** Draw the present frame, and send it unless the last one is still on its way into a JPEG. */
async function look() {
  const mine = source;
  if (!mine || isWaiting) return;
  isWaiting = true;
  let picture;
  try {
    picture = await mine.frame(frame);
  } catch {
    if (mine === source) say(words.bad_file);
  } finally {
    isWaiting = false;
  }
  if (mine !== source) return look();
  if (!picture) return undefined;
  const [width, height] = mine.size ?? [picture.width, picture.height];
  if (!width) return undefined;
  if (canvas.width !== width || canvas.height !== height) { Object.assign(canvas, { width, height }); boxes.show([], width, height); }
  context.drawImage(picture, 0, 0);
  $("place").textContent = mine.count ? `${frame} / ${mine.count}` : String(frame);
  if (!stream.isOpen) return undefined;
  if (isEncoding || stream.waiting >= AT_ONCE) { skipped += 1; return undefined; }
  const [x, y, wide, high] = mine.sector ?? [0, 0, width, height];
  const scale = Math.min(1, WIDEST / wide), note = { source, frame, scale, x, y };
  Object.assign(small, { width: Math.round(wide * scale), height: Math.round(high * scale) });
  sending.drawImage(picture, x, y, wide, high, 0, 0, small.width, small.height);
  isEncoding = true;
  small.toBlob((blob) => { isEncoding = false; if (blob && mine === source) stream.send(blob, note); }, "image/jpeg", 0.92);
  return undefined;
}

function turn(now) {
  if (!isPlaying) return;
  requestAnimationFrame(turn);
  if (now < due || isWaiting) return;
  due = Math.max(due + source.stepMs, now);
  const isAgain = source.count && frame >= source.count;
  frame = isAgain ? 1 : frame + 1;
  if (isAgain) follow(); // from the last frame to the first nothing moved: it is another place in time
  look();
}

/** Lesions are followed while frames come in their order; from here on anew. */
function follow() {
  stream.tell({ follow: isPlaying && $("follow").checked });
}

function play(wanted = !isPlaying) {
  if (!source) return;
  isPlaying = wanted;
  follow();
  if (wanted) { source.play?.(); due = performance.now(); requestAnimationFrame(turn); }
  else source.pause?.();
  $("play").toggleAttribute("data-playing", wanted);
  $("play").querySelector("span").textContent = wanted ? words.pause : words.play;
}

function step(by) {
  if (!source?.count) return;
  play(false);
  frame = Math.min(source.count, Math.max(1, frame + by));
  look();
}

function take(next, domain) {
  play(false);
  source?.close();
  if (domain && [...$("domain").options].some((option) => option.value === domain)) $("domain").value = domain;
  source = next;
  frame = 1;
  skipped = 0;
  shown = [];
  border = null;
  boxes.clear();
  timeline.begin(next.count);
  $("hint").hidden = true;
  for (const id of ["play", "back", "on"]) $(id).disabled = id === "play" ? next.count === 1 : next.count < 2;
  stream.open({ format: "jpeg", domain: $("domain").value || "*", ...($("threshold").dataset.moved && { threshold: Number($("threshold").value) }) });
  look();
  if (next.count !== 1) play(true);
}

function setThreshold(value) {
  $("threshold").value = value;
  $("threshold-said").textContent = Number($("threshold").value).toFixed(2);
}

async function camera(deviceId) {
  try {
    take(await Moving.ofCamera(deviceId));
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
    $("device").replaceChildren(...cameras.map((one, place) => new Option(one.label || String(place + 1), one.deviceId, false, one.deviceId === deviceId)));
    $("device").hidden = cameras.length < 2;
  } catch { say(words.no_camera); }
}

$("image")?.addEventListener("change", ({ target }) => {
  const image = images.find((one) => one.id === target.value);
  if (image) take(Cine.ofCase(image), image.domain);
  if (!$("report")) return;
  $("report").hidden = !image;
  $("report").elements.image.value = target.value;
});
$("file").addEventListener("change", async ({ target }) => {
  const files = [...target.files];
  if (!files.length) return;
  try {
    take(files[0].type.startsWith("video/") ? await Moving.ofVideo(files[0]) : Cine.ofPictures(files));
  } catch { say(words.bad_file); }
});
$("camera").addEventListener("click", () => camera());
$("device").addEventListener("change", ({ target }) => camera(target.value));
$("domain").addEventListener("change", ({ target }) => { stream.tell({ domain: target.value }); look(); });
$("threshold").addEventListener("input", ({ target }) => { target.dataset.moved = "yes"; setThreshold(target.value); show(); });
$("threshold").addEventListener("change", ({ target }) => { stream.tell({ threshold: Number(target.value) }); look(); });
$("follow").addEventListener("change", () => { follow(); look(); });
$("play").addEventListener("click", () => play());
$("back").addEventListener("click", () => step(-1));
$("on").addEventListener("click", () => step(1));
addEventListener("keydown", (event) => {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, summary")) return;
  if (event.code === "Space" && event.target.closest("button, a")) return;
  const deed = { Space: () => play(), KeyD: () => step(-1), KeyF: () => step(1), KeyT: () => $("follow").click(), Minus: () => nudge(-0.05), Equal: () => nudge(0.05), Semicolon: () => nudge(0.05), NumpadSubtract: () => nudge(-0.05), NumpadAdd: () => nudge(0.05) }[event.code];
  if (!deed) return;
  event.preventDefault();
  deed();
});

function nudge(by) {
  setThreshold(Number($("threshold").value) + by);
  $("threshold").dataset.moved = "yes";
  show();
  stream.tell({ threshold: Number($("threshold").value) });
  look();
}

setThreshold(0.5);
addEventListener("pagehide", () => { source?.close(); stream.close(); });
const asked = new URLSearchParams(location.search).get("image");
if (asked && $("image")) { $("image").value = asked; $("image").dispatchEvent(new Event("change")); }
