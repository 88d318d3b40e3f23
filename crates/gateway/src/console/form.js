// A form made from a JSON Schema: of a workflow's input, and of the answer to a question.

import { element } from "./dom.js";
import { brief, counted } from "./format.js";
import { fieldsOf, read, wholeOf, written } from "./schema.js";

/** @typedef {import("./schema.js").Field} Field */

/**
 * @typedef {object} FormOptions
 * @property {string} [prefix] of its fields' ids, of which there is one on the page
 * @property {string} [label] of the one field of a schema that is not an object's
 * @property {boolean} [folds] whether optional fields are folded away
 * @property {string} [empty] what stands there when there are no fields
 */

export class InputForm {
  /** @type {Control[]} */ #controls = [];
  /** Holds the optional fields. @type {HTMLDetailsElement | null} */ #folded = null;
  /** Whether its one field is the whole value, not a field of it. */
  #whole = false;

  /**
   * @param {HTMLElement} host
   * @param {FormOptions} [options]
   */
  constructor(host, { prefix = "field", label = "Input", folds = true, empty = "This workflow takes no input." } = {}) {
    this.host = host;
    this.options = { prefix, label, folds, empty };
  }

  /** No form, while it is not known which. */
  clear() {
    this.#controls = [];
    this.#folded = null;
    this.host.replaceChildren();
  }

  /**
   * @param {any} schema
   * @param {any} [prefill] what it begins with
   */
  show(schema, prefill) {
    const { prefix, label, folds, empty } = this.options;
    const fields = fieldsOf(schema);
    this.#whole = fields === null;
    this.#controls = (fields ?? [wholeOf(schema, label)]).map((field) => new Control(field, prefix));
    for (const control of this.#controls) control.fill(this.#whole ? prefill : prefill?.[control.field.name]);
    const required = this.#controls.filter(({ field }) => field.required);
    const optional = this.#controls.filter(({ field }) => !field.required);
    this.host.replaceChildren(...(folds ? required : [...required, ...optional]).map(({ root }) => root));
    if (this.#controls.length === 0) this.host.append(element("p", { class: "note", text: empty }));
    this.#folded = null;
    if (optional.length === 0 || !folds) return;
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
    if (this.#whole) return this.#controls[0].read().value;
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
  /**
   * @param {Field} field
   * @param {string} prefix of its id
   */
  constructor(field, prefix) {
    this.field = field;
    const id = `${prefix}-${field.name || "input"}`;
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

  /** @param {unknown} value what it begins with, if there is one */
  fill(value) {
    if (value === undefined || value === null) return;
    this.input.value = written(this.field, value);
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
  // An empty choice leaves the field out, so that the server's own default holds; a required one is nobody's by accident.
  made.append(element("option", { value: "", text: field.required ? "Choose…" : "Default" }));
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
