// The gateway over plain HTTP, as a test asks it.

import assert from "node:assert/strict";

/**
 * @param {string} base
 * @param {string} workflow
 * @param {object} input
 * @param {string} [executionId]
 * @returns {Promise<string>} the execution's id
 */
export async function start(base, workflow, input, executionId) {
  const answer = await fetch(`${base}/workflows/${workflow}/executions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ input, executionId }),
  });
  assert.equal(answer.status, 202, await answer.clone().text());
  return (await answer.json()).executionId;
}

/**
 * @param {string} base
 * @param {string} id
 */
export async function execution(base, id) {
  const answer = await fetch(`${base}/executions/${encodeURIComponent(id)}`);
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

/** @param {string} base */
export async function executions(base) {
  return (await (await fetch(`${base}/executions`)).json()).executions;
}

/**
 * The names of a workflow's nodes.
 *
 * @param {string} base
 * @param {string} workflow
 * @returns {Promise<string[]>}
 */
export async function nodesOf(base, workflow) {
  const { graph } = await (await fetch(`${base}/workflows/${workflow}`)).json();
  return graph.nodes.map(({ name }) => name);
}

/** The sequence of a position. @param {string} position */
export function sequenceOf(position) {
  return Number(position.split("_")[1]);
}

/**
 * Reads an execution's log over SSE to its end.
 *
 * @param {string} base
 * @param {string} id
 * @returns {Promise<any[]>} its entries
 */
export async function readLog(base, id) {
  const answer = await fetch(`${base}/executions/${encodeURIComponent(id)}/events`);
  assert.equal(answer.status, 200);
  const entries = [];
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of answer.body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) entries.push(JSON.parse(line.slice(6)));
    const last = entries.at(-1);
    // Leaving the loop lets go of the connection.
    if (last?.type === "status" && last.payload.status !== "running") return entries;
  }
  throw new Error(`the log of ${id} ended after ${entries.length} entries without a terminal one`);
}

/**
 * The texts of a log, one per model call.
 *
 * @param {any[]} entries
 * @returns {Record<string, string>} by `node/visit/attempt/message`
 */
export function texts(entries) {
  const found = {};
  for (const { type, nodeId, payload } of entries) {
    if (type !== "token") continue;
    const key = [nodeId, payload.visit, payload.attempt, payload.message].join("/");
    found[key] = (found[key] ?? "") + payload.content;
  }
  return found;
}
