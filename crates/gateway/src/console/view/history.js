// The newest executions of the server, one link each.

import { byId, element, setText } from "../dom.js";
import { ago, milliseconds, shortId } from "../format.js";

export class HistoryView {
  #list = byId("history");
  #empty = byId("history-empty");

  /**
   * @param {(id: string) => URL} linkTo
   * @param {(id: string) => void} open
   */
  constructor(linkTo, open) {
    this.linkTo = linkTo;
    this.open = open;
  }

  /**
   * @param {import("../api.js").Execution[]} executions newest first
   * @param {string | null} current
   */
  draw(executions, current) {
    this.#empty.hidden = executions.length > 0;
    setText(this.#empty, "No runs yet.");
    // Keyboard focus stays where it was, although the list is new.
    const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest("#history a"))?.dataset.execution;
    this.#list.replaceChildren(...executions.map((execution) => this.#row(execution, current)));
    if (focused) this.#list.querySelector(`[data-execution="${CSS.escape(focused)}"]`)?.focus();
  }

  /** @param {string} text */
  fail(text) {
    if (this.#list.childElementCount > 0) return;
    this.#empty.hidden = false;
    setText(this.#empty, text);
  }

  /**
   * @param {import("../api.js").Execution} execution
   * @param {string | null} current
   */
  #row({ executionId, workflow, status, startedAt }, current) {
    const started = milliseconds(startedAt);
    const link = element(
      "a",
      {
        href: this.linkTo(executionId).href,
        class: "history-link",
        title: executionId,
        "aria-current": executionId === current ? "true" : undefined,
        dataset: { execution: executionId },
      },
      element("span", { class: "status-dot", dataset: { status }, "aria-hidden": "true" }),
      element(
        "span",
        { class: "history-text" },
        element("span", { class: "history-workflow", text: workflow }),
        element("span", { class: "history-id", text: shortId(executionId) }),
      ),
      element(
        "span",
        { class: "history-side" },
        element("span", { text: status }),
        element("span", { class: "muted", text: Number.isNaN(started) ? "" : ago(started, Date.now()) }),
      ),
    );
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      this.open(executionId);
    });
    return element("li", {}, link);
  }
}
