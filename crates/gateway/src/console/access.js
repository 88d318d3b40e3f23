// The token by which this page shows who it is. It stays in this tab: it is gone with it, and no other page reads it.

const KEY = "streamnest-token";

/**
 * Dispatches `change` when there is another token or none, and `need` when the server asks for one; {@link Access.reason}
 * says why.
 */
export class Access extends EventTarget {
  /** @type {string | null} */ #token = sessionStorage.getItem(KEY);
  /** Why a token is needed; empty if none is. */
  reason = "";
  /** Whose token is taken; empty if that is not known. */
  subject = "";
  /** Whether nothing can be asked without another token. */
  isShut = false;

  get token() {
    return this.#token;
  }

  /** @param {string} token */
  use(token) {
    this.#token = token;
    sessionStorage.setItem(KEY, token);
    this.#changed();
  }

  forget() {
    this.#token = null;
    this.subject = "";
    sessionStorage.removeItem(KEY);
    this.#changed();
  }

  /**
   * @param {string} subject whose token the server took
   */
  taken(subject) {
    this.subject = subject;
    this.reason = "";
    this.isShut = false;
    this.dispatchEvent(new Event("need"));
  }

  /**
   * @param {string} reason
   * @param {boolean} isShut whether nothing can be asked until then
   */
  need(reason, isShut) {
    if (this.reason === reason && this.isShut === isShut) return;
    this.reason = reason;
    this.isShut = isShut;
    this.dispatchEvent(new Event("need"));
  }

  #changed() {
    this.reason = "";
    this.isShut = false;
    this.dispatchEvent(new Event("change"));
  }
}

/** The one of this page. */
export const access = new Access();
