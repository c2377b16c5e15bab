// What each key does in the viewer: letters by their place on the keyboard, signs by what they say, for they stand elsewhere
// on a Japanese one. The sheet on `?` (templates/case/keys.html) says the same.
"use strict";
import { data } from "./viewer-words.js";

export const ZOOM = 1.25;
const $ = (id) => document.getElementById(id);
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const toggled = (side) => () => $(`toggle-${side}`).click();
const zoomed = (factor) => (viewer) => viewer.stage.zoom(factor);
const once = (deed) => (viewer, event) => { if (!event.repeat) return deed(viewer); return undefined; };
const inMask = (deed) => (viewer, event) => (viewer.mode === "mask" ? once(deed)(viewer, event) : false);
const inLook = (deed) => (viewer, event) => (viewer.mode === "look" ? once(deed)(viewer, event) : false);
const look = (deed) => (viewer) => (viewer.mode === "look" ? deed(viewer) : false);
const tool = (name) => (viewer) => viewer.tool(name);
const remove = (viewer) => (viewer.mode === "mask" ? removeArea(viewer) : viewer.nudge.remove());

/** An outline is closed, a vertex added where an edge has the focus, or a shape put in the middle with the tool that is on. */
const drawn = ({ sketch, nudge }) => sketch.close() || nudge.addVertex(true) || sketch.put();

function removeArea({ boxes, masks }) {
  const item = boxes.items.find((one) => one.key === boxes.selected);
  return item && boxes.isEditable ? masks.remove(item) : false;
}

export const PLAIN = {
  KeyJ: (viewer) => viewer.turn(1),
  KeyK: (viewer) => viewer.turn(-1),
  KeyD: (viewer) => viewer.cine.step(-1),
  KeyF: (viewer) => viewer.cine.step(1),
  KeyC: (viewer) => viewer.cine.step(-10),
  KeyV: (viewer) => viewer.cine.step(10),
  Space: once((viewer) => viewer.cine.toggle()),
  KeyM: once((viewer) => viewer.use(viewer.mode === "mask" ? "look" : "mask")),
  KeyB: once((viewer) => viewer.original.begin()),
  KeyW: once((viewer) => viewer.look.toggle()),
  KeyT: once((viewer) => { viewer.use("mask"); viewer.masks.texts.next(); }),
  KeyH: inMask((viewer) => viewer.masks.texts.answer("mask")),
  KeyL: once((viewer) => (viewer.mode === "mask" ? viewer.masks.texts.answer("leave") : viewer.tracks.begin())),
  Enter: (viewer, event) => (viewer.mode === "mask" ? once((one) => one.masks.confirm())(viewer, event) : drawn(viewer)),
  Escape: (viewer) => viewer.nudge.escape(),
  Backspace: (viewer) => (viewer.mode === "look" && viewer.sketch.isOpen ? viewer.sketch.back() : remove(viewer)),
  Delete: remove,
  Insert: look((viewer) => viewer.nudge.addVertex()),
  Digit0: (viewer) => viewer.stage.fit(),
  Numpad0: (viewer) => viewer.stage.fit(),
  KeyI: inLook((viewer) => viewer.tracks.keyframe()),
  KeyO: inLook((viewer) => viewer.tracks.view()),
  KeyS: inLook((viewer) => viewer.tracks.split()),
  KeyA: look((viewer) => viewer.tracks.turn(1)),
  KeyG: inLook((viewer) => viewer.tracks.follow()),
  Comma: look((viewer) => viewer.tracks.jump(-1)),
  Period: look((viewer) => viewer.tracks.jump(1)),
  KeyZ: once((viewer) => viewer.undo.back()),
  KeyU: inLook((viewer) => { viewer.proposals.next(); }),
  KeyY: inLook((viewer) => { viewer.proposals.accept(); }),
};

export const SHIFTED = {
  KeyS: tool("select"),
  KeyR: tool("rectangle"),
  KeyE: look(tool("ellipse")),
  KeyG: look(tool("polygon")),
  KeyP: look(tool("spline")),
  KeyL: look(tool("caliper")),
  KeyD: look(tool("landmark")),
  KeyF: look((viewer) => viewer.tracks.duplicate()),
  KeyA: look((viewer) => viewer.tracks.turn(-1)),
  KeyT: inLook((viewer) => viewer.tracks.merge()),
  KeyW: once((viewer) => viewer.look.reset()),
  KeyZ: once((viewer) => viewer.undo.forth()),
  KeyY: inLook((viewer) => { viewer.proposals.reject(); }),
  Delete: look((viewer) => viewer.tracks.deleteRange()),
  Enter: (viewer, event) => (viewer.mode === "mask" ? once((one) => one.masks.confirmRule())(viewer, event) : viewer.proposals.acceptAll()),
};

const SIGNS = {
  "[": toggled("left"), "「": toggled("left"), "［": toggled("left"),
  "]": toggled("right"), "」": toggled("right"), "］": toggled("right"),
  "?": () => $("keys").showModal(), "？": () => $("keys").showModal(),
  "+": zoomed(ZOOM), "=": zoomed(ZOOM), "-": zoomed(1 / ZOOM),
};

/** 1 to 9 are classes; with Shift lesions, 0 a new one. */
function digit(event) {
  const number = /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
  if (number === undefined) return null;
  if (event.shiftKey) return look((viewer) => viewer.rois.belong(Number(number)));
  const label = data.labels[Number(number) - 1];
  return label ? look((viewer) => viewer.rois.classify(label.code)) : null;
}

/** What a key is for; null for nothing. */
export function deedOf(event) {
  if (event.ctrlKey) return null;
  const arrow = ARROWS[event.code];
  if (arrow) return look((viewer) => viewer.nudge.move(arrow.map((part) => part * (event.shiftKey ? 10 : 1)), event.altKey));
  if (event.altKey) return null;
  return SIGNS[event.key] ?? (event.shiftKey ? SHIFTED : PLAIN)[event.code] ?? digit(event);
}

export function isTyping(target) {
  const field = target.closest?.("input, textarea, select, [contenteditable]");
  return field && !["checkbox", "radio", "range", "button", "submit"].includes(field.type);
}
