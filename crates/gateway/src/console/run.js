// What is known of one execution: its entries folded into texts, nodes, figures and an end. No page in here.

import { milliseconds } from "./format.js";
import { Questions } from "./questions.js";

/** @typedef {import("./ledger.js").Entry} Entry */
/** @typedef {import("./ledger.js").Gap} Gap */

/** How many entries are kept for the event list; the page shows fewer still. */
const KEPT_RECORDS = 5000;
/** The rate is that of this long before the newest token. */
const RATE_WINDOW_MS = 2000;

/**
 * @typedef {object} Message the text of one model call in one visit of a node
 * @property {string} key
 * @property {string} node
 * @property {number} visit
 * @property {number} attempt
 * @property {string} message
 * @property {string[]} pieces all of its text
 * @property {number} shown how many pieces a view has taken
 * @property {number} tokens
 * @property {number} filtered tokens that a filter dropped
 * @property {number} firstAt
 * @property {number} lastAt
 * @property {boolean} live more may come
 * @property {boolean} void a retry began anew
 *
 * @typedef {object} NodeRun where one node stands
 * @property {string} name
 * @property {string} kind
 * @property {"waiting" | "running" | "done" | "failed"} state
 * @property {number} visit
 * @property {any} progress payload of the newest progress entry of this visit
 *
 * @typedef {object} Record_ one line of the event list
 * @property {"token" | "event" | "progress" | "status" | "gap"} type
 * @property {number} sequence
 * @property {number} at milliseconds since 1970
 * @property {string} [node]
 * @property {any} payload
 */

export class Run {
  /** @type {"unknown" | "running" | "completed" | "failed" | "cancelled"} */ status = "unknown";
  /** The payload of the terminal status entry. @type {any} */ end = null;
  /** @type {Map<string, NodeRun>} */ nodes = new Map();
  /** In the order of their first tokens. @type {Map<string, Message>} */ messages = new Map();
  /** The newest entries, oldest first. @type {Record_[]} */ records = [];
  questions = new Questions();
  counts = { token: 0, event: 0, progress: 0, status: 0, gap: 0 };
  tokens = 0;
  startedAt = NaN;
  firstTokenAt = NaN;
  lastTokenAt = NaN;
  /** The time of the newest entry on the server's clock, and when it was read here. */
  lastAt = NaN;
  readAt = NaN;
  /** @type {{at: number, tokens: number}[]} */ #recent = [];

  /**
   * @param {string} executionId
   * @param {string} workflow
   */
  constructor(executionId, workflow) {
    this.executionId = executionId;
    this.workflow = workflow;
  }

  /** @returns {Run["status"] | "paused"} where it stands: `paused` while it waits for an answer */
  get state() {
    return this.status === "running" && this.questions.open.size > 0 ? "paused" : this.status;
  }

  get isOver() {
    return this.end !== null;
  }

  /** @param {{name: string, kind?: string}[]} nodes the workflow's, in its order */
  expect(nodes) {
    for (const { name, kind } of nodes) this.#node(name).kind = kind ?? "";
  }

  /**
   * Takes a new entry; the ledger has checked that it is.
   *
   * @param {Entry} entry
   */
  take(entry) {
    const at = milliseconds(entry.timestamp);
    if (Number.isNaN(this.startedAt)) this.startedAt = at;
    this.lastAt = at;
    this.readAt = Date.now();
    this.#record({ type: entry.type, sequence: entry.sequence, at, node: entry.nodeId, payload: entry.payload });
    if (entry.type === "token") this.#token(entry.nodeId ?? "", entry.payload, at);
    else if (entry.type === "progress") this.#progress(entry.nodeId ?? "", entry.payload);
    else if (entry.type === "event") this.#event(entry.nodeId, entry.payload);
    else if (entry.type === "status") this.#status(entry.payload);
  }

  /** @param {Gap} gap */
  skip(gap) {
    this.#record({ type: "gap", sequence: gap.to, at: this.lastAt, payload: gap });
  }

  /** @returns {number} milliseconds since the first entry, on the server's clock */
  elapsed() {
    if (Number.isNaN(this.startedAt)) return 0;
    return this.lastAt - this.startedAt + (this.isOver ? 0 : Date.now() - this.readAt);
  }

  /** @returns {number} the time on the server's clock, about, in milliseconds since 1970; NaN before the first entry */
  serverNow() {
    return this.lastAt + Date.now() - this.readAt;
  }

