// What a JSON Schema says about the fields of an input, as far as a form can show it.

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {string} [help]
 * @property {boolean} required
 * @property {"text" | "long-text" | "number" | "integer" | "boolean" | "choice" | "json"} kind
 * @property {unknown[]} [choices] of a choice
 * @property {unknown} [fallback] what the server takes when it is left out
 * @property {unknown} [example]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {boolean} [exclusiveMinimum]
 * @property {boolean} [exclusiveMaximum]
 * @property {number} [minLength]
 * @property {number} [maxLength]
 * @property {string} [pattern]
 * @property {"array" | "object" | null} [shape] of JSON text; `null`: any
 */

/** Names of texts that want more than a line. */
const LONG = /prompt|text|content|message|question|instruction|description|document|body|query|input|draft/i;

/**
 * The fields of an object's schema, or `null` if it is not one that a form can show.
 *
 * @param {any} schema
 * @returns {Field[] | null}
 */
export function fieldsOf(schema) {
  const root = resolve(schema, schema);
  if (typeof root !== "object" || root === null || typeof root.properties !== "object") return null;
  const required = new Set(root.required ?? []);
  return Object.entries(root.properties).map(([name, property]) => field(name, property, required.has(name), schema));
}

/**
 * The one field of a schema that is not an object's: a choice, a text, a number, or JSON.
 *
 * @param {any} schema
 * @param {string} label
 * @returns {Field}
 */
export function wholeOf(schema, label) {
  const whole = field("", schema, true, schema);
  return { ...whole, label: whole.label || label };
}

/**
 * @param {string} name
 * @param {any} property
 * @param {boolean} required
 * @param {any} root
 * @returns {Field}
 */
function field(name, property, required, root) {
  const schema = plain(property, root);
  const base = {
    name,
    label: schema.title ?? words(name),
    help: schema.description,
    required,
    fallback: schema.default ?? undefined,
    example: schema.examples?.[0],
  };
  const choices = choicesOf(schema);
  if (choices) return { ...base, kind: "choice", choices };
  switch (schema.type) {
    case "boolean":
      return { ...base, kind: "boolean" };
    case "integer":
    case "number":
      return { ...base, kind: schema.type, ...bounds(schema) };
    case "string": {
      const { minLength, maxLength, pattern } = schema;
      const long = schema.format === "textarea" || (LONG.test(name) && !(maxLength <= 120));
      return { ...base, kind: long ? "long-text" : "text", minLength, maxLength, pattern };
    }
    default:
      return { ...base, kind: "json", shape: schema.type === "array" || schema.type === "object" ? schema.type : null };
  }
}

/**
 * The schema itself: references followed, and what only adds `null` taken off.
 *
 * @param {any} property
 * @param {any} root
 * @returns {any}
 */
function plain(property, root) {
  let schema = resolve(property, root);
  const branches = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(branches)) {
    const real = branches.map((branch) => resolve(branch, root)).filter((branch) => branch.type !== "null");
    if (real.length === 1) schema = { ...real[0], ...without(schema, ["anyOf", "oneOf"]) };
    else if (schema.oneOf && real.every((branch) => choicesOf(branch))) {
      schema = { ...without(schema, ["oneOf"]), enum: real.flatMap((branch) => choicesOf(branch)) };
    }
  }
  if (Array.isArray(schema.type)) {
    const real = schema.type.filter((/** @type {string} */ type) => type !== "null");
    schema = { ...schema, type: real.length === 1 ? real[0] : undefined };
  }
  return schema;
}

/**
 * @param {any} schema
 * @param {any} root
 * @returns {any}
 */
