// The connection as the user sees it: its state in the head of the page, the switch that cuts it, and every resume.

import { announce, byId, element, setText } from "../dom.js";
import { ago, count, counted, duration } from "../format.js";

/** @typedef {import("../client.js").Connection} Connection */
/** @typedef {import("../session.js").Session} Session */

const PHASES = {
  connecting: "Connecting",
  open: "Connected",
  waiting: "Reconnecting",
  cut: "Switched off",
  refused: "Refused",
};

export class ConnectionView {
  #pill = byId("connection-state");
  #detail = byId("connection-detail");
  #retry = byId("connection-retry");
  #switch = byId("connection-switch");
  #list = byId("resumes");
  #hint = byId("resumes-hint");
  /** @type {Map<import("../ledger.js").Resume, HTMLElement>} */ #rows = new Map();
  #phase = "";

  /** @param {Connection} connection */
  constructor(connection) {
    this.connection = connection;
    this.#retry.addEventListener("click", () => connection.retryNow());
    this.#switch.addEventListener("click", () => {
      if (connection.state.phase === "cut") connection.connect();
      else connection.cut();
    });
  }

  clear() {
    this.#list.replaceChildren();
    this.#rows.clear();
  }

  /** @param {Session | null} session */
  draw(session) {
    const state = this.connection.state;
    this.#pill.dataset.phase = state.phase;
    setText(byId("connection-label"), PHASES[state.phase]);
    setText(this.#detail, detail(state));
    this.#retry.hidden = state.phase !== "waiting" && state.phase !== "refused";
    this.#switch.setAttribute("aria-checked", String(state.phase !== "cut"));
    if (state.phase !== this.#phase) {
      if (this.#phase !== "" && state.phase !== "connecting") announce(`Connection: ${PHASES[state.phase]}`);
      this.#phase = state.phase;
    }
    if (session) this.#resumes(session, state.phase);
  }

  /**
   * @param {Session} session
   * @param {string} phase
   */
  #resumes(session, phase) {
    setText(this.#hint, hint(session, phase));
    for (const resume of session.resumes) {
      let row = this.#rows.get(resume);
      if (!row) {
        row = element("li", { class: "resume" });
        this.#rows.set(resume, row);
        this.#list.prepend(row);
      }
      describe(row, resume);
    }
    const newest = session.resumes.at(-1);
    for (const [resume, row] of this.#rows) {
      if (session.resumes.includes(resume)) row.classList.toggle("newest", resume === newest);
      else {
        row.remove();
        this.#rows.delete(resume);
      }
    }
  }
}

/** @param {import("../client.js").ConnectionState} state */
function detail(state) {
  const now = Date.now();
  if (state.phase === "open") return state.lastHeard ? `heard ${ago(state.lastHeard, now)}` : "";
  if (state.phase === "waiting") return `${state.reason}; try ${(state.attempt ?? 0) + 1} in ${duration(Math.max(0, (state.retryAt ?? now) - now))}`;
  if (state.phase === "refused") return state.reason ?? "";
  return "";
}

/**
 * @param {Session} session
 * @param {string} phase
 */
function hint({ run, resumes, ledger }, phase) {
  if (phase === "cut" && !run.isOver) return `Cut after entry ${count(ledger.last)}. The run goes on without this page; switch the connection on to catch up.`;
  if (resumes.length > 0) return "";
  if (run.isOver) return "This run is over: every entry has arrived.";
  return "Cut the connection while the run goes on, then switch it back: the page resumes after the last entry it has.";
}

/**
 * @param {HTMLElement} row
 * @param {import("../ledger.js").Resume} resume
 */
function describe(row, resume) {
  const { from, received, lost, doubled, told, missed, caughtUp } = resume.tally;
  const proof = `lost=${lost} doubled=${doubled}`;
  const lines = [`${counted(received, "entry")} since`];
  if (missed !== null) lines.push(`${count(missed)} written meanwhile${caughtUp ? ", all caught up" : ""}`);
  if (told > 0) lines.push(`${count(told)} told as gap`);
  if (row.childElementCount === 0) {
    row.append(
      element("p", { class: "resume-head" }, element("strong"), element("span", { class: "proof numeric" })),
      element("p", { class: "resume-figures numeric" }),
      element("p", { class: "resume-position numeric", text: resume.position ? `from ${resume.position}` : "from the start" }),
    );
  }
  const [head, figures] = row.children;
  setText(head.children[0], `Resumed after entry ${count(from)}, ${duration(resume.away)} away`);
  setText(head.children[1], proof);
  head.children[1].setAttribute("data-sound", String(lost + doubled === 0));
  setText(figures, lines.join(" · "));
  row.dataset.received = String(received);
  row.dataset.from = String(from);
}
