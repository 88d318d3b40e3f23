// The workflow's nodes: where each stands, how far it has come and how long it will take.

import { byId, element, setText } from "../dom.js";
import { duration, rate } from "../format.js";

const STATES = { waiting: "Waiting", running: "Running", done: "Done", failed: "Failed" };

/** @typedef {import("../run.js").NodeRun} NodeRun */

export class NodesView {
  #list = byId("nodes");
  #empty = byId("nodes-empty");
  /** @type {Map<string, Row>} */ #rows = new Map();

  clear() {
    this.#list.replaceChildren();
    this.#rows.clear();
  }

  /** @param {import("../run.js").Run} run */
  draw(run) {
    const asking = new Set([...run.questions.open.values()].map(({ nodeId }) => nodeId));
    for (const [name, node] of run.nodes) {
      let row = this.#rows.get(name);
      if (!row) {
        row = new Row(node);
        this.#rows.set(name, row);
        this.#list.append(row.root);
      }
      row.draw(asking.has(name));
    }
    this.#empty.hidden = run.nodes.size > 0;
  }
}

class Row {
  /** @param {NodeRun} node */
  constructor(node) {
    this.node = node;
    this.kind = element("span", { class: "node-kind" });
    this.visit = element("span", { class: "node-visit" });
    this.state = element("span", { class: "node-state" });
    this.fill = element("div", { class: "bar-fill" });
    this.bar = element("div", { class: "bar", role: "progressbar", "aria-label": `Progress of ${node.name}` }, this.fill);
    this.figures = element("span", { class: "numeric" });
    this.eta = element("span", { class: "numeric node-eta" });
    this.root = element(
      "li",
      { class: "node", dataset: { node: node.name } },
      element(
        "div",
        { class: "node-head" },
        element("span", { class: "node-dot", "aria-hidden": "true" }),
        element("span", { class: "node-name", text: node.name }),
        this.kind,
        this.visit,
        this.state,
      ),
      this.bar,
      element("div", { class: "node-figures" }, this.figures, this.eta),
    );
  }

  /** @param {boolean} asks whether it waits for an answer */
  draw(asks) {
    const { state, visit, progress, kind } = this.node;
    this.root.dataset.state = state;
    this.root.toggleAttribute("data-asks", asks);
    setText(this.state, asks ? "Asks" : STATES[state]);
    setText(this.kind, kind);
    setText(this.visit, visit > 1 ? `visit ${visit}` : "");
    const percent = progress ? Math.min(100, Math.max(0, progress.progress)) : state === "done" ? 100 : null;
    this.bar.classList.toggle("indeterminate", percent === null && state === "running" && !asks);
    if (percent === null) {
      this.bar.removeAttribute("aria-valuenow");
      this.fill.style.width = "0";
    } else {
      this.bar.setAttribute("aria-valuenow", String(Math.round(percent)));
      this.fill.style.width = `${percent}%`;
    }
    setText(this.figures, progress ? figures(progress) : "");
    setText(this.eta, eta(state, progress));
  }
}

/** @param {any} progress */
function figures(progress) {
  const parts = [progress.display ?? `${Math.round(progress.progress * 10) / 10} %`];
  if (progress.rate !== undefined && !progress.display?.includes("/s")) parts.push(rate(progress.rate));
  return parts.join(" · ");
}

/**
 * @param {NodeRun["state"]} state
 * @param {any} progress
 */
function eta(state, progress) {
  if (state === "running" && progress?.etaMs !== undefined) return `${duration(progress.etaMs)} left`;
  if (state !== "running" && progress?.elapsedMs !== undefined) return `took ${duration(progress.elapsedMs)}`;
  return "";
}
