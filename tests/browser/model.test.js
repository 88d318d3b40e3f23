// The console's own ideas, apart from any page: its books, its schema reader, its figures.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as format from "../../crates/gateway/src/console/format.js";
import { Ledger, Resume } from "../../crates/gateway/src/console/ledger.js";
import { Run } from "../../crates/gateway/src/console/run.js";
import { Questions } from "../../crates/gateway/src/console/questions.js";
import { fieldsOf, read, wholeOf, written } from "../../crates/gateway/src/console/schema.js";

const EPOCH = "0000000000000001";
const START = Date.parse("2026-11-21T06:00:00Z");

/** An entry at a place. */
function entry(sequence, type, payload, nodeId) {
  const position = `${EPOCH}_${String(sequence).padStart(16, "0")}`;
  const timestamp = new Date(START + sequence * 10).toISOString();
  return { type, executionId: "e1", nodeId, sequence, position, timestamp, payload };
}

function token(sequence, content, more = {}) {
  const payload = { content, index: 0, count: 1, visit: 1, attempt: 1, message: "m1", ...more };
  return entry(sequence, "token", payload, "write");
}

describe("the ledger", () => {
  it("counts what is lost, doubled and told", () => {
    const ledger = new Ledger();
    for (const sequence of [1, 2, 2, 5]) ledger.take(token(sequence, "x"));
    assert.deepEqual(ledger.mark(), { last: 5, received: 3, lost: 2, doubled: 1, told: 0 });
    ledger.skip({ from: 6, to: 9, reason: "trimmed", position: `${EPOCH}_0000000000000009` });
    assert.equal(ledger.take(token(10, "x")), true);
    assert.deepEqual(ledger.mark(), { last: 10, received: 4, lost: 2, doubled: 1, told: 4 });
    assert.equal(ledger.position, `${EPOCH}_0000000000000010`);
  });

  it("begins anew with another incarnation of the log", () => {
    const ledger = new Ledger();
    for (const sequence of [1, 2, 3]) ledger.take(token(sequence, "x"));
    ledger.skip({ from: 0, to: 0, reason: "epoch", position: "0000000000000002_0000000000000000" });
    assert.equal(ledger.take(token(1, "y")), true);
    assert.equal(ledger.doubled, 0);
  });

  it("keeps the account of a resume apart from what was before and after", () => {
    const ledger = new Ledger();
    ledger.take(token(1, "x"));
    ledger.take(token(3, "x"));
    const resume = new Resume(ledger, 500);
    resume.knowHead(`${EPOCH}_0000000000000005`);
    ledger.take(token(4, "x"));
    assert.equal(resume.tally.caughtUp, false);
    ledger.take(token(5, "x"));
    ledger.take(token(5, "x"));
    resume.end();
    ledger.take(token(9, "x"));
    assert.deepEqual(resume.tally, { from: 3, received: 2, lost: 0, doubled: 1, told: 0, missed: 2, caughtUp: true });
  });
});

