// Figures, times and ids as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/**
 * @param {number} value
 * @returns {string} `1,234`
 */
export function count(value) {
  return whole.format(value);
}

/**
 * @param {number} value
 * @param {string} unit in the singular
 * @returns {string} `1 token`, `1,234 tokens`
 */
export function counted(value, unit) {
  const plural = unit.endsWith("y") ? `${unit.slice(0, -1)}ies` : `${unit}s`;
  return `${count(value)} ${value === 1 ? unit : plural}`;
}

/**
 * @param {number} perSecond
 * @returns {string} `48.2/s`, from 100 on without a fraction
 */
export function rate(perSecond) {
  return `${perSecond < 100 ? tenth.format(perSecond) : whole.format(perSecond)}/s`;
}

/**
 * @param {number} milliseconds
 * @returns {string} `840 ms`, `3.4 s`, `2 min 05 s`, `1 h 02 min`
 */
export function duration(milliseconds) {
  const ms = Math.max(0, milliseconds);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${tenth.format(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** @param {number} value */
function two(value) {
  return String(value).padStart(2, "0");
}

/**
 * @param {number} milliseconds since an execution began
 * @returns {string} `+1.234`
 */
export function offset(milliseconds) {
  return `+${(Math.max(0, milliseconds) / 1000).toFixed(3)}`;
}

/**
 * @param {number} then milliseconds since 1970
 * @param {number} now the same
 * @returns {string} `just now`, `12 s ago`, `5 min ago`, then the date
 */
export function ago(then, now) {
  const seconds = Math.round((now - then) / 1000);
  if (seconds < 3) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(then).toLocaleDateString();
}

/**
 * A moment as the server writes it: RFC 3339 text, or microseconds since 1970.
 *
 * @param {string | number | undefined} moment
 * @returns {number} milliseconds since 1970, `NaN` if it is neither
 */
export function milliseconds(moment) {
  if (typeof moment === "number") return moment / 1000;
  return moment === undefined ? NaN : Date.parse(moment);
}

/**
 * An id short enough for a list, by its end: UUIDs of version 7 begin alike.
 *
 * @param {string} id
 * @returns {string}
 */
export function shortId(id) {
  return id.length > 14 ? `…${id.slice(-12)}` : id;
}

/**
 * @param {string} position `<epoch>_<sequence>`, both padded with zeros
 * @returns {number} the sequence
 */
export function sequenceOf(position) {
  return Number(position.slice(position.indexOf("_") + 1));
}

/**
 * One line of JSON, cut where it gets long.
 *
 * @param {unknown} value
 * @param {number} [limit] characters
 * @returns {string}
 */
export function brief(value, limit = 160) {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.length > limit ? `${text.slice(0, limit)}…` : text;
}
