// Picking a workflow, filling its input, starting it.

import * as api from "../api.js";
import { Disconnected, Refusal } from "../refusal.js";
import { byId, element, setText } from "../dom.js";
import { executionId } from "../execution-id.js";
import { InputForm } from "../form.js";

export class Launcher {
  #form = /** @type {HTMLFormElement} */ (byId("launcher"));
  #pick = /** @type {HTMLSelectElement} */ (byId("workflow"));
  #about = byId("workflow-about");
  #start = /** @type {HTMLButtonElement} */ (byId("start"));
  #error = byId("launcher-error");
  #input = new InputForm(byId("input-fields"));
  /** Only the newest choice is shown, whichever answer comes last. */
  #chosen = 0;
  /** The workflow whose form is on the page. @type {string | null} */ #shown = null;

  /**
   * @param {import("../client.js").Connection} connection
   * @param {(executionId: string, workflow: string) => void} started
   */
  constructor(connection, started) {
    this.connection = connection;
    this.started = started;
    this.#pick.addEventListener("change", () => this.choose(this.#pick.value));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    byId("launcher-retry").addEventListener("click", () => this.load());
  }

  /** Asks the server what there is to run. */
  async load() {
    byId("launcher-offline").hidden = true;
    try {
      this.#offer(await api.workflows());
    } catch (error) {
      byId("launcher-offline").hidden = false;
      setText(byId("launcher-offline-text"), `The list of workflows did not load: ${message(error)}.`);
      this.#form.hidden = true;
    }
  }

  /** @param {import("../api.js").Workflow[]} workflows */
  #offer(workflows) {
    byId("launcher-empty").hidden = workflows.length > 0;
    this.#form.hidden = workflows.length === 0;
    this.#pick.replaceChildren(...workflows.map(({ name }) => element("option", { value: name, text: name })));
    if (workflows.length > 0) this.choose(workflows[0].name);
  }

  /** @param {string} name */
  async choose(name) {
    // What was typed into the form of this very workflow stays.
    if (name === this.#shown) return;
    this.#chosen += 1;
    const choice = this.#chosen;
    this.#shown = null;
    this.#input.clear();
    this.#start.disabled = true;
    this.#complain("");
    try {
      const workflow = await api.workflow(name);
      if (choice !== this.#chosen) return;
      setText(this.#about, workflow.description ?? "");
      this.#about.hidden = !workflow.description;
      this.#input.show(workflow.inputSchema);
      this.#shown = name;
      this.#start.disabled = false;
    } catch (error) {
      if (choice === this.#chosen) this.#complain(`The workflow did not load: ${message(error)}.`);
    }
  }

  async #submit() {
    const input = this.#input.value();
    if (input === undefined || this.#start.disabled) return;
    this.#complain("");
    this.#start.disabled = true;
    const workflow = this.#pick.value;
    try {
      this.started(await this.#begin(workflow, input, executionId()), workflow);
    } catch (error) {
      this.#complain(message(error));
    } finally {
      this.#start.disabled = false;
    }
  }

  /**
   * Starts over the socket, or over HTTP while there is none. The id is chosen here: if the socket broke before its
   * answer, asking again finds the same execution.
   *
   * @param {string} workflow
   * @param {unknown} input
   * @param {string} id
   * @returns {Promise<string>} the execution's id
   */
  async #begin(workflow, input, id) {
    try {
      const answer = await this.connection.request("start_execution", { workflow, input, executionId: id });
      return answer.payload.executionId;
    } catch (error) {
      if (!(error instanceof Disconnected)) throw error;
      return (await api.start(workflow, input, id)).executionId;
    }
  }

  /** @param {string} text */
  #complain(text) {
    this.#error.hidden = text === "";
    setText(this.#error, text);
  }
}

/** @param {unknown} error */
function message(error) {
  return error instanceof Refusal || error instanceof Error ? error.message : String(error);
}
