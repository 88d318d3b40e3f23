// Ids for new executions, made here so that asking twice for a start that was not answered starts once.

/**
 * A UUID of version 7 (RFC 9562): the time in milliseconds, then chance, so that ids sort by age.
 *
 * `crypto.randomUUID` would be of version 4, and is missing on plain HTTP from another machine.
 *
 * @returns {string}
 */
export function executionId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  const now = Date.now();
  view.setUint16(0, Math.floor(now / 2 ** 32));
  view.setUint32(2, now >>> 0);
  view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x70);
  view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
