// The list of entries: filtered, its end on the page, still while the reader looks at something.

import { byId, element, setText } from "../dom.js";
import { brief, count, counted, offset } from "../format.js";
import { Follow } from "./tail.js";

/** @typedef {import("../run.js").Record_} Row */

/** Rows on the page. */
const SHOWN_ROWS = 200;
/** A list that people read is written this often at most, so that a flood leaves time for the rest of the page. */
const INTERVAL_MS = 200;

export class EventsView {
  #list = byId("events");
  #box = byId("events-box");
  #empty = byId("events-empty");
  #hint = byId("events-hint");
  #chips = /** @type {HTMLButtonElement[]} */ ([...byId("event-classes").querySelectorAll("button")]);
  #search = byId("event-search");
  #follow = new Follow(this.#box, byId("events-latest"), () => this.#followed());
  /** @type {import("../run.js").Run | null} */ #run = null;
  /** The newest sequence that was looked at. */ #seen = 0;
  /** When rows were last written. */ #writtenAt = 0;

  constructor() {
    for (const chip of this.#chips) {
      chip.addEventListener("click", () => {
        chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
        this.#redraw();
      });
    }
    this.#search.addEventListener("input", () => this.#redraw());
  }

  clear() {
    this.#run = null;
    this.#seen = 0;
    this.#list.replaceChildren();
    this.#follow.reset();
  }

  /** @param {import("../run.js").Run} run */
  draw(run) {
    this.#run = run;
    for (const chip of this.#chips) {
      const kind = /** @type {keyof typeof run.counts} */ (chip.dataset.class);
      const figure = chip.querySelector(".chip-count");
      if (figure) setText(figure, count(run.counts[kind]));
    }
    const due = run.isOver || performance.now() - this.#writtenAt >= INTERVAL_MS;
    if (due && this.#follow.following) this.#append(this.#fresh(run));
    this.#describe(run);
  }

  settle() {
    this.#follow.settle();
  }

  /**
   * The newest rows that pass the filter and are not on the page.
   *
   * @param {import("../run.js").Run} run
   * @returns {Row[]}
   */
  #fresh(run) {
    const matches = this.#filter();
    const found = [];
    for (let at = run.records.length - 1; at >= 0 && found.length < SHOWN_ROWS; at -= 1) {
      const record = run.records[at];
      if (record.sequence <= this.#seen) break;
      if (matches(record)) found.push(record);
    }
    this.#seen = run.records.at(-1)?.sequence ?? this.#seen;
    return found.reverse();
  }

  /** @returns {(record: Row) => boolean} */
  #filter() {
    const on = new Set(["gap"]);
    for (const chip of this.#chips) {
      if (chip.getAttribute("aria-pressed") === "true") on.add(chip.dataset.class ?? "");
    }
    const sought = this.#search.value.trim().toLowerCase();
    return (record) => {
      if (!on.has(record.type)) return false;
      if (sought === "") return true;
      const text = `${record.sequence} ${record.type} ${record.node ?? ""} ${JSON.stringify(record.payload)}`;
      return text.toLowerCase().includes(sought);
    };
  }

  /** @param {Row[]} records */
  #append(records) {
    if (records.length === 0 || !this.#run) return;
    this.#writtenAt = performance.now();
    const startedAt = this.#run.startedAt;
    const rows = records.map((record) => row(record, startedAt));
    if (rows.length >= SHOWN_ROWS) return this.#list.replaceChildren(...rows);
    this.#list.append(...rows);
    for (let over = this.#list.childElementCount - SHOWN_ROWS; over > 0; over -= 1) this.#list.firstElementChild.remove();
  }

  /** The rows that pass the filter now, to their end. */
  #redraw() {
    if (!this.#run) return;
    this.#follow.reset();
    this.#seen = 0;
    this.#writtenAt = 0;
    this.#list.replaceChildren();
    this.draw(this.#run);
    this.settle();
  }

  /** The reader scrolled away from the end, or came back to it. */
  #followed() {
    if (this.#follow.following) this.#redraw();
    else if (this.#run) this.#describe(this.#run);
  }

  /** @param {import("../run.js").Run} run */
  #describe(run) {
    const rows = this.#list.childElementCount;
    this.#empty.hidden = rows > 0;
    setText(this.#empty, run.records.length === 0 ? "Nothing has happened yet." : "Nothing passes the filter.");
    const newest = run.records.at(-1)?.sequence ?? 0;
    const waiting = newest - this.#seen;
    if (!this.#follow.following) setText(this.#hint, waiting > 0 ? `Held still; ${counted(waiting, "newer entry")}` : "Held still");
    else setText(this.#hint, rows >= SHOWN_ROWS ? `The newest ${count(SHOWN_ROWS)}` : counted(rows, "row"));
  }
}

/**
 * @param {Row} record
 * @param {number} startedAt
 */
function row(record, startedAt) {
  const body = element("pre", { class: "event-json" });
  const details = element(
    "details",
    { class: "event" },
    element(
      "summary",
      {},
      element("span", { class: "event-sequence numeric", text: String(record.sequence) }),
      element("span", { class: "event-time numeric", text: Number.isNaN(record.at) ? "" : offset(record.at - startedAt) }),
      element("span", { class: `event-type ${record.type}`, text: title(record) }),
      element("span", { class: "event-node", text: record.node ?? "" }),
      element("span", { class: "event-brief", text: summary(record) }),
    ),
    body,
  );
  details.addEventListener("toggle", () => {
    if (details.open && body.textContent === "") body.textContent = JSON.stringify(record.payload, null, 2);
  });
  return element("li", { dataset: { type: record.type, sequence: record.sequence } }, details);
}

/** @param {Row} record */
function title(record) {
  if (record.type === "event") return String(record.payload.type);
  if (record.type === "status") return String(record.payload.status);
  return record.type;
}

/** @param {Row} record */
function summary({ type, payload }) {
  if (type === "token") return brief(JSON.stringify(payload.content));
  if (type === "progress") return payload.display ?? `${payload.progress} %`;
  if (type === "gap") return `${payload.from}–${payload.to} cannot be delivered: ${payload.reason}`;
  if (type === "status") return brief(payload.error?.message ?? payload.reason ?? payload.result ?? "");
  return payload.data === undefined ? "" : brief(payload.data);
}
