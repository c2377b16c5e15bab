// Wall motion as a bull's eye of 17 segments beside its table: the lists of the table hold the answer, the drawing shows and sets it.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
// From outside in: base, middle, apex, tip; the first segment of a ring lies at the top, the others follow anticlockwise (AHA 2002).
const RINGS = [{ first: 1, count: 6, inner: 72, outer: 98 }, { first: 7, count: 6, inner: 46, outer: 72 }, { first: 13, count: 4, inner: 20, outer: 46 }, { first: 17, count: 1, inner: 0, outer: 20 }];

const ringOf = (segment) => RINGS.findIndex(({ first, count }) => segment >= first && segment < first + count);
const middle = ({ first, count }, segment) => (90 + (segment - first) * (360 / count)) % 360;
const at = (radius, degrees) => [radius * Math.cos((degrees * Math.PI) / 180), -radius * Math.sin((degrees * Math.PI) / 180)].map((value) => value.toFixed(2)).join(" ");
const make = (name, attributes) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

function outline(ring, segment) {
  const { count, inner, outer } = ring;
  if (count === 1) return `M ${-outer} 0 A ${outer} ${outer} 0 1 0 ${outer} 0 A ${outer} ${outer} 0 1 0 ${-outer} 0 Z`;
  const [from, to] = [middle(ring, segment) - 180 / count, middle(ring, segment) + 180 / count];
  return `M ${at(inner, from)} L ${at(outer, from)} A ${outer} ${outer} 0 0 0 ${at(outer, to)} L ${at(inner, to)} A ${inner} ${inner} 0 0 1 ${at(inner, from)} Z`;
}

/** The segment that an arrow key leads to: round the ring by left and right, from ring to ring by up and down. */
export function neighbour(segment, key) {
  const ring = RINGS[ringOf(segment)];
  const turn = { ArrowLeft: 1, ArrowRight: -1 }[key];
  if (turn) return ring.first + (segment - ring.first + turn + ring.count) % ring.count;
  const step = { ArrowUp: -1, ArrowDown: 1 }[key];
  const other = RINGS[ringOf(segment) + (step ?? 0)];
  if (!step || !other) return segment;
  const place = Math.round(((middle(ring, segment) - 90 + 360) % 360) / (360 / other.count)) % other.count;
  return other.first + place;
}

class Eye {
  here = 1;

  constructor(root, question) {
    Object.assign(this, { root, question });
    this.scores = JSON.parse(root.dataset.scores);
    this.keys = JSON.parse(root.dataset.keys);
    this.lists = [...root.querySelectorAll("[data-segment]")];
    this.names = this.lists.map((list) => list.closest("tr").querySelector("label").textContent.trim());
    this.#draw();
    root.addEventListener("keydown", (event) => this.#key(event));
    root.querySelector("[data-eye]").addEventListener("click", (event) => this.#click(event));
    root.querySelector("[data-all-normal]").addEventListener("click", () => this.#set(this.lists, this.keys["1"]));
    for (const name of ["sonobank:put", "change"]) question.addEventListener(name, () => this.show());
    this.show();
  }

  #draw() {
    const svg = make("svg", { viewBox: "-100 -100 200 200", role: "group", "aria-labelledby": `l-${this.question.dataset.field}` });
    this.parts = this.lists.map((list, place) => {
      const segment = place + 1;
      const ring = RINGS[ringOf(segment)];
      const part = make("g", { role: "button", "data-part": segment, tabindex: "-1", class: "wall-part" });
      const [x, y] = ring.count === 1 ? [0, 0] : at((ring.inner + ring.outer) / 2, middle(ring, segment)).split(" ");
      const word = make("text", { x, y, "text-anchor": "middle", "dominant-baseline": "central", "aria-hidden": "true" });
      part.append(make("path", { d: outline(ring, segment) }), word);
      return part;
    });
    this.ring = make("path", { class: "wall-ring" });
    svg.append(...this.parts, this.ring); // last, so that no neighbour covers it
    this.root.querySelector("[data-eye]").append(svg);
  }

  show() {
    const codes = this.lists.map((list) => list.value);
    const scores = codes.map((code) => this.scores[code]).filter((score) => score !== undefined);
    for (const [place, part] of this.parts.entries()) {
      const score = this.scores[codes[place]];
      const isOpen = codes[place] === this.root.dataset.notEvaluated;
      part.dataset.score = isOpen ? "open" : score ?? "unseen";
      part.querySelector("text").textContent = isOpen ? place + 1 : score ?? "0";
      part.setAttribute("aria-label", `${this.names[place]}: ${this.lists[place].selectedOptions[0].textContent}`);
      part.setAttribute("tabindex", place + 1 === this.here ? "0" : "-1");
    }
    this.ring.setAttribute("d", outline(RINGS[ringOf(this.here)], this.here));
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    this.root.querySelector("[data-index]").textContent = scores.length ? `${mean.toFixed(2)} (${scores.length}/${this.lists.length})` : "–";
  }

  #set(lists, code) {
    for (const list of lists) list.value = code;
    this.lists[0].dispatchEvent(new Event("change", { bubbles: true }));
  }

  #go(segment) {
    this.here = segment;
    this.show();
    this.parts[segment - 1].focus();
  }

  #click(event) {
    const part = event.target.closest("[data-part]");
    if (!part) return;
    const segment = Number(part.dataset.part);
    const list = this.lists[segment - 1];
    const order = Object.entries(this.keys).sort(([a], [b]) => (Number(a) || 9) - (Number(b) || 9)).map(([, code]) => code);
    // a click on the segment that has the focus turns to the next finding
    if (segment === this.here && document.activeElement === part && this.clicked === segment) this.#set([list], order[(order.indexOf(list.value) + 1) % order.length]);
    this.clicked = segment;
    this.#go(segment);
  }

  #key(event) {
    const part = event.target.closest?.("[data-part]");
    if (!part || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
    if (event.key.startsWith("Arrow")) this.#go(neighbour(this.here, event.key));
    else if (digit && this.keys[digit]) this.#set([this.lists[this.here - 1]], this.keys[digit]);
    else if (event.code === "Backspace" || event.code === "Delete") this.#set([this.lists[this.here - 1]], this.root.dataset.notEvaluated);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

for (const root of globalThis.document?.querySelectorAll("#answers[data-locked=no] [data-wall-motion]") ?? []) new Eye(root, root.closest(".q"));
