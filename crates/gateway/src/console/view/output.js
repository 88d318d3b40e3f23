// The texts of a run: one card per model call, so that loops, retries and parallel calls never mix.

import { byId, copy, element, icon, setText } from "../dom.js";
import { count, counted, rate } from "../format.js";
import { Follow, TextTail } from "./tail.js";

/** Characters of one text on the page; all of it stays in memory and can be copied. */
const SHOWN_CHARACTERS = 20_000;
/** Texts on the page. */
const SHOWN_MESSAGES = 40;

/** @typedef {import("../run.js").Message} Message */

export class OutputView {
  #list = byId("output");
  #empty = byId("output-empty");
  #earlier = byId("output-earlier");
  #follow = new Follow(byId("output-box"), byId("output-latest"));
  /** @type {Map<string, Card>} */ #cards = new Map();
  /** How many of the run's first texts have left the page. */
  #dropped = 0;

  clear() {
    this.#list.replaceChildren();
    this.#cards.clear();
    this.#dropped = 0;
    this.#follow.reset();
  }

  /** @param {import("../run.js").Run} run */
  draw(run) {
    if (run.messages.size > this.#cards.size + this.#dropped) this.#add([...run.messages.values()]);
    for (const card of this.#cards.values()) card.draw();
    this.#empty.hidden = run.messages.size > 0;
    setText(this.#empty, run.isOver ? "This run wrote no tokens." : "Waiting for the first token…");
    this.#earlier.hidden = this.#dropped === 0;
    setText(this.#earlier, `${counted(this.#dropped, "earlier text")} not shown`);
  }

  settle() {
    this.#follow.settle();
  }

  /** @param {Message[]} messages all of the run's */
  #add(messages) {
    const first = Math.max(this.#dropped, messages.length - SHOWN_MESSAGES);
    for (const message of messages.slice(this.#dropped, first)) {
      this.#cards.get(message.key)?.root.remove();
      this.#cards.delete(message.key);
    }
    this.#dropped = first;
    for (const message of messages.slice(first)) {
      if (this.#cards.has(message.key)) continue;
      const card = new Card(message);
      this.#cards.set(message.key, card);
      this.#list.append(card.root);
    }
  }
}

/** One text with its heading. */
class Card {
  #settled = false;

  /** @param {Message} message */
  constructor(message) {
    this.message = message;
    this.figures = element("span", { class: "message-figures numeric" });
    this.text = element("div", { class: "message-text" });
    this.cut = element("p", { class: "note", hidden: true });
    this.tail = new TextTail(this.text, SHOWN_CHARACTERS);
    const place = [`visit ${message.visit}`];
    if (message.attempt > 1) place.push(`attempt ${message.attempt}`);
    if (message.message) place.push(message.message);
    const copyText = () => copy(copyButton, message.pieces.join(""));
    const copyButton = element(
      "button",
      { type: "button", class: "quiet icon-only", "aria-label": `Copy the text of ${message.node}`, onclick: copyText },
      icon("copy"),
    );
    const { node, visit, attempt, message: id } = message;
    this.root = element(
      "article",
      { class: "message", "aria-label": `${node}, ${place.join(", ")}`, dataset: { node, visit, attempt, message: id } },
      element(
        "header",
        { class: "message-head" },
        element("h4", { text: node }),
        element("span", { class: "message-place", text: place.join(" · ") }),
        this.figures,
        copyButton,
      ),
      this.cut,
      this.text,
    );
  }

  draw() {
    const { message } = this;
    if (this.#settled && message.shown === message.pieces.length) return;
    if (message.shown < message.pieces.length) {
      this.tail.append(message.pieces.slice(message.shown).join(""));
      message.shown = message.pieces.length;
    }
    this.#settled = !message.live;
    const span = message.lastAt - message.firstAt;
    const parts = [counted(message.tokens, "token")];
    if (span > 200) parts.push(rate((message.tokens * 1000) / span));
    if (message.filtered > 0) parts.push(`${count(message.filtered)} filtered out`);
    if (message.void) parts.push("void, tried again");
    setText(this.figures, parts.join(" · "));
    this.root.classList.toggle("live", message.live);
    this.root.classList.toggle("void", message.void);
    this.cut.hidden = this.tail.hidden === 0;
    setText(this.cut, `The first ${count(this.tail.hidden)} characters are not shown; copy gives all.`);
  }
}
