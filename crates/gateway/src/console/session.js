// Following one execution over the page's connection: subscribe, go on after every cut, cancel.

import * as api from "./api.js";
import { Disconnected, Refusal } from "./refusal.js";
import { Ledger, Resume } from "./ledger.js";
import { Run } from "./run.js";

/** How many resumes are listed. */
const KEPT_RESUMES = 20;
const ENTRY_TYPES = new Set(["token", "event", "progress", "status"]);

/** Dispatches `change` when anything is new, and `resume` when a cut connection came back to the execution. */
export class Session extends EventTarget {
  ledger = new Ledger();
  /** Newest last. @type {Resume[]} */ resumes = [];
  /** Why the execution cannot be followed. @type {Error | null} */ error = null;
  /** @type {AbortController} */ #leaving = new AbortController();
  /** Entries count from the confirmation on: before it, they may belong to an earlier subscription. */
  #confirmed = false;
  /** When the connection was lost; 0 while it is there or before it first was. */
  #lostAt = 0;

  /**
   * @param {import("./client.js").Connection} connection
   * @param {string} executionId
   * @param {string} workflow
   */
  constructor(connection, executionId, workflow) {
    super();
    this.connection = connection;
    this.run = new Run(executionId, workflow);
    const { signal } = this.#leaving;
    connection.addEventListener("frame", (event) => this.#hear(/** @type {CustomEvent} */ (event).detail), { signal });
    connection.addEventListener("open", () => this.#subscribe(), { signal });
    connection.addEventListener("lost", () => this.#lost(), { signal });
    if (connection.isOpen) this.#subscribe();
  }

  /** Follows no longer. The execution goes on. */
  leave() {
    this.#leaving.abort();
    if (!this.connection.isOpen || this.run.isOver) return;
    const { executionId } = this.run;
    // If it is not answered, the connection is gone and the subscription with it.
    this.connection.request("unsubscribe_execution", { executionId }).catch(() => {});
  }

  /**
   * Stops the execution, without a connection over HTTP.
   *
   * @throws {Refusal}
   */
  async cancel() {
    const { executionId } = this.run;
    const reason = "cancelled in the console";
    try {
      await this.connection.request("cancel_execution", { executionId, reason });
    } catch (error) {
      if (!(error instanceof Disconnected)) throw error;
      await api.cancel(executionId, reason);
    }
  }

  /**
   * Answers a question of the execution, without a connection over HTTP. Asking twice does no harm: the same answer again
   * changes nothing.
   *
   * @param {string} ask
   * @param {unknown} answer
   * @param {string} [by] who answers
   * @throws {Refusal}
   */
  async answer(ask, answer, by) {
    const { executionId } = this.run;
    try {
      await this.connection.request("signal", { executionId, ask, answer, by });
    } catch (error) {
      if (!(error instanceof Disconnected)) throw error;
      await api.signal(executionId, { ask, answer, by });
    }
  }

  async #subscribe() {
    if (this.run.isOver) return;
    const { executionId } = this.run;
    if (this.#lostAt > 0) this.#resumed(new Resume(this.ledger, Date.now() - this.#lostAt));
    try {
      const from = this.ledger.position ?? "start";
      await this.connection.request("subscribe_execution", { executionId, from });
      this.#confirmed = true;
      this.error = null;
    } catch (error) {
      // A broken connection opens again, and this runs again.
      if (error instanceof Refusal) this.#refused(error);
    }
    this.#changed();
  }

  /**
   * Tells why, and follows all the same when the server says that it may be.
   *
   * @param {Refusal} refusal
   */
  #refused(refusal) {
    this.error = refusal;
    if (refusal.retryAfterMs > 0) {
      const again = () => {
        if (this.connection.isOpen && !this.#confirmed && !this.#leaving.signal.aborted) this.#subscribe();
      };
      setTimeout(again, refusal.retryAfterMs);
    }
  }

  /** @param {Resume} resume */
  #resumed(resume) {
    this.#lostAt = 0;
    this.resumes.push(resume);
    if (this.resumes.length > KEPT_RESUMES) this.resumes.shift();
    this.#learnHead(resume);
    this.dispatchEvent(new Event("resume"));
  }

  /**
   * Asks how far the log has come meanwhile, so that the page can say when it has caught up. Only a figure: without an
   * answer the resume goes on.
   *
   * @param {Resume} resume
   */
  async #learnHead(resume) {
    try {
      resume.knowHead((await api.execution(this.run.executionId)).last);
      this.#changed();
    } catch {
      resume.head = null;
    }
  }

  #lost() {
    this.#confirmed = false;
    this.resumes.at(-1)?.end();
    if (!this.run.isOver && this.#lostAt === 0) this.#lostAt = Date.now();
    this.#changed();
  }

  /** @param {any} frame */
  #hear(frame) {
    const about = frame.type === "gap" ? frame.payload.executionId : frame.executionId;
    if (about !== this.run.executionId || !this.#confirmed) return;
    if (ENTRY_TYPES.has(frame.type)) {
      if (!this.ledger.take(frame)) return this.#changed();
      this.run.take(frame);
    } else if (frame.type === "gap") {
      this.ledger.skip(frame.payload);
      this.run.skip(frame.payload);
    }
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
