// A page of another origin, in a real browser, against a server on the same machine: it can neither start, read nor cancel.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { after, before, describe, it } from "node:test";
import { execution, executions, readLog, start } from "./harness/api.js";
import { startBrowser } from "./harness/browser.js";
import { startServer } from "./harness/server.js";

const INPUT = { prompt: "Nobody else may read this." };

describe("a page of another origin", () => {
  let server, browser, elsewhere, foreign, own, running;

  before(async () => {
    server = await startServer("STREAMNEST_SERVER");
    browser = await startBrowser();
    elsewhere = createServer((_, answer) => answer.writeHead(200, { "content-type": "text/html" }).end("<!doctype html>"));
    elsewhere.listen(0, "127.0.0.1");
    await once(elsewhere, "listening");
    foreign = await (await browser.newContext()).newPage();
    await foreign.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
    // The console's policy would stop some of this itself: the control page is one of the server's without it.
    own = await (await browser.newContext({ bypassCSP: true })).newPage();
    await own.goto(server.base);
    running = await start(server.base, "ai-content-generation", INPUT);
  });
  after(async () => {
    await browser?.close();
    elsewhere?.close();
    await server?.stop();
  });

  it("reads nothing with fetch, while the server's own page does", async () => {
    for (const path of ["/workflows", "/executions", `/executions/${running}`, `/executions/${running}/events`]) {
      assert.equal(await foreign.evaluate(read, server.base + path), "refused", path);
    }
    assert.equal(await own.evaluate(read, `${server.base}/workflows`), 200);
  });

  it("reads nothing with EventSource, while the server's own page does", async () => {
    const address = `${server.base}/executions/${running}/events`;
    assert.equal(await foreign.evaluate(listen, address), "refused");
    assert.equal(await own.evaluate(listen, address), "heard");
  });

  it("reads nothing with a WebSocket, while the server's own page does", async () => {
    const subscribe = { type: "subscribe_execution", id: "1", payload: { executionId: running } };
    for (const path of ["/ws", "/"]) {
      const asked = { address: server.sockets + path, message: JSON.stringify(subscribe) };
      assert.equal(await foreign.evaluate(connect, asked), "refused", path);
      assert.equal(await own.evaluate(connect, asked), "heard", path);
    }
  });

  it("starts nothing, with any kind of request that a page can send", async () => {
    const known = (await executions(server.base)).length;
    const address = `${server.base}/workflows/ai-content-generation/executions`;
    const body = JSON.stringify({ input: INPUT });
    for (const options of sendable(body)) await foreign.evaluate(send, { address, options });
    const message = JSON.stringify({ type: "start_execution", id: "1", payload: { workflow: "ai-content-generation", input: INPUT } });
    await foreign.evaluate(connect, { address: `${server.sockets}/ws`, message });
    assert.equal((await executions(server.base)).length, known, "no execution was added");
    assert.equal(await own.evaluate(send, { address, options: sendable(body)[0] }), 202);
    assert.equal((await executions(server.base)).length, known + 1, "the control started one");
  });

  it("cancels and deletes nothing", async () => {
    const id = await start(server.base, "ai-content-generation", INPUT);
    const address = `${server.base}/executions/${id}`;
    for (const options of sendable("{}")) await foreign.evaluate(send, { address: `${address}/cancel`, options });
    await foreign.evaluate(send, { address, options: { method: "DELETE" } });
    const message = JSON.stringify({ type: "cancel_execution", id: "1", payload: { executionId: id } });
    await foreign.evaluate(connect, { address: `${server.sockets}/ws`, message });
    assert.notEqual((await execution(server.base, id)).status, "cancelled");
    const entries = await readLog(server.base, id);
    assert.equal(entries.at(-1).payload.status, "completed", "it ran to its end");
    await foreign.evaluate(send, { address, options: { method: "DELETE" } });
    assert.equal((await execution(server.base, id)).status, "completed", "it is still there");
  });

  it("may not put the console into a frame", async () => {
    const framed = await foreign.evaluate(async (address) => {
      const frame = document.createElement("iframe");
      frame.src = address;
      const loaded = new Promise((done) => (frame.onload = done));
      document.body.append(frame);
      await loaded;
      return frame.contentWindow.length;
    }, server.base);
    const frame = foreign.frames().find((one) => one !== foreign.mainFrame());
    assert.equal(framed, 0);
    assert.equal(await frame.locator("#launcher").count(), 0, "the frame is empty");
  });

  it("is not believed when it takes the server's address under another name", async () => {
    const { hostname, port } = new URL(server.base);
    for (const [host, expected] of [[`${hostname}:${port}`, 200], [`localhost:${port}`, 200], [`rebound.example:${port}`, 403]]) {
      const asked = request({ hostname, port, path: "/workflows", headers: { host } });
      asked.end();
      const [answer] = await once(asked, "response");
      answer.resume();
      if (expected === 200) assert.equal(answer.statusCode, 200, host);
      else assert.ok(answer.statusCode >= 400 && answer.statusCode < 500, `${host}: ${answer.statusCode}`);
    }
  });
});

/** Requests with a body that a page may send elsewhere: with a preflight, without one, and as a form would. @param {string} body */
function sendable(body) {
  const types = ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
  const plain = types.map((type) => ({ method: "POST", headers: { "content-type": type }, body }));
  const blind = types.slice(1).map((type) => ({ method: "POST", mode: "no-cors", headers: { "content-type": type }, body }));
  return [...plain, ...blind, { method: "POST", mode: "no-cors", credentials: "include", body }];
}

/** Runs in the page. @param {string} address @returns {Promise<number | "refused">} */
async function read(address) {
  const leave = new AbortController();
  try {
    const answer = await fetch(address, { signal: leave.signal });
    return answer.ok ? answer.status : "refused";
  } catch {
    return "refused";
  } finally {
    leave.abort();
  }
}

/** Runs in the page. */
async function send({ address, options }) {
  try {
    return (await fetch(address, options)).status;
  } catch {
    return "refused";
  }
}

/** Runs in the page. @param {string} address @returns {Promise<"heard" | "refused">} */
function listen(address) {
  return new Promise((resolve) => {
    const source = new EventSource(address);
    const end = (how) => {
      source.close();
      resolve(how);
    };
    source.onmessage = () => end("heard");
    source.onerror = () => end("refused");
  });
}

/** Runs in the page: connects, says `message`, and tells whether any entry or answer came. */
function connect({ address, message }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(address);
    socket.onopen = () => socket.send(message);
    socket.onmessage = () => {
      socket.close();
      resolve("heard");
    };
    socket.onclose = () => resolve("refused");
  });
}
