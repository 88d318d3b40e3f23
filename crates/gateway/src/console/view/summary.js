// The head of a run: which it is, where it stands, its figures, its end.

import { announce, byId, copy, element, setText } from "../dom.js";
import { count, duration, rate } from "../format.js";

const STATUS = {
  unknown: "Connecting",
  running: "Running",
  paused: "Waits for an answer",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
};

export class SummaryView {
  #title = byId("run-title");
  #badge = byId("run-status");
  #id = byId("run-id");
  #link = byId("run-link");
  #cancel = byId("run-cancel");
  #result = byId("result");
  #resultBody = byId("result-body");
  /** @type {import("../run.js").Run | null} */ #run = null;
  #announced = "";

  /** @param {{cancel: () => Promise<void>}} actions */
  constructor(actions) {
    byId("run-copy").addEventListener("click", (/** @type {Event} */ event) => {
      if (this.#run) copy(/** @type {HTMLElement} */ (event.currentTarget), this.#run.executionId);
    });
    byId("result-copy").addEventListener("click", (/** @type {Event} */ event) => {
      copy(/** @type {HTMLElement} */ (event.currentTarget), JSON.stringify(this.#run?.end, null, 2));
    });
    this.#cancel.addEventListener("click", async () => {
      this.#cancel.disabled = true;
      try {
        await actions.cancel();
      } catch (error) {
        this.complain(`Not cancelled: ${/** @type {Error} */ (error).message}`);
        this.#cancel.disabled = false;
      }
    });
  }

  /**
   * @param {import("../run.js").Run} run
   * @param {URL} link where the run opens in another tab
   */
  show(run, link) {
    this.#run = run;
    byId("run").removeAttribute("data-unavailable");
    this.#announced = "";
    this.#result.hidden = true;
    this.#cancel.disabled = false;
    this.#link.href = link.href;
    setText(this.#title, run.workflow || "Run");
    setText(this.#id, run.executionId);
    this.complain("");
  }

  /** @param {string} text what went wrong, empty for nothing */
  complain(text) {
    const error = byId("run-error");
    error.hidden = text === "";
    setText(error, text);
  }

  /** @param {import("../session.js").Session} session */
  draw({ run, ledger, error }) {
    const lost = error !== null && !run.isOver;
    if (error) this.complain(ledger.received > 0 ? `${error.message}; what came before is still shown` : error.message);
    byId("run").toggleAttribute("data-unavailable", lost && ledger.received === 0);
    setText(this.#title, run.workflow || (lost ? "This run cannot be shown" : "Run"));
    setText(this.#badge, lost ? "Not available" : STATUS[run.state]);
    this.#badge.dataset.status = lost ? "unknown" : run.state;
    this.#cancel.hidden = lost || run.isOver || run.status === "unknown";
    setText(byId("stat-elapsed"), run.status === "unknown" ? "–" : duration(run.elapsed()));
    setText(byId("stat-tokens"), count(run.tokens));
    setText(byId("stat-rate"), run.tokens > 1 ? rate(run.tokenRate()) : "–");
    setText(byId("stat-first"), run.tokens > 0 ? duration(run.firstTokenAt - run.startedAt) : "–");
    setText(byId("stat-entries"), count(ledger.received));
    const integrity = byId("stat-integrity");
    setText(integrity, `lost=${ledger.lost} doubled=${ledger.doubled}`);
    integrity.dataset.sound = String(ledger.lost + ledger.doubled === 0);
    const told = byId("stat-gap");
    told.hidden = ledger.told === 0;
    setText(told, `${count(ledger.told)} told as gap`);
    if (run.isOver && this.#result.hidden) this.#end(run);
    if (run.state !== this.#announced) {
      this.#announced = run.state;
      if (run.state !== "unknown") announce(`Run ${STATUS[run.state].toLowerCase()}`);
    }
  }

  /** @param {import("../run.js").Run} run */
  #end(run) {
    const { result, error, reason } = run.end;
    this.#result.hidden = false;
    this.#result.dataset.status = run.status;
    setText(byId("result-title"), run.status === "completed" ? "Result" : STATUS[run.state]);
    this.#resultBody.replaceChildren();
    if (error) this.#resultBody.append(element("p", { text: error.message }), fields(error));
    else if (run.status === "cancelled") {
      this.#resultBody.append(element("p", { text: reason ? `Reason: ${reason}` : "No reason was given." }));
    } else if (result !== undefined) this.#resultBody.append(fields(result));
    else this.#resultBody.append(element("p", { text: "The run ended without a value." }));
    if (run.end.cost) this.#resultBody.append(fields({ cost: run.end.cost }));
  }
}

/**
 * A value as a list of its fields; what is no object is one field.
 *
 * @param {any} value
 */
function fields(value) {
  const list = element("dl", { class: "fields" });
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  for (const [name, field] of isObject ? Object.entries(value) : [["value", value]]) {
    const text = typeof field === "string" ? field : JSON.stringify(field);
    const plain = typeof field === "string" || typeof field === "number" || typeof field === "boolean";
    list.append(element("dt", { text: name }), element("dd", { class: plain ? "" : "json", text }));
  }
  return list;
}
