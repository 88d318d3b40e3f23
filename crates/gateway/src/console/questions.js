// What a run asks people: which questions are open, and how each came to its end. No page in here.

/**
 * @typedef {object} Question
 * @property {string} ask its name within the run
 * @property {string} nodeId
 * @property {number} visit
 * @property {string} question
 * @property {unknown} [about] what it is about, of any shape
 * @property {any} schema of the answer
 * @property {unknown} [prefill] what a form begins with
 * @property {number} [deadline] in microseconds since 1970, on the server's clock
 * @property {unknown} [default] the answer that counts after the deadline
 *
 * @typedef {object} Outcome
 * @property {string} ask
 * @property {"answered" | "default" | "timeout" | "withdrawn"} outcome
 * @property {unknown} [answer]
 * @property {string} [by]
 */

/** How many ends are kept. */
const KEPT_ENDS = 20;

export class Questions {
  /** Oldest first. @type {Map<string, Question>} */ open = new Map();
  /** The newest ends with their questions, oldest first. @type {{question: Question, end: Outcome}[]} */ ended = [];
  /** Every question that was heard of. @type {Set<string>} */
  #known = new Set();

  /**
   * Takes an event of the log.
   *
   * @param {{type: string, data?: any}} event
   */
  take(event) {
    if (event.type === "approval") this.#ask(event.data);
    else if (event.type === "approval_answer") this.#end(event.data);
  }

  /**
   * Takes the open questions as the server lists them, for their events may no longer be kept. The log goes before: what
   * it said of a question is never undone.
   *
   * @param {Question[]} waiting
   */
  learn(waiting) {
    for (const question of waiting) this.#ask(question);
  }

  /** The run is over: nothing is open. */
  close() {
    this.open.clear();
  }

  /** @param {Question} question */
  #ask(question) {
    if (this.#known.has(question.ask)) return;
    this.#known.add(question.ask);
    this.open.set(question.ask, question);
  }

  /** @param {Outcome} end */
  #end(end) {
    this.#known.add(end.ask);
    const question = this.open.get(end.ask);
    if (!question) return;
    this.open.delete(end.ask);
    this.ended.push({ question, end });
    if (this.ended.length > KEPT_ENDS) this.ended.shift();
  }
}
