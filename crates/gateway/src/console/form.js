// The form of a workflow's input, made from its JSON Schema.

import { element } from "./dom.js";
import { brief, counted } from "./format.js";
import { fieldsOf, read } from "./schema.js";

/** @typedef {import("./schema.js").Field} Field */

/** What a form is when its schema is not one of an object with properties. @type {Field} */
const WHOLE = { name: "", label: "Input", help: "The whole input as JSON.", required: true, kind: "json", shape: null };

export class InputForm {
  /** @type {Control[]} */ #controls = [];
  /** Holds the optional fields. @type {HTMLDetailsElement | null} */ #folded = null;

  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
  }

  /** No form, while it is not known which. */
  clear() {
    this.#controls = [];
    this.#folded = null;
    this.host.replaceChildren();
  }

  /** @param {any} schema */
  show(schema) {
    const fields = fieldsOf(schema);
    this.#controls = (fields ?? [WHOLE]).map((field) => new Control(field));
    const required = this.#controls.filter(({ field }) => field.required);
    const optional = this.#controls.filter(({ field }) => !field.required);
    this.host.replaceChildren(...required.map(({ root }) => root));
    if (this.#controls.length === 0) this.host.append(element("p", { class: "note", text: "This workflow takes no input." }));
    this.#folded = null;
    if (optional.length === 0) return;
    this.#folded = element(
      "details",
      { class: "optional", open: required.length === 0 },
      element("summary", { text: counted(optional.length, "optional field") }),
      ...optional.map(({ root }) => root),
    );
    this.host.append(this.#folded);
  }

  /**
   * What was typed in; complains at the fields and focuses the first that does not fit.
   *
   * @returns {unknown} `undefined` if a field does not fit
   */
  value() {
    const problems = this.#controls.filter((control) => !control.check());
    if (problems.length > 0) {
      if (this.#folded?.contains(problems[0].root)) this.#folded.open = true;
      problems[0].input.focus();
      return undefined;
    }
    if (this.#controls.length === 1 && this.#controls[0].field === WHOLE) return this.#controls[0].read().value;
    /** @type {Record<string, unknown>} */ const input = {};
    for (const control of this.#controls) {
      const { value } = control.read();
      if (value !== undefined) input[control.field.name] = value;
    }
    return input;
  }
}

/** One field: label, input, help, and what is wrong with it. */
class Control {
  /** @param {Field} field */
  constructor(field) {
    this.field = field;
    const id = `field-${field.name || "input"}`;
    this.input = input(field, id);
    this.problem = element("p", { id: `${id}-problem`, class: "problem", hidden: true });
    const help = helpOf(field);
    const describedBy = [help ? `${id}-help` : "", `${id}-problem`].filter(Boolean).join(" ");
    this.input.setAttribute("aria-describedby", describedBy);
    if (field.required) this.input.setAttribute("aria-required", "true");
    this.root = element(
      "div",
      { class: `field field-${field.kind}` },
      element("label", { for: id }, field.label, field.required ? element("span", { class: "required", "aria-hidden": "true", text: " *" }) : null),
      this.input,
      help ? element("p", { id: `${id}-help`, class: "help", text: help }) : null,
      this.problem,
    );
    // Complains once the field is left, takes it back as soon as it fits.
    this.input.addEventListener("change", () => this.check());
    this.input.addEventListener("input", () => {
      if (!this.problem.hidden) this.check();
    });
  }

  read() {
    return read(this.field, this.input.value);
  }

  /** @returns {boolean} whether the field fits */
  check() {
    const { problem } = this.read();
    this.problem.hidden = problem === undefined;
    this.problem.textContent = problem ?? "";
    this.input.setAttribute("aria-invalid", String(problem !== undefined));
    return problem === undefined;
  }
}

/**
 * @param {Field} field
 * @param {string} id
 * @returns {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement}
 */
function input(field, id) {
  const placeholder = field.example === undefined ? undefined : brief(field.example);
  const common = { id, name: field.name, placeholder, autocomplete: "off" };
  if (field.kind === "long-text") return element("textarea", { ...common, rows: "4" });
  if (field.kind === "json") {
    const shape = field.shape === "array" ? "[]" : field.shape === "object" ? "{}" : "JSON";
    return element("textarea", { ...common, rows: "3", class: "code", spellcheck: "false", placeholder: placeholder ?? shape });
  }
  if (field.kind === "boolean") return select(common, field, ["true", "false"].map((value) => [value, value === "true" ? "Yes" : "No"]));
  if (field.kind === "choice") return select(common, field, (field.choices ?? []).map((choice, index) => [String(index), String(choice)]));
  const mode = { number: "decimal", integer: "numeric" }[String(field.kind)];
  return element("input", { ...common, type: "text", inputmode: mode });
}

/**
 * @param {object} common
 * @param {Field} field
 * @param {string[][]} options value and text
 */
function select(common, field, options) {
  const made = element("select", common);
  // An empty choice leaves the field out, so that the server's own default holds.
  if (!field.required || field.kind === "boolean") made.append(element("option", { value: "", text: field.required ? "Choose…" : "Default" }));
  for (const [value, text] of options) made.append(element("option", { value, text }));
  return made;
}

/** @param {Field} field */
function helpOf(field) {
  const parts = [];
  if (field.help) parts.push(field.help);
  if (field.kind === "json" && field.shape) parts.push(`A JSON ${field.shape}.`);
  if (field.fallback !== undefined) parts.push(`Default: ${brief(field.fallback, 60)}.`);
  return parts.join(" ");
}
