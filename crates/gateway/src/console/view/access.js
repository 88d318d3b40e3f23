// Where a token is typed in, and whose is in use. Hidden on a server that asks nobody.

import { announce, byId, setText } from "../dom.js";

export class AccessView {
  #card = byId("access");
  #form = /** @type {HTMLFormElement} */ (byId("access-form"));
  #input = /** @type {HTMLInputElement} */ (byId("access-token"));
  #reason = byId("access-reason");
  #known = byId("access-known");

  /** @param {import("../access.js").Access} access */
  constructor(access) {
    this.access = access;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = this.#input.value.trim();
      if (token === "") return;
      // It is not to be read off the page later.
      this.#input.value = "";
      access.use(token);
    });
    byId("access-forget").addEventListener("click", () => access.forget());
    access.addEventListener("need", () => this.#draw());
    access.addEventListener("change", () => this.#draw());
  }

  #draw() {
    const { reason, subject, token } = this.access;
    this.#card.hidden = reason === "" && token === null;
    this.#form.hidden = reason === "" && subject !== "";
    this.#reason.hidden = reason === "";
    setText(this.#reason, reason);
    this.#known.hidden = subject === "";
    setText(byId("access-subject"), subject);
    if (reason !== "") announce(reason);
  }
}
