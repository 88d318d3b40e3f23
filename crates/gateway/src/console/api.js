// The gateway over plain HTTP: what there is to run, what runs, and the two commands that also work without a socket.

import { access } from "./access.js";
import { Refusal } from "./refusal.js";

/** Where the gateway is mounted: this module lies in its `console/`. */
export const BASE = new URL("../", import.meta.url);

/**
 * @typedef {object} Workflow
 * @property {string} name
 * @property {string} [description]
 * @property {any} inputSchema
 * @property {{nodes?: {name: string, kind?: string}[]}} graph
 *
 * @typedef {object} Execution
 * @property {string} executionId
 * @property {string} workflow
 * @property {"running" | "paused" | "completed" | "failed" | "cancelled"} status
 * @property {string | number} startedAt
 * @property {string} last
 * @property {import("./questions.js").Question[]} [waiting] the open questions; not in lists
 */

/** @returns {URL} where the WebSocket is */
export function socketUrl() {
  const url = new URL("ws", BASE);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

/** @returns {Promise<Workflow[]>} */
export async function workflows() {
  const answer = await get("workflows");
  return answer.workflows;
}

/**
 * @param {string} name
 * @returns {Promise<Workflow>}
 */
export function workflow(name) {
  return get(`workflows/${encodeURIComponent(name)}`);
}

/** @returns {Promise<Execution[]>} the newest */
export async function executions() {
  const answer = await get("executions?limit=12");
  return answer.executions;
}

/**
 * @param {string} id
 * @returns {Promise<Execution>}
 */
export function execution(id) {
  return get(`executions/${encodeURIComponent(id)}`);
}

/**
 * @param {string} name
 * @param {unknown} input
 * @param {string} executionId
 * @returns {Promise<{executionId: string}>}
 */
export function start(name, input, executionId) {
  return post(`workflows/${encodeURIComponent(name)}/executions`, { input, executionId });
}

/**
 * @param {string} id
 * @param {string} reason
 */
export function cancel(id, reason) {
  return post(`executions/${encodeURIComponent(id)}/cancel`, { reason });
}

/**
 * Answers a question.
 *
 * @param {string} id
 * @param {{ask: string, answer: unknown, by?: string}} signal
 */
export function signal(id, signal) {
  return post(`executions/${encodeURIComponent(id)}/signals`, signal);
}

/** @param {string} path */
function get(path) {
  return answerOf(fetch(new URL(path, BASE), { headers: headers() }));
}

/**
 * @param {string} path
 * @param {object} body
 */
function post(path, body) {
  const sent = { ...headers(), "content-type": "application/json" };
  return answerOf(fetch(new URL(path, BASE), { method: "POST", headers: sent, body: JSON.stringify(body) }));
}

/** @returns {Record<string, string>} */
function headers() {
  const { token } = access;
  return token === null ? { accept: "application/json" } : { accept: "application/json", authorization: `Bearer ${token}` };
}

/**
 * @param {Promise<Response>} asked
 * @returns {Promise<any>}
 */
async function answerOf(asked) {
  /** @type {Response} */ let response;
  try {
    response = await asked;
  } catch {
    throw new Refusal({ code: "unreachable", message: "the server cannot be reached", retryable: true });
  }
  const body = await response.json().catch(() => null);
  if (response.ok) return body ?? {};
  if (response.status === 401) access.need(askFor(body?.error?.message), true);
  throw new Refusal(body?.error ?? { code: `http_${response.status}`, message: `the server answered ${response.status}` });
}

/** @param {string} [message] what the server says about the token that was sent */
function askFor(message) {
  return access.token === null ? "This server asks who you are." : `The server says: ${message ?? "the token is not taken"}`;
}