describe("a run", () => {
  it("keeps loops, retries and parallel messages apart", () => {
    const run = new Run("e1", "w");
    run.take(token(1, "a"));
    run.take(token(2, "b", { message: "m2" }));
    run.take(token(3, "c"));
    run.take(token(4, "d", { visit: 2 }));
    run.take(token(5, "e", { visit: 2, attempt: 2 }));
    const shown = [...run.messages.values()].map(({ key, pieces }) => [key, pieces.join("")]);
    assert.deepEqual(shown, [["write/1/1/m1", "ac"], ["write/1/1/m2", "b"], ["write/2/1/m1", "d"], ["write/2/2/m1", "e"]]);
    assert.equal(run.tokens, 5);
  });

  it("follows its nodes through visits to the end", () => {
    const run = new Run("e1", "w");
    run.expect([{ name: "write", kind: "llm" }, { name: "check", kind: "condition" }]);
    const states = () => [...run.nodes.values()].map(({ name, state, visit }) => `${name} ${state} ${visit}`);
    run.take(entry(1, "status", { status: "running" }));
    run.take(entry(2, "event", { type: "node_start", data: { visit: 1 } }, "write"));
    run.take(entry(3, "progress", { progress: 100, visit: 1, attempt: 1 }, "write"));
    assert.deepEqual(states(), ["write done 1", "check waiting 0"]);
    run.take(entry(4, "event", { type: "node_complete", data: { visit: 1 } }, "write"));
    run.take(entry(5, "event", { type: "node_start", data: {} }, "check"));
    run.take(entry(6, "event", { type: "node_start", data: { visit: 2 } }, "write"));
    assert.equal(run.nodes.get("write").progress, null, "a new visit has its own progress");
    assert.deepEqual(states(), ["write running 2", "check running 1"]);
    run.take(entry(7, "status", { status: "failed", error: { code: "x", message: "y" } }));
    assert.deepEqual(states(), ["write failed 2", "check failed 1"]);
    assert.equal(run.isOver, true);
    assert.equal(run.elapsed(), 60);
  });

  it("follows a node that says nothing but progress and its tool", () => {
    const run = new Run("e1", "w");
    const state = () => `${run.nodes.get("count").state} ${run.nodes.get("count").visit}`;
    const seen = [];
    for (const [type, payload] of [
      ["event", { type: "tool_start", data: {} }],
      ["progress", { progress: 40, visit: 1, attempt: 1 }],
      ["progress", { progress: 100, visit: 1, attempt: 1 }],
      ["event", { type: "tool_complete", data: {} }],
      ["progress", { progress: 0, visit: 2, attempt: 1 }],
      ["progress", { progress: 30, outcome: "failed", visit: 2, attempt: 1 }],
    ]) {
      run.take(entry(seen.length + 1, type, payload, "count"));
      seen.push(state());
    }
    assert.deepEqual(seen, ["running 1", "running 1", "done 1", "done 1", "running 2", "failed 2"]);
  });

  it("voids the texts of an attempt that is tried again", () => {
    const run = new Run("e1", "w");
    run.take(token(1, "half a sen"));
    run.take(entry(2, "event", { type: "node_retry", data: {} }, "write"));
    run.take(token(3, "whole", { attempt: 2 }));
    assert.deepEqual([...run.messages.values()].map((message) => message.void), [true, false]);
  });

  it("holds a bounded number of entries", () => {
    const run = new Run("e1", "w");
    for (let sequence = 1; sequence <= 20_000; sequence += 1) run.take(token(sequence, "x"));
    assert.ok(run.records.length <= 6000, `${run.records.length} entries`);
    assert.equal(run.records.at(-1).sequence, 20_000);
    assert.equal(run.counts.token, 20_000);
  });
});

describe("the schema reader", () => {
  const schema = {
    type: "object",
    required: ["prompt", "count", "mode"],
    properties: {
      prompt: { type: "string", description: "What to write about." },
      count: { type: "integer", minimum: 1, maximum: 10 },
      mode: { $ref: "#/$defs/Mode" },
      share: { type: ["number", "null"], exclusiveMinimum: 0 },
      loud: { type: "boolean", default: false },
      tags: { type: "array", items: { type: "string" } },
      other: { anyOf: [{ $ref: "#/$defs/Other" }, { type: "null" }] },
      loop: { $ref: "#/properties/loop" },
    },
    $defs: {
      Mode: { oneOf: [{ const: "slow", description: "takes its time" }, { const: "fast" }] },
      Other: { type: "object", properties: {} },
    },
  };
  const fields = Object.fromEntries(fieldsOf(schema).map((field) => [field.name, field]));

  it("finds the kind of every field", () => {
    const kinds = Object.fromEntries(Object.values(fields).map(({ name, kind }) => [name, kind]));
    assert.deepEqual(kinds, {
      prompt: "long-text", count: "integer", mode: "choice", share: "number", loud: "boolean", tags: "json", other: "json", loop: "json",
    });
    assert.deepEqual(fields.mode.choices, ["slow", "fast"]);
    assert.deepEqual(Object.values(fields).filter(({ required }) => required).map(({ name }) => name), ["prompt", "count", "mode"]);
    assert.equal(fields.other.shape, "object");
    assert.equal(fieldsOf({ type: "string" }), null);
    assert.equal(fieldsOf(true), null);
  });

  it("reads what was typed, or says what is wrong", () => {
    const cases = [
      ["prompt", "Hello", { value: "Hello" }],
      ["prompt", "", { problem: "This field is required." }],
      ["count", " 7 ", { value: 7 }],
      ["count", "7.5", { problem: "A whole number, please." }],
      ["count", "11", { problem: "At most 10, please." }],
      ["count", "seven", { problem: "This is not a number." }],
      ["mode", "1", { value: "fast" }],
      ["share", "0", { problem: "More than 0, please." }],
      ["share", "", {}],
      ["loud", "true", { value: true }],
      ["tags", '["a"]', { value: ["a"] }],
      ["tags", "{}", { problem: "A JSON array, please: [ … ]" }],
      ["other", "[]", { problem: "A JSON object, please: { … }" }],
    ];
    for (const [name, text, expected] of cases) assert.deepEqual(read(fields[name], text), expected, `${name}: ${text}`);
    assert.match(read(fields.tags, "[").problem, /not JSON/);
  });
});