  /** @returns {number} tokens per second: now while it runs, on the whole afterwards */
  tokenRate() {
    const recent = this.#recent;
    if (this.isOver || recent.length === 0) {
      const span = this.lastTokenAt - this.firstTokenAt;
      return span > 0 ? (this.tokens * 1000) / span : 0;
    }
    const newest = recent[recent.length - 1].at;
    const silent = Date.now() - this.readAt;
    if (silent > RATE_WINDOW_MS) return 0;
    const span = Math.min(RATE_WINDOW_MS, Math.max(200, newest - recent[0].at));
    return (recent.reduce((sum, { tokens }) => sum + tokens, 0) * 1000) / span;
  }

  /** @param {Record_} record */
  #record(record) {
    this.counts[record.type] += 1;
    this.records.push(record);
    // Trimmed in big steps: each `splice` moves what stays.
    if (this.records.length > KEPT_RECORDS * 1.2) this.records.splice(0, this.records.length - KEPT_RECORDS);
  }

  /**
   * @param {string} name
   * @returns {NodeRun}
   */
  #node(name) {
    let node = this.nodes.get(name);
    if (!node) {
      node = { name, kind: "", state: "waiting", visit: 0, progress: null };
      this.nodes.set(name, node);
    }
    return node;
  }

  /**
   * @param {string} name
   * @param {any} token
   * @param {number} at
   */
  #token(name, token, at) {
    const { visit = 1, attempt = 1, message = "" } = token;
    const key = `${name}/${visit}/${attempt}/${message}`;
    let known = this.messages.get(key);
    if (!known) {
      this.#enter(name, visit);
      known = {
        key, node: name, visit, attempt, message, pieces: [], shown: 0, tokens: 0, filtered: 0,
        firstAt: at, lastAt: at, live: true, void: false,
      };
      this.messages.set(key, known);
    }
    known.pieces.push(token.content);
    known.tokens += token.count ?? 1;
    known.filtered += token.filtered ?? 0;
    known.lastAt = at;
    if (this.tokens === 0) this.firstTokenAt = at;
    this.lastTokenAt = at;
    this.tokens += token.count ?? 1;
    this.#remember(at, token.count ?? 1);
  }

  /**
   * Counts tokens in steps of 100 ms, so that the window stays short however fast they come.
   *
   * @param {number} at
   * @param {number} tokens
   */
  #remember(at, tokens) {
    const newest = this.#recent[this.#recent.length - 1];
    if (newest && at - newest.at < 100) newest.tokens += tokens;
    else this.#recent.push({ at, tokens });
    while (this.#recent[0].at < at - RATE_WINDOW_MS) this.#recent.shift();
  }

  /**
   * @param {string} name
   * @param {any} progress
   */
  #progress(name, progress) {
    const node = this.#enter(name, progress.visit ?? 1);
    node.progress = progress;
    // A node may be told to emit none of its own events: its progress ends at 100, or says that it failed.
    if (progress.outcome === "failed") node.state = "failed";
    else if (progress.progress >= 100) node.state = "done";
  }

  /**
   * A node is in that visit, if it was not there already.
   *
   * @param {string} name
   * @param {number} visit
   */
  #enter(name, visit) {
    const node = this.#node(name);
    if (visit > node.visit) {
      this.#leave(name, "done", node.visit);
      Object.assign(node, { visit, state: "running", progress: null });
    }
    return node;
  }

  /**
   * @param {string | undefined} name
   * @param {{type: string, data?: any}} event
   */
  #event(name, event) {
    this.questions.take(event);
    if (name === undefined) return;
    const visit = event.data?.visit;
    if (event.type === "node_start") {
      const node = this.#node(name);
      if (visit === undefined || visit > node.visit) this.#enter(name, visit ?? node.visit + 1);
      node.state = "running";
    } else if (event.type === "tool_start") {
      const node = this.#node(name);
      if (node.state !== "running") this.#enter(name, visit ?? node.visit + 1);
    } else if (event.type === "node_complete") this.#leave(name, "done", visit);
    else if (event.type === "node_error") this.#leave(name, "failed", visit);
    else if (event.type === "node_retry") {
      for (const message of this.messages.values()) {
        if (message.node === name && message.live) Object.assign(message, { live: false, void: true });
      }
    }
  }

  /**
   * @param {string} name
   * @param {"done" | "failed"} state
   * @param {number | undefined} visit
   */
  #leave(name, state, visit) {
    this.#node(name).state = state;
    for (const message of this.messages.values()) {
      if (message.node === name && (visit === undefined || message.visit === visit)) message.live = false;
    }
  }

  /** @param {any} payload */
  #status(payload) {
    this.status = payload.status;
    if (payload.status === "running") return;
    this.end = payload;
    this.questions.close();
    for (const message of this.messages.values()) message.live = false;
    for (const node of this.nodes.values()) {
      if (node.state !== "running") continue;
      node.state = payload.status === "completed" ? "done" : payload.status === "failed" ? "failed" : "waiting";
    }
  }
}