function resolve(schema, root) {
  let found = typeof schema === "object" && schema !== null ? schema : {};
  // A reference to a reference to itself would never end.
  for (let hops = 0; typeof found.$ref === "string" && hops < 16; hops += 1) {
    const steps = found.$ref.replace(/^#\/?/, "").split("/").filter(Boolean);
    const target = steps.reduce((/** @type {any} */ at, /** @type {string} */ step) => at?.[unescapePointer(step)], root);
    found = { ...(target ?? {}), ...without(found, ["$ref"]) };
  }
  return found;
}

/** @param {string} step of a JSON pointer */
function unescapePointer(step) {
  return decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
}

/** @param {any} schema */
function choicesOf(schema) {
  if (Array.isArray(schema.enum)) return schema.enum.filter((/** @type {unknown} */ choice) => choice !== null);
  return "const" in schema ? [schema.const] : undefined;
}

/** @param {any} schema */
function bounds(schema) {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  return {
    minimum: minimum ?? exclusiveMinimum,
    maximum: maximum ?? exclusiveMaximum,
    exclusiveMinimum: exclusiveMinimum !== undefined,
    exclusiveMaximum: exclusiveMaximum !== undefined,
  };
}

/**
 * @param {any} object
 * @param {string[]} names
 */
function without(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/** @param {string} name `tokens_per_second`, `tokensPerSecond` */
function words(name) {
  const spaced = name.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll(/[_-]+/g, " ").toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/**
 * Reads what was typed into a field.
 *
 * @param {Field} field
 * @param {string} text
 * @returns {{value?: unknown, problem?: string}} no value for a field that was left empty
 */
export function read(field, text) {
  if (field.kind === "text" || field.kind === "long-text") return readText(field, text);
  const trimmed = text.trim();
  if (trimmed === "") return field.required ? { problem: "This field is required." } : {};
  if (field.kind === "boolean") return { value: trimmed === "true" };
  if (field.kind === "choice") return { value: field.choices?.[Number(trimmed)] };
  if (field.kind === "json") return readJson(field, trimmed);
  return readNumber(field, trimmed);
}

/**
 * @param {Field} field
 * @param {string} text
 */
function readText(field, text) {
  if (text === "") return field.required ? { problem: "This field is required." } : {};
  const length = [...text].length;
  if (field.minLength !== undefined && length < field.minLength) return { problem: `At least ${field.minLength} characters, please.` };
  if (field.maxLength !== undefined && length > field.maxLength) return { problem: `At most ${field.maxLength} characters, please.` };
  if (field.pattern !== undefined && !matches(field.pattern, text)) return { problem: `This must match ${field.pattern}` };
  return { value: text };
}

/**
 * @param {string} pattern
 * @param {string} text
 */
function matches(pattern, text) {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    // Not a pattern that this browser knows; the server judges.
    return true;
  }
}

/**
 * @param {Field} field
 * @param {string} text
 */
function readNumber(field, text) {
  const value = Number(text);
  if (!Number.isFinite(value)) return { problem: "This is not a number." };
  if (field.kind === "integer" && !Number.isSafeInteger(value)) return { problem: "A whole number, please." };
  const { minimum, maximum } = field;
  if (minimum !== undefined && (field.exclusiveMinimum ? value <= minimum : value < minimum)) {
    return { problem: `${field.exclusiveMinimum ? "More than" : "At least"} ${minimum}, please.` };
  }
  if (maximum !== undefined && (field.exclusiveMaximum ? value >= maximum : value > maximum)) {
    return { problem: `${field.exclusiveMaximum ? "Less than" : "At most"} ${maximum}, please.` };
  }
  return { value };
}

/**
 * @param {Field} field
 * @param {string} text
 */
function readJson(field, text) {
  /** @type {unknown} */ let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problem: `This is not JSON: ${/** @type {Error} */ (error).message}` };
  }
  if (field.shape === "array" && !Array.isArray(value)) return { problem: "A JSON array, please: [ … ]" };
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (field.shape === "object" && !isObject) return { problem: "A JSON object, please: { … }" };
  return { value };
}

/**
 * Writes a value as it would be typed into a field; what does not fit is left for the reader to see.
 *
 * @param {Field} field
 * @param {unknown} value
 * @returns {string}
 */
export function written(field, value) {
  if (field.kind === "choice") return String((field.choices ?? []).findIndex((choice) => choice === value));
  if (field.kind === "json") return JSON.stringify(value, null, 2);
  return typeof value === "string" ? value : JSON.stringify(value);
}
