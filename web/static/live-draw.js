// What is drawn: boxes over the picture with their class and how sure the model is, and the timeline of detections.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const TRACE = 600;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** cyst, solid (all that is no cyst) or unsure: the class of the style sheet, where each has its colour and its line. */
export function kindOf(label) {
  return label === "" ? "unsure" : /^(cyst|.*-CYST)$/i.test(label) && !/^non/i.test(label) ? "cyst" : "solid";
}

export class Boxes {
  constructor(svg, words) {
    Object.assign(this, { svg, words });
  }

  named(label) {
    return { "": this.words.unsure, cyst: this.words.cyst, "non-cyst": this.words.non_cyst }[label] ?? label;
  }

  /** The number under which a lesion is followed; nothing for a box of one frame. */
  numbered({ number }) {
    return number === undefined ? "" : `${number} · `;
  }

  /** `boxes`, and the `border` [[x, y], ...] of a ventricle or null, in pixels of a picture of `width` x `height`. */
  show(boxes, width, height, border = null) {
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const size = Math.max(width / 48, 9);
    const line = border ? [element("polyline", { points: border.map((point) => point.join(",")).join(" ") })] : [];
    this.svg.replaceChildren(...line, ...boxes.flatMap((box) => {
      const said = `${this.numbered(box)}${this.named(box.label)} ${Math.round(box.score * 100)}%`;
      const above = box.y > size * 1.6;
      return [
        element("rect", { x: box.x, y: box.y, width: box.width, height: box.height, class: `${kindOf(box.label)}${box.seen === false ? " carried" : ""}` }),
        element("text", { x: box.x, y: above ? box.y - size * 0.4 : box.y + box.height + size * 1.1, "font-size": size, class: kindOf(box.label) }, said),
      ];
    }));
  }

  clear() {
    this.svg.replaceChildren();
  }
}

export class Timeline {
  #seen = new Map();

  constructor(canvas) {
    Object.assign(this, { canvas, context: canvas.getContext("2d"), count: 0 });
    const style = getComputedStyle(document.documentElement);
    this.colours = { cyst: "--tone-2", solid: "--tone-1", unsure: "--ink-2", line: "--line", here: "--ink" };
    for (const [name, token] of Object.entries(this.colours)) this.colours[name] = style.getPropertyValue(token).trim();
  }

  /** A cine has so many frames; of a camera (0) the last ones are shown. */
  begin(count) {
    this.#seen.clear();
    this.count = count;
    this.draw(0);
  }

  put(frame, boxes) {
    this.#seen.set(frame, boxes.map((box) => ({ kind: kindOf(box.label), score: box.score })));
    if (!this.count && this.#seen.size > TRACE) this.#seen.delete(this.#seen.keys().next().value);
    this.draw(frame);
  }

  /** [frames with a box, frames that were looked at]. */
  get found() {
    return [[...this.#seen.values()].filter((boxes) => boxes.length).length, this.#seen.size];
  }

  draw(here) {
    const { width, height } = this.canvas, last = this.count || Math.max(TRACE, here), first = last - (this.count || TRACE);
    const step = width / (last - first), context = this.context;
    context.clearRect(0, 0, width, height);
    context.fillStyle = this.colours.line;
    context.fillRect(0, height - 2, width, 2);
    for (const [frame, boxes] of this.#seen) {
      for (const { kind, score } of boxes) {
        context.fillStyle = this.colours[kind];
        const tall = Math.max(score * (height - 4), 4);
        // A cyst hangs from above, what is none stands below: not by colour alone.
        context.fillRect((frame - first - 1) * step, kind === "cyst" ? 0 : height - 2 - tall, Math.max(step - 1, 1), kind === "cyst" ? tall / 2 : tall);
      }
    }
    if (!here) return;
    context.fillStyle = this.colours.here;
    context.fillRect((here - first - 1) * step + step / 2 - 1, 0, 2, height);
  }
}
