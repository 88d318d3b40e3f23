// Standard clients, each with its own idea of the protocols: npm `ws` and npm `eventsource`.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { EventSource } from "eventsource";
import { WebSocket } from "ws";
import { readLog, start } from "./harness/api.js";
import { startServer } from "./harness/server.js";

const PROMPT = { prompt: "Two clients read one log." };

describe("standard clients", () => {
  let server;
  before(async () => {
    server = await startServer("STREAMNEST_SERVER");
  });
  after(() => server?.stop());

  it("follow a run over WebSocket and SSE and get equal bytes", async () => {
    const id = await start(server.base, "ai-content-generation", PROMPT);
    const [sockets, live, late] = await Promise.all([
      overWebSocket(server.sockets, id),
      overEventSource(server.base, id),
      overEventSource(server.base, id).then(() => overEventSource(server.base, id)),
    ]);
    assert.ok(sockets.length > 20, `${sockets.length} entries`);
    assert.deepEqual(live, sockets);
    assert.deepEqual(late, sockets, "who comes late reads the same");
    assert.deepEqual(sockets.map((text) => JSON.parse(text)), await readLog(server.base, id));
    sockets.forEach((text, index) => assert.equal(JSON.parse(text).sequence, index + 1));
  });

  it("follow a run whose id has a colon", async () => {
    const id = "team:writing~1.2";
    assert.equal(await start(server.base, "ai-content-generation", PROMPT, id), id);
    const [sockets, events] = await Promise.all([overWebSocket(server.sockets, id), overEventSource(server.base, id)]);
    assert.deepEqual(events, sockets);
    assert.ok(sockets.every((text) => JSON.parse(text).executionId === id));
  });

  it("go on from any position over either", async () => {
    const id = await start(server.base, "ai-content-generation", PROMPT);
    const all = await overWebSocket(server.sockets, id);
    const middle = JSON.parse(all[Math.floor(all.length / 2)]);
    const rest = all.slice(middle.sequence);
    assert.deepEqual(await overWebSocket(server.sockets, id, { from: middle.position }), rest);
    assert.deepEqual(await overEventSource(server.base, id, `?from=${middle.position}`), rest);
  });

  it("resume over SSE by the id of the last event", async () => {
    const id = await start(server.base, "ai-content-generation", PROMPT);
    const all = await overEventSource(server.base, id);
    const { position, sequence } = JSON.parse(all[4]);
    const answer = await fetch(events(server.base, id), { headers: { "last-event-id": position } });
    assert.match(answer.headers.get("content-type"), /^text\/event-stream/);
    const read = (await answer.text()).split("\n").filter((line) => line.startsWith("data: "));
    assert.deepEqual(read.map((line) => line.slice(6)), all.slice(sequence));
    const sealed = JSON.parse(all.at(-1)).position;
    assert.equal((await fetch(events(server.base, id), { headers: { "last-event-id": sealed } })).status, 204);
  });

  it("never see the entries of another run", async () => {
    const [one, other] = await Promise.all([1, 2].map(() => start(server.base, "ai-content-generation", PROMPT)));
    const [first, second] = await Promise.all([overWebSocket(server.sockets, one), overEventSource(server.base, other)]);
    assert.ok(first.every((text) => JSON.parse(text).executionId === one));
    assert.ok(second.every((text) => JSON.parse(text).executionId === other));
  });
});

/**
 * @param {string} base
 * @param {string} id
 */
function events(base, id) {
  return `${base}/executions/${encodeURIComponent(id)}/events`;
}

/** @param {string} text of a frame */
function isEnd(text) {
  const { type, payload } = JSON.parse(text);
  return type === "status" && payload.status !== "running";
}

/**
 * The text of every entry, to the end of the run.
 *
 * @param {string} base
 * @param {string} executionId
 * @param {object} [more] fields of the subscription
 * @returns {Promise<string[]>}
 */
function overWebSocket(base, executionId, more = {}) {
  return new Promise((resolve, reject) => {
    const entries = [];
    const socket = new WebSocket(`${base}/ws`);
    socket.on("open", () => {
      socket.send(JSON.stringify({ type: "subscribe_execution", id: "1", payload: { executionId, ...more } }));
    });
    socket.on("message", (data, isBinary) => {
      const text = String(data);
      const frame = JSON.parse(text);
      if (isBinary || frame.type === "error") reject(new Error(`unexpected: ${text}`));
      if (frame.sequence === undefined) return;
      entries.push(text);
      if (!isEnd(text)) return;
      socket.close();
      resolve(entries);
    });
    socket.on("error", reject);
    socket.on("close", (code) => reject(new Error(`closed with ${code} after ${entries.length} entries`)));
  });
}

/**
 * The same over SSE.
 *
 * @param {string} base
 * @param {string} id
 * @param {string} [query]
 * @returns {Promise<string[]>}
 */
function overEventSource(base, id, query = "") {
  return new Promise((resolve, reject) => {
    const entries = [];
    const source = new EventSource(events(base, id) + query);
    source.onmessage = ({ data, lastEventId }) => {
      const { position, sequence } = JSON.parse(data);
      if (sequence === undefined) return;
      if (lastEventId !== position) reject(new Error(`id ${lastEventId} is not the position ${position}`));
      entries.push(data);
      if (!isEnd(data)) return;
      source.close();
      resolve(entries);
    };
    source.onerror = (error) => {
      source.close();
      reject(new Error(`after ${entries.length} entries: ${error.code ?? ""} ${error.message ?? ""}`));
    };
  });
}
