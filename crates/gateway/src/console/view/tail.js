// A growing text of which the page holds the end, and a box that keeps its end in sight.

/** A text node of this many characters gets a successor, so that appending stays cheap. */
const PIECE_CHARACTERS = 4096;

/** The end of a text, at most `limit` characters of it and a piece. */
export class TextTail {
  /** How many characters are no longer shown. */
  hidden = 0;
  /** @type {Text[]} */ #nodes = [];
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
      for (const node of this.#nodes.splice(0)) node.remove();
      this.#shown = 0;
      text = text.slice(-this.limit);
    }
    const last = this.#nodes.at(-1);
    if (last && last.length < PIECE_CHARACTERS) last.appendData(text);
    else {
      const node = document.createTextNode(text);
      this.#nodes.push(node);
      this.host.append(node);
    }
    this.#shown += text.length;
    while (this.#shown > this.limit && this.#nodes.length > 1) {
      const first = /** @type {Text} */ (this.#nodes.shift());
      this.#shown -= first.length;
      this.hidden += first.length;
      first.remove();
    }
  }
}

/** Keeps a scrolling box at its end until the reader scrolls away from it. */
export class Follow {
  /** Whether the end is in sight. */
  following = true;

  /**
   * @param {HTMLElement} box
   * @param {HTMLElement} button brings the end back into sight
   * @param {() => void} [changed]
   */
  constructor(box, button, changed = () => {}) {
    this.box = box;
    this.button = button;
    box.addEventListener("scroll", () => {
      const following = box.scrollHeight - box.scrollTop - box.clientHeight < 32;
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

  /** After something was written. */
  settle() {
    if (this.following) this.box.scrollTop = this.box.scrollHeight;
  }
}
