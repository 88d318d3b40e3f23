// Why there is no answer, and when to ask again.

/** An answer that says no. */
export class Refusal extends Error {
  /** @param {{code?: string, message?: string, retryable?: boolean, retryAfterMs?: number}} error */
  constructor(error) {
    super(error.message ?? "the server refused without a reason");
    this.code = error.code ?? "unknown";
    this.retryable = error.retryable ?? false;
    /** When the same may succeed, in milliseconds from now; 0 if the server does not say. */
    this.retryAfterMs = error.retryAfterMs ?? 0;
  }
}

/** There is no connection to ask over, or it broke before the answer. */
export class Disconnected extends Error {}

/**
 * The `retryAfterMs` that a close reason may name.
 *
 * @param {string} reason
 * @returns {number} milliseconds, 0 if it names none
 */
export function askedDelay(reason) {
  const found = /retryAfterMs\D{0,4}(\d+)/.exec(reason);
  return found ? Number(found[1]) : 0;
}
