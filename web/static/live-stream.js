// The stream of frames to the node's model: what is sent, what comes back, how long it takes and what was dropped.
"use strict";

const KEPT = 240;

/** The value below which `share` of the numbers lie; NaN of none. */
export function quantile(numbers, share) {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
}

export class Stream {
  #socket = null;
  #sent = new Map();
  #count = 0;
  #answers = [];
  dropped = 0;

  /** `said(answer, note)` hears of each answer with the note of its frame, `changed(state, message)` of the connection. */
  constructor({ said, changed }) {
    Object.assign(this, { said, changed });
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  get waiting() {
    return this.#sent.size;
  }

  open(start) {
    this.close();
    this.start = start;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/infer/stream`);
    this.#socket = socket;
    this.#sent.clear();
    this.#count = this.dropped = 0;
    this.#answers = [];
    socket.onopen = () => socket.send(JSON.stringify({ type: "start", ...this.start }));
    socket.onmessage = ({ data }) => { if (socket === this.#socket) this.#take(JSON.parse(data)); };
    socket.onclose = () => { if (socket === this.#socket) this.changed("closed", this.trouble); };
    this.trouble = "";
    this.changed("connecting");
  }

  /** What the next frames are, or from which confidence on boxes count. */
  tell(start) {
    const before = JSON.stringify(this.start);
    this.start = { ...this.start, ...start };
    if (this.isOpen && (this.start.follow || JSON.stringify(this.start) !== before)) this.#socket.send(JSON.stringify({ type: "start", ...this.start }));
  }

  /** `note` comes back with the answer. */
  send(content, note) {
    if (!this.isOpen) return;
    this.#sent.set(++this.#count, { at: performance.now(), note });
    this.#socket.send(content);
  }

  close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** Milliseconds from a frame's sending to its answer, the model's own, and answers a second. */
  get speed() {
    const took = this.#answers.map((one) => one.took);
    const span = this.#answers.length > 1 ? this.#answers.at(-1).at - this.#answers[0].at : NaN;
    return {
      median: quantile(took, 0.5),
      p95: quantile(took, 0.95),
      own: quantile(this.#answers.map((one) => one.own), 0.5),
      rate: (1000 * (this.#answers.length - 1)) / span,
    };
  }

  #take(answer) {
    if (answer.type === "ready") return this.changed("ready", answer);
    if (answer.frame === undefined) { this.trouble = answer.message; return undefined; }
    const sent = this.#sent.get(answer.frame);
    // Frames before it were pushed out on the way: nobody waits for them any more.
    for (const number of this.#sent.keys()) if (number <= answer.frame) this.#sent.delete(number);
    this.dropped = answer.dropped;
    const now = performance.now();
    if (sent && answer.type === "boxes") {
      this.#answers.push({ at: now, took: now - sent.at, own: answer.ms });
      if (this.#answers.length > KEPT) this.#answers.shift();
    }
    return this.said(answer, sent?.note);
  }
}
