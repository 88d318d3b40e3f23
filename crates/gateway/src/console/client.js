// One WebSocket to the gateway that comes back by itself: state, backoff, heartbeat, questions and answers.

import { Disconnected, Refusal, askedDelay } from "./refusal.js";

/**
 * @typedef {object} ConnectionState
 * @property {"connecting" | "open" | "waiting" | "cut" | "refused"} phase `waiting`: will try again; `cut`: switched off
 *   by the user; `refused`: the server asked not to come back
 * @property {string} [reason] why it is not open
 * @property {number} [retryAt] when the next try is due, in milliseconds since 1970
 * @property {number} [attempt] how many tries failed in a row
 * @property {number} [lastHeard] when the server last said anything, in milliseconds since 1970
 *
 * @typedef {object} Frame anything the server says
 * @property {string} type
 * @property {string} [replyTo]
 * @property {any} [payload]
 */

/** Why the server closed, by code, and whether to come back. */
const CLOSE_CODES = new Map([
  [1001, { reason: "the server is restarting", again: true }],
  [1009, { reason: "a message was over the size limit", again: false }],
  [4400, { reason: "the server could not read what this page sent", again: false }],
  [4401, { reason: "a valid token is needed", again: false }],
  [4403, { reason: "the server does not allow this origin", again: false }],
  [4408, { reason: "a token is needed", again: false }],
  [4409, { reason: "replaced by a newer connection of the same user", again: false }],
  [4429, { reason: "too many connections or requests", again: true }],
  [4440, { reason: "the server heard no pong", again: true }],
  [4441, { reason: "this page read too slowly", again: true }],
]);

const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 10_000;
const ANSWER_TIMEOUT_MS = 15_000;
/** What a limit refuses is asked again for so long; whoever has to wait longer is told. */
const LONGEST_WAIT_MS = 10_000;
/** A server that misses this many heartbeats is gone, whatever the socket says. */
const MISSED_HEARTBEATS = 2.5;

/**
 * Dispatches `state` when {@link Connection.state} changed, `open` when the server greeted, `lost` when an open
 * connection ended, and `frame` (its `detail` is the frame) for what is no answer.
 */
export class Connection extends EventTarget {
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {Map<string, {resolve: (frame: Frame) => void, reject: (error: Error) => void, timer: number}>} */
  #questions = new Map();
  #asked = 0;
  #failures = 0;
  #retryTimer = 0;
  #watchdog = 0;
  #lastHeard = 0;
  /** @type {ConnectionState} */ #state = { phase: "cut" };

  /**
   * @param {URL} url
   * @param {import("./access.js").Access} access by which token it shows who it is
   */
  constructor(url, access) {
    super();
    this.url = url;
    this.access = access;
    addEventListener("online", () => this.retryNow());
  }

