// Steps through the frames of one image, and draws the regions of the frame that is shown. Without it every step is a link.
"use strict";

const viewer = document.getElementById("viewer");
const picture = viewer?.querySelector(".screen image");

if (picture) {
  const path = viewer.dataset.path;
  const count = Number(viewer.dataset.frames);
  const pause = Math.max(16, Number(viewer.dataset.ms) || 40);
  const boxes = JSON.parse(viewer.dataset.boxes);
  const layer = viewer.querySelector(".boxes");
  const play = viewer.querySelector("[data-play]");
  const slide = viewer.querySelector("[data-slide]");
  const at = viewer.querySelector("[data-at]");
  const canvas = document.createElement("canvas");
  const made = new Map();
  const most = 160;
  let frame = Number(viewer.dataset.frame);
  let timer = 0;

  const address = (n) => `${path}/frames/${n}/rendered`;

  // Each frame is asked for once and kept while there is room; what fails is asked for again the next time.
  const load = (n) => {
    if (!made.has(n)) {
      const image = new Image();
      image.src = address(n);
      made.set(n, image.decode().then(() => image, () => made.delete(n) && null));
      if (made.size > most) made.delete(made.keys().next().value);
    }
    return made.get(n);
  };

  const shape = (name, values) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(values)) element.setAttribute(key, value);
    return element;
  };

  const draw = () => {
    layer.replaceChildren();
    for (const box of boxes) {
      if (box.f !== frame) continue;
      layer.append(shape("rect", { x: box.x, y: box.y, width: box.w, height: box.h }));
      const text = shape("text", { x: box.x, y: box.y - 6 });
      text.textContent = box.n;
      layer.append(text);
    }
    if (slide) slide.value = frame;
    if (at) at.textContent = at.textContent.replace(/\d+/, frame);
  };

  const show = async (n) => {
    frame = Math.min(count, Math.max(1, n));
    const wanted = frame;
    const image = await load(wanted);
    if (wanted !== frame) return;
    if (image) canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    draw();
    for (const ahead of [1, 2, 3]) load(((frame - 1 + ahead) % count) + 1);
  };

  const stop = () => {
    clearTimeout(timer);
    timer = 0;
    play?.setAttribute("aria-pressed", "false");
  };

  const start = () => {
    play.setAttribute("aria-pressed", "true");
    let due = performance.now();
    const tick = async () => {
      await show((frame % count) + 1);
      due = Math.max(due + pause, performance.now());
      if (timer) timer = setTimeout(tick, due - performance.now());
    };
    timer = setTimeout(tick, pause);
  };

  const go = (n) => { stop(); show(n); };

  canvas.width = Number(picture.getAttribute("width"));
  canvas.height = Number(picture.getAttribute("height"));
  canvas.setAttribute("aria-hidden", "true");
  show(frame).then(() => {
    picture.closest(".picture").prepend(canvas);
    picture.remove();
  });

  if (count > 1) {
    play.hidden = slide.hidden = false;
    play.addEventListener("click", () => (timer ? stop() : start()));
    slide.addEventListener("input", () => go(Number(slide.value)));
    addEventListener("keydown", (event) => {
      if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, button, a")) return;
      const step = { KeyD: -1, KeyF: 1, KeyC: -10, KeyV: 10 }[event.code];
      if (step) go(frame + step);
      else if (event.code === "Space") timer ? stop() : start();
      else return;
      event.preventDefault();
    });
  }
  viewer.addEventListener("click", (event) => {
    const link = event.target.closest("[data-step], [data-go]");
    if (!link) return;
    event.preventDefault();
    go(link.dataset.go ? Number(link.dataset.go) : frame + Number(link.dataset.step));
  });
}