describe("figures", () => {
  it("read well", () => {
    assert.equal(format.counted(1, "entry"), "1 entry");
    assert.equal(format.counted(1234, "entry"), "1,234 entries");
    assert.deepEqual([0, 999, 3350, 59_999, 125_000, 3_720_000].map(format.duration), ["0 ms", "999 ms", "3.4 s", "1 min 00 s", "2 min 05 s", "1 h 02 min"]);
    assert.equal(format.rate(48.25), "48.3/s");
    assert.equal(format.sequenceOf("0000000000000003_0000000000000042"), 42);
    assert.equal(format.milliseconds(1_700_000_000_000_000), 1_700_000_000_000);
    assert.equal(format.milliseconds("2026-11-21T06:00:00.000042Z"), START);
  });
});

describe("what a run asks", () => {
  const question = (ask) => ({ ask, nodeId: "review", visit: 1, question: `${ask}?`, schema: true });
  const asks = (ask) => ({ type: "approval", data: question(ask) });
  const ends = (ask, outcome = "answered") => ({ type: "approval_answer", data: { ask, outcome, answer: true, by: "Ada" } });

  it("is open from its question to its answer", () => {
    const questions = new Questions();
    questions.take(asks("ask1"));
    questions.take(asks("ask2"));
    questions.take({ type: "node_start", data: {} });
    assert.deepEqual([...questions.open.keys()], ["ask1", "ask2"]);
    questions.take(ends("ask1"));
    assert.deepEqual([...questions.open.keys()], ["ask2"]);
    assert.deepEqual(questions.ended.map(({ question, end }) => [question.question, end.by]), [["ask1?", "Ada"]]);
    questions.close();
    assert.equal(questions.open.size, 0);
  });

  it("is learnt from the server where the log no longer has it, and never undoes what the log said", () => {
    const questions = new Questions();
    questions.take(asks("ask2"));
    questions.take(ends("ask2"));
    questions.take(ends("ask3"));
    questions.learn([question("ask1"), question("ask2"), question("ask3")]);
    assert.deepEqual([...questions.open.keys()], ["ask1"]);
    questions.take(ends("ask1", "withdrawn"));
    assert.equal(questions.open.size, 0);
  });

  it("pauses a run that goes on, and no other", () => {
    const run = new Run("e1", "w");
    run.take(entry(1, "status", { status: "running" }));
    assert.equal(run.state, "running");
    run.take(entry(2, "event", asks("ask1"), "review"));
    assert.equal(run.state, "paused");
    run.take(entry(3, "event", ends("ask1"), "review"));
    assert.equal(run.state, "running");
    run.take(entry(4, "event", asks("ask2"), "review"));
    run.take(entry(5, "status", { status: "cancelled" }));
    assert.equal(run.state, "cancelled");
    assert.equal(run.questions.open.size, 0);
  });

  it("has a form also where the answer is no object", () => {
    assert.equal(wholeOf({ type: "boolean" }, "Answer").kind, "boolean");
    assert.equal(wholeOf({ title: "Price", type: "number" }, "Answer").label, "Price");
    assert.equal(wholeOf({ type: "array" }, "Answer").kind, "json");
    assert.deepEqual(wholeOf({ $ref: "#/$defs/v", $defs: { v: { enum: ["a", "b"] } } }, "Answer").choices, ["a", "b"]);
  });

  it("writes what a form begins with as it would be typed", () => {
    const choice = { kind: "choice", choices: ["a", "b"] };
    for (const [field, value, text] of [
      [choice, "b", "1"], [choice, "c", "-1"], [{ kind: "text" }, "x", "x"], [{ kind: "integer" }, 7, "7"],
      [{ kind: "boolean" }, false, "false"], [{ kind: "json" }, [1], "[\n  1\n]"],
    ]) assert.equal(written(field, value), text);
  });
});
