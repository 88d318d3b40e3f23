// A growing text of which the page holds the end, and a box that keeps its end in sight.

import { element } from "../dom.js";

/** From this many characters on, a piece ends with its next line, so that appending lays out little. */
const PIECE_CHARACTERS = 1024;

/** The end of a text: at most `limit` characters of it, and a piece. */
export class TextTail {
  /** How many characters are no longer shown. */
  hidden = 0;
  /** Each a block of whole lines but the last. @type {Text[]} */ #pieces = [];
  #shown = 0;

  /**
   * @param {HTMLElement} host
   * @param {number} limit characters
   */
  constructor(host, limit) {
    this.host = host;
    this.limit = limit;
  }

  /** @param {string} text */
  append(text) {
    if (text.length > this.limit) {
      this.hidden += this.#shown + text.length - this.limit;
      this.host.replaceChildren();
      this.#pieces = [];
      this.#shown = 0;
      text = text.slice(isLowSurrogate(text.charCodeAt(text.length - this.limit)) ? 1 - this.limit : -this.limit);
    }
    this.#shown += text.length;
    while (text !== "") text = this.#fill(text);
    while (this.#shown > this.limit) this.#trim(this.#shown - this.limit);
  }

  /**
   * Writes as much of `text` as goes into the last piece.
   *
   * @param {string} text
   * @returns {string} the rest
   */
  #fill(text) {
    let last = this.#pieces.at(-1);
    if (!last || (last.length >= PIECE_CHARACTERS && last.data.endsWith("\n"))) {
      last = document.createTextNode("");
      this.#pieces.push(last);
      this.host.append(element("div", {}, last));
    }
    const full = text.indexOf("\n", Math.max(0, PIECE_CHARACTERS - last.length));
    const end = full === -1 ? text.length : full + 1;
    last.appendData(text.slice(0, end));
    return text.slice(end);
  }

  /** @param {number} over how many characters are too many */
  #trim(over) {
    const first = this.#pieces[0];
    if (this.#pieces.length > 1 && first.length <= over) {
      this.#pieces.shift();
      first.parentElement?.remove();
      this.#shown -= first.length;
      this.hidden += first.length;
      return;
    }
    // Never half a character of two code units.
    const cut = over < first.length && isLowSurrogate(first.data.charCodeAt(over)) ? over + 1 : over;
    first.deleteData(0, cut);
    this.#shown -= cut;
    this.hidden += cut;
  }
}

/** @param {number} unit */
function isLowSurrogate(unit) {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/** Keeps a scrolling box at its end until the reader scrolls away from it. */
export class Follow {
  /** Whether the end is in sight. */
  following = true;
  #top = 0;

  /**
   * @param {HTMLElement} box
   * @param {HTMLElement} button brings the end back into sight
   * @param {() => void} [changed]
   */
  constructor(box, button, changed = () => {}) {
    this.box = box;
    this.button = button;
    box.addEventListener("scroll", () => {
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 32;
      // Only who scrolls back leaves the end: what grows beneath does not.
      const following = atEnd || (this.following && box.scrollTop >= this.#top);
      this.#top = box.scrollTop;
      if (following === this.following) return;
      this.following = following;
      button.hidden = following;
      changed();
    });
    button.addEventListener("click", () => {
      this.reset();
      changed();
      this.settle();
      box.focus({ preventScroll: true });
    });
  }

  /** Follows again. */
  reset() {
    this.following = true;
    this.button.hidden = true;
  }

  /** After everything on the page was written: this measures it. */
  settle() {
    if (!this.following) return;
    this.box.scrollTop = this.box.scrollHeight;
    this.#top = this.box.scrollTop;
  }
}
