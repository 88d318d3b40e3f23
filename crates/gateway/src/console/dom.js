// Elements without markup in strings: what a run says can only ever become text.

/**
 * Makes an element. `class`, `text` and `on…` are what they say, `dataset` goes to data attributes, `true` and `false`
 * set and leave out an attribute, everything else is an attribute.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined) made.append(child);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * One of the icons that `index.html` defines.
 *
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * The element of that id, which the page has.
 *
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found;
}

/**
 * Writes `text` where it differs, so that an unchanged page costs no layout.
 *
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

let announcer = /** @type {HTMLElement | null} */ (null);

/**
 * Says `text` politely to who listens rather than looks.
 *
 * @param {string} text
 */
export function announce(text) {
  announcer ??= byId("announcer");
  setText(/** @type {HTMLElement} */ (announcer), text);
}

/**
 * Copies `text` and says on `button` that it did.
 *
 * @param {HTMLElement} button
 * @param {string} text
 */
export async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied");
    button.dataset.copied = "true";
  } catch {
    announce("The browser did not allow copying");
    button.dataset.copied = "false";
  }
  setTimeout(() => delete button.dataset.copied, 1500);
}
