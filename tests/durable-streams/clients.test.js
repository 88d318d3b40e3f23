// The official clients, as they come, follow a run to its end: what they get is what every other reader gets.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";
import { expect, inject, test } from "vitest";
import { readLog, start } from "../browser/harness/api.js";

const base = inject("base");
const INPUT = { prompt: "Why is a log enough?" };
const streamOf = (id) => `${base}/v1/stream/executions/${id}`;

/** The messages of one response or event, without what is around them: `[a,b]` is `a,b`. */
const inner = (text) => text.slice(1, -1);

/** Joins responses of JSON mode to the one that would hold them all. */
const whole = (responses) => `[${responses.map(inner).filter(Boolean).join(",")}]`;

/** What anybody reads who comes when the run has ended. */
async function readAll(id) {
  const responses = [];
  for (let offset = "-1"; ; ) {
    const response = await fetch(`${streamOf(id)}?offset=${offset}`);
    expect(response.status).toBe(200);
    responses.push(await response.text());
    offset = response.headers.get("stream-next-offset");
    if (response.headers.get("stream-closed") === "true") return whole(responses);
  }
}

/** What the native protocol says, byte for byte. */
async function readFrames(id) {
  const text = await (await fetch(`${base}/executions/${id}/events`)).text();
  const frames = text.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
  return `[${frames.join(",")}]`;
}

/** Says that two long texts are the same, or where they are not. */
function expectSame(got, wanted) {
  const at = [...wanted].findIndex((character, index) => character !== got[index]);
  expect(got === wanted, `${got.length} and ${wanted.length} characters, which differ at ${at}: ${got.slice(at - 80, at + 80)}`).toBe(true);
}

for (const live of ["long-poll", "sse"]) {
  test(`the npm client follows a running execution to its end by ${live}`, { timeout: 180_000 }, async () => {
    const id = await start(base, "ai-content-generation", INPUT);
    const response = await stream({ url: streamOf(id), offset: "-1", live });
    const responses = [];
    await new Promise((resolve) => {
      response.subscribeText(({ text, streamClosed }) => {
        if (text) responses.push(text);
        if (streamClosed) resolve();
      });
    });
    const got = whole(responses);
    expectSame(got, await readAll(id));
    expectSame(got, await readFrames(id));
    const entries = JSON.parse(got);
    expect(entries.map(({ sequence }) => sequence)).toEqual(entries.map((_, index) => index + 1));
    expect(entries.at(-1).payload.status).toBe("completed");
    // It came while the run went on, and not as one piece at its end.
    expect(responses.length).toBeGreaterThan(3);
  });

  test(`the Python client follows a running execution to its end by ${live}`, { timeout: 180_000 }, async () => {
    const id = await start(base, "ai-content-generation", INPUT);
    const python = process.env.STREAMNEST_PYTHON;
    if (!python) {
      throw new Error("STREAMNEST_PYTHON is not set; `python3 -m venv V && V/bin/pip install -r requirements.txt`, and set it to V/bin/python");
    }
    const follow = promisify(execFile)(python, ["follow.py", streamOf(id), live], { maxBuffer: 64 << 20, timeout: 150_000 });
    const { stdout } = await follow;
    expectSame(stdout, await readAll(id));
    expectSame(stdout, await readFrames(id));
  });
}

test("a program outside produces an execution, and native readers follow it", async () => {
  const id = `outside-${Date.now()}`;
  const handle = await DurableStream.create({ url: streamOf(id), contentType: "application/json" });
  const followed = readLog(base, id);
  const producer = new IdempotentProducer(handle, "worker", { onError: (error) => { throw error; } });
  const words = ["A", " log", " is", " enough", "."];
  for (const [index, content] of words.entries()) {
    producer.append(JSON.stringify({ type: "token", nodeId: "write", payload: { content, index } }));
  }
  producer.append(JSON.stringify({ type: "event", payload: { type: "milestone", data: { done: true } } }));
  await producer.flush();
  await producer.close();
  const entries = await followed;
  expect(entries.filter(({ type }) => type === "token").map(({ payload }) => payload.content).join("")).toBe("A log is enough.");
  expect(entries.map(({ type }) => type)).toEqual(["status", ...words.map(() => "token"), "event", "status"]);
  expect(entries.at(0).payload.status).toBe("running");
  expect(entries.at(-1).payload.status).toBe("completed");
});

test("the npm client's producer writes every message of a stream once, in order", async () => {
  const url = `${base}/v1/stream/produced-${Date.now()}`;
  const handle = await DurableStream.create({ url, contentType: "application/json" });
  const producer = new IdempotentProducer(handle, "writer", { onError: (error) => { throw error; } });
  const numbers = Array.from({ length: 500 }, (_, number) => number);
  for (const number of numbers) producer.append(JSON.stringify({ number }));
  await producer.flush();
  await producer.close();
  const items = await (await stream({ url, offset: "-1", live: false })).json();
  expect(items.map(({ number }) => number)).toEqual(numbers);
});
