// What a run asks: a form for each open question, and how the others came to their end.

import { access } from "../access.js";
import { announce, byId, element, setText } from "../dom.js";
import { InputForm } from "../form.js";
import { brief, duration } from "../format.js";

/** @typedef {import("../questions.js").Question} Question */
/** @typedef {import("../questions.js").Outcome} Outcome */
/** @typedef {(ask: string, answer: unknown, by: string | undefined) => Promise<void>} Answer */

/** The name by which this browser answers is remembered under this key. */
const NAME_KEY = "streamnest.name";
/** The most characters of a name that the server takes. */
const NAME_LIMIT = 255;

export class QuestionsView {
  #section = byId("questions");
  #open = byId("questions-open");
  #ended = byId("questions-ended");
  /** @type {Map<string, Card>} */ #cards = new Map();
  #endings = 0;

  /** @param {Answer} answer */
  constructor(answer) {
    this.answer = answer;
  }

  clear() {
    this.#cards.clear();
    this.#endings = 0;
    this.#open.replaceChildren();
    this.#ended.replaceChildren();
    this.#section.hidden = true;
  }

  /** @param {import("../run.js").Run} run */
  draw(run) {
    const { open, ended } = run.questions;
    this.#section.hidden = open.size === 0 && ended.length === 0;
    for (const [ask, card] of this.#cards) if (!open.has(ask)) this.#remove(ask, card);
    for (const question of open.values()) {
      let card = this.#cards.get(question.ask);
      if (!card) {
        card = new Card(question, this.answer);
        this.#cards.set(question.ask, card);
        this.#open.append(card.root);
        announce(`The run asks: ${question.question}`);
      }
      card.draw(run.serverNow());
    }
    const newest = ended.at(-1)?.end.ask ?? "";
    if (this.#ended.dataset.newest !== newest || this.#endings !== ended.length) {
      this.#endings = ended.length;
      this.#ended.dataset.newest = newest;
      this.#ended.replaceChildren(...ended.map(({ question, end }) => row(question, end)));
    }
  }

  /**
   * @param {string} ask
   * @param {Card} card
   */
  #remove(ask, card) {
    const hadFocus = card.root.contains(document.activeElement);
    card.root.remove();
    this.#cards.delete(ask);
    // Who answered by keyboard goes on from there, not from the top of the page.
    if (hadFocus) (this.#open.querySelector("form") ?? byId("run-title")).focus({ preventScroll: true });
  }
}

/** One open question. */
class Card {
  #busy = false;

  /**
   * @param {Question} question
   * @param {Answer} answer
   */
  constructor(question, answer) {
    const { ask, nodeId, visit } = question;
    this.question = question;
    this.answer = answer;
    const fields = element("div", { class: "question-fields" });
    this.form = new InputForm(fields, { prefix: ask, label: "Answer", folds: false, empty: "Any answer will do." });
    this.form.show(question.schema, question.prefill);
    this.deadline = element("p", { class: "note question-deadline", hidden: true });
    this.error = element("p", { class: "alert", role: "alert", hidden: true });
    this.button = element("button", { type: "submit", class: "primary", text: "Answer" });
    this.name = element("input", { type: "text", id: `${ask}-by`, maxlength: String(NAME_LIMIT), autocomplete: "name" });
    this.name.value = rememberedName();
    this.as = element("label", { for: `${ask}-by`, class: "hint" });
    this.root = element(
      "form",
      { class: "question", novalidate: true, tabindex: "-1", "aria-labelledby": `${ask}-title`, dataset: { ask } },
      element(
        "header",
        { class: "question-head" },
        element("h3", { id: `${ask}-title`, text: question.question }),
        element("span", { class: "message-place", text: visit > 1 ? `${nodeId} · visit ${visit}` : nodeId }),
      ),
      this.deadline,
      question.about === undefined ? null : about(question.about),
      fields,
      this.error,
      element(
        "div",
        { class: "actions question-actions" },
        this.button,
        this.as,
        this.name,
      ),
    );
    this.name.placeholder = "your name, if you like";
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.root.requestSubmit();
    });
  }

  /** @param {number} now on the server's clock, in milliseconds */
  draw(now) {
    // Who shows a token answers as who it names, and has no other name.
    this.name.hidden = access.token !== null;
    setText(this.as, access.token === null ? "as" : access.subject && `as ${access.subject}`);
    const { deadline } = this.question;
    if (deadline === undefined || Number.isNaN(now)) return;
    this.deadline.hidden = false;
    const then = "default" in this.question ? `then this counts: ${brief(this.question.default)}` : "then nobody has answered";
    setText(this.deadline, `${duration(Math.max(0, deadline / 1000 - now))} left; ${then}`);
  }

  async #submit() {
    const answer = this.form.value();
    if (answer === undefined || this.#busy) return;
    this.#busy = true;
    this.button.disabled = true;
    this.#complain("");
    const by = this.name.hidden ? "" : this.name.value.trim();
    if (!this.name.hidden) rememberName(by);
    try {
      // What was accepted stands in the log, and comes from there.
      await this.answer(this.question.ask, answer, by || undefined);
    } catch (error) {
      this.#complain(/** @type {Error} */ (error).message);
    } finally {
      this.#busy = false;
      this.button.disabled = false;
    }
  }

  /** @param {string} text */
  #complain(text) {
    this.error.hidden = text === "";
    setText(this.error, text);
  }
}

/** @param {unknown} value */
function about(value) {
  if (typeof value === "string") return element("blockquote", { class: "question-about", text: value });
  return element("pre", { class: "question-about", text: JSON.stringify(value, null, 2) });
}

/**
 * @param {Question} question
 * @param {Outcome} end
 */
function row(question, end) {
  const how = {
    answered: end.by ? `Answered by ${end.by}` : "Answered",
    default: "Nobody answered in time; the default counts",
    timeout: "Nobody answered in time",
    withdrawn: "No longer asked",
  }[end.outcome];
  return element(
    "li",
    { class: "question-end", dataset: { ask: end.ask, outcome: end.outcome } },
    element("span", { class: "question-asked", text: question.question }),
    element("span", { class: "muted", text: how }),
    "answer" in end ? element("code", { class: "question-answer", text: brief(end.answer, 400) }) : null,
  );
}

function rememberedName() {
  try {
    return localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    // Storage may be forbidden; a name can be typed again.
    return "";
  }
}

/** @param {string} name */
function rememberName(name) {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // As above.
  }
}
