// Where this person is in the case (image, frame, mode) stands in the address, so that a reload, a sign-in and a browser that
// was killed lead back to it.
"use strict";

const PAUSE_MS = 400;
const now = new URLSearchParams(location.search);
let timer = 0;

function write() {
  const query = now.toString();
  history.replaceState(history.state, "", location.pathname + (query ? `?${query}` : "") + location.hash);
}

function set(name, value, usual) {
  if (value === usual) now.delete(name);
  else now.set(name, value);
  clearTimeout(timer);
  timer = setTimeout(write, PAUSE_MS); // a browser takes so many addresses a minute
}

/** The number of the image that the viewer shows. */
export const imageShown = () => Number(new URLSearchParams(document.querySelector('#thumbs a[aria-current="true"]')?.search).get("image")) || null;

if (imageShown()) set("image", imageShown()); // the viewer was there first
document.addEventListener("sonobank:image", (event) => { set("image", event.detail.number); });
document.addEventListener("sonobank:frame", (event) => { set("frame", event.detail.frame, 1); });
document.addEventListener("sonobank:mode", (event) => { set("mode", event.detail.mode, "look"); });
addEventListener("pagehide", write);
addEventListener("sonobank:idle", write);
