// The "Client-Side Connection" of the manual whose promises this project keeps: its code runs unchanged.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { WebSocket } from "ws";
import { readLog, start } from "./harness/api.js";
import { startServer } from "./harness/server.js";

const CODE = await readFile(new URL("manual-client.js", import.meta.url), "utf8");

describe("the manual's client", () => {
  let server;
  before(async () => {
    server = await startServer("STREAMNEST_SERVER");
  });
  after(() => server?.stop());

  it("prints tokens, progress and events to the end", async () => {
    const id = await start(server.base, "ai-content-generation", { prompt: "A log, a cursor, a client." });
    const printed = [];
    let ended;
    const end = new Promise((resolve) => (ended = resolve));

    /** The server stands elsewhere than the manual says; and the test must know when the end came. */
    class Shim extends WebSocket {
      constructor(url) {
        assert.equal(url, "ws://localhost:8080");
        super(server.sockets);
        this.addEventListener("message", ({ data }) => {
          const frame = JSON.parse(data);
          if (frame.type === "status" && frame.payload.status !== "running") setImmediate(() => ended(this));
        });
      }
    }
    const code = CODE.replace("execution-123", id);
    assert.notEqual(code, CODE, "the id was filled in");
    new Function("WebSocket", "console", code)(Shim, { log: (...what) => printed.push(what) });
    (await end).close();

    const entries = await readLog(server.base, id);
    const of = (title) => printed.filter(([first]) => first === title).map(([, second]) => second);
    const payloads = (type) => entries.filter((entry) => entry.type === type).map((entry) => entry.payload);
    assert.deepEqual(of("Token:"), payloads("token").map(({ content }) => content));
    assert.deepEqual(of("Progress:"), payloads("progress").map(({ progress }) => `${progress}%`));
    assert.deepEqual(of("Event:"), payloads("event"));
    for (const title of ["Token:", "Progress:", "Event:"]) assert.ok(of(title).length > 2, `it printed ${title}`);
    assert.equal(printed.length, of("Token:").length + of("Progress:").length + of("Event:").length);
  });
});