  /** @returns {ConnectionState} */
  get state() {
    return { ...this.#state, lastHeard: this.#lastHeard || undefined };
  }

  get isOpen() {
    return this.#state.phase === "open";
  }

  /** Opens the connection, and keeps it open from now on. */
  connect() {
    clearTimeout(this.#retryTimer);
    if (this.#socket) return;
    this.#become({ phase: "connecting", attempt: this.#failures });
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.onmessage = (event) => this.#hear(socket, String(event.data));
    socket.onclose = (event) => this.#closed(socket, event.code, event.reason);
  }

  /** Switches the connection off until {@link connect}. */
  cut() {
    clearTimeout(this.#retryTimer);
    this.#drop("switched off", 4000);
    this.#become({ phase: "cut" });
  }

  /** Goes on with the token that there is now: where it stands, if it is open. */
  async renew() {
    if (!this.isOpen || this.access.token === null) {
      this.#drop("another token", 4000);
      return this.connect();
    }
    try {
      await this.#authenticate(this.access.token);
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Disconnected)) throw error;
      // Somebody else needs another connection. Anything else is told by the server, which closes this one.
      if (error instanceof Refusal && error.code === "other_subject") {
        this.#drop("another subject", 4000);
        this.connect();
      }
    }
  }

  /** @param {string} reason why it asks no more until there is another token */
  refuse(reason) {
    clearTimeout(this.#retryTimer);
    this.#drop(reason, 4000);
    this.#become({ phase: "refused", reason });
  }

  /** Does not wait for the backoff to end. */
  retryNow() {
    if (this.#state.phase === "waiting" || this.#state.phase === "refused") this.connect();
  }

  /**
   * Asks, and waits for the answer. What a limit refuses is asked again when the server says, unless that is too long to wait.
   *
   * @param {string} type
   * @param {object} payload
   * @returns {Promise<Frame>}
   * @throws {Refusal} if the server said no
   * @throws {Disconnected} if no answer can come
   */
  async request(type, payload) {
    for (let waited = 0; ; ) {
      if (!this.isOpen) throw new Disconnected("the connection is not open");
      try {
        return await this.#ask(type, payload);
      } catch (error) {
        if (!(error instanceof Refusal) || error.retryAfterMs === 0) throw error;
        waited += error.retryAfterMs;
        if (waited > LONGEST_WAIT_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs));
      }
    }
  }

  /**
   * @param {string} type
   * @param {object} payload
   * @returns {Promise<Frame>}
   */
  #ask(type, payload) {
    const socket = this.#socket;
    if (!socket) return Promise.reject(new Disconnected("the connection is not open"));
    this.#asked += 1;
    const id = `q${this.#asked}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#questions.delete(id);
        reject(new Disconnected(`the server did not answer ${type} within ${ANSWER_TIMEOUT_MS / 1000} s`));
      }, ANSWER_TIMEOUT_MS);
      this.#questions.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ type, id, payload }));
    });
  }

  /**
   * @param {WebSocket} socket
   * @param {string} text
   */
  #hear(socket, text) {
    if (socket !== this.#socket) return;
    this.#lastHeard = Date.now();
    /** @type {Frame} */ let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return this.#dispatch("frame", { type: "error", payload: { code: "bad_frame", message: "the server sent no JSON" } });
    }
    if (frame.type === "connected") return this.#greeted(frame);
    const question = frame.replyTo === undefined ? undefined : this.#questions.get(frame.replyTo);
    if (!question) return this.#dispatch("frame", frame);
    this.#questions.delete(/** @type {string} */ (frame.replyTo));
    clearTimeout(question.timer);
    if (frame.type === "error") question.reject(new Refusal(frame.payload ?? {}));
    else question.resolve(frame);
  }

  /** @param {string} token */
  async #authenticate(token) {
    this.access.taken((await this.#ask("authentication", { token })).payload.subject);
  }

  /**
   * Shows the token, if there is one, and is open then.
   *
   * @param {Frame} frame
   */
  async #greeted(frame) {
    const socket = this.#socket;
    if (this.access.token !== null) {
      try {
        await this.#authenticate(this.access.token);
      } catch (error) {
        // A server that asks nobody lets in everybody; any other closes the connection, and says why.
        if (!(error instanceof Refusal && error.code === "not_supported")) return;
      }
      if (socket !== this.#socket) return;
    }
    this.#failures = 0;
    this.#become({ phase: "open" });
    const heartbeat = Number(frame.payload?.heartbeatMs ?? 0);
    clearInterval(this.#watchdog);
    if (heartbeat > 0) this.#watchdog = setInterval(() => this.#watch(heartbeat), heartbeat / 2);
    this.#dispatch("open", frame);
  }

  /** @param {number} heartbeat milliseconds */
  #watch(heartbeat) {
    const socket = this.#socket;
    if (!socket || Date.now() - this.#lastHeard < heartbeat * MISSED_HEARTBEATS) return;
    socket.close(4000, "no heartbeat");
    this.#closed(socket, 4000, "no heartbeat from the server");
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} text
   */
  #closed(socket, code, text) {
    if (socket !== this.#socket) return;
    const known = CLOSE_CODES.get(code);
    const reason = known?.reason ?? (text || "the server cannot be reached");
    this.#drop(reason);
    // With a token it means that the server cannot check any at the moment.
    const again = known?.again ?? true;
    const cannotCheck = code === 4408 && this.access.token !== null;
    if (code === 4401 || (code === 4408 && !cannotCheck)) {
      this.access.need(text ? `The server says: ${text}` : reason, true);
    }
    if (!again && !cannotCheck) return this.#become({ phase: "refused", reason });
    const delay = Math.max(this.#backoff(), askedDelay(text));
    this.#failures += 1;
    this.#retryTimer = setTimeout(() => this.connect(), delay);
    this.#become({ phase: "waiting", reason, attempt: this.#failures, retryAt: Date.now() + delay });
  }

  /**
   * Lets go of the socket and of every question on it.
   *
   * @param {string} reason
   * @param {number} [code] with which the socket is closed, where it is not yet
   */
  #drop(reason, code) {
    const [wasOpen, socket] = [this.isOpen, this.#socket];
    this.#socket = null;
    if (socket && code !== undefined) {
      // One that is not open yet is closed when it is: a browser calls anything else a failure.
      if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close(code, reason);
      else socket.close(code, reason);
    }
    clearInterval(this.#watchdog);
    for (const question of this.#questions.values()) {
      clearTimeout(question.timer);
      question.reject(new Disconnected(`the connection ended before the answer: ${reason}`));
    }
    this.#questions.clear();
    if (wasOpen) this.#dispatch("lost", { type: "lost" });
  }

  /** Doubles with every failure; half of it is chance, so that many clients do not come back at once. */
  #backoff() {
    const ceiling = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failures);
    return ceiling / 2 + (Math.random() * ceiling) / 2;
  }

  /** @param {ConnectionState} state */
  #become(state) {
    this.#state = state;
    this.#dispatch("state", { type: "state" });
  }

  /**
   * @param {string} name
   * @param {Frame} frame
   */
  #dispatch(name, frame) {
    this.dispatchEvent(new CustomEvent(name, { detail: frame }));
  }
}
