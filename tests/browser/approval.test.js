// A run that asks a person: it pauses, the page is loaded anew, somebody answers, and it goes on.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { execution, readLog, start } from "./harness/api.js";
import { executionOf, openPage, startBrowser, waitForStatus } from "./harness/browser.js";
import { weakContrasts } from "./harness/contrast.js";
import { startServer } from "./harness/server.js";

const TOPIC = "The river path is closed on Monday";

describe("a run that asks", () => {
  let server, browser, opened, page;

  before(async () => {
    server = await startServer("STREAMNEST_APPROVAL");
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    opened = await openPage(browser, server.base);
    page = opened.page;
  });
  afterEach(() => opened.finish());

  it("pauses, survives a reload of the page, takes an answer and goes on", async () => {
    await page.fill("#field-topic", TOPIC);
    await page.click("#start");
    const id = await executionOf(page);
    await asked(page, "ask1");
    await page.waitForSelector('.node[data-node="review"][data-asks]');
    assert.equal(await page.textContent("#run-status"), "Waits for an answer");
    await page.waitForSelector('.status-dot[data-status="paused"]', { state: "attached" });
    assert.equal(await page.textContent(".question-about"), `Draft 1 of a notice. ${TOPIC}`);
    const draft = await page.inputValue("#ask1-text");
    assert.ok(draft.length > 20, draft);
    assert.match(await page.textContent(".question-deadline"), /left; then this counts: .*discard/);

    await page.reload();
    await asked(page, "ask1");
    assert.equal(await page.inputValue("#ask1-text"), draft, "the question is in the log, and what its form begins with");

    await page.click(".question button[type=submit]");
    assert.equal(await page.textContent("#ask1-verdict-problem"), "This field is required.");
    await page.selectOption("#ask1-verdict", { label: "rewrite" });
    await page.fill("#ask1-notes", "Say it shorter");
    await page.fill("#ask1-by", "Ada");
    await page.click(".question button[type=submit]");
    await asked(page, "ask2");
    assert.match(await page.textContent('.question-end[data-ask="ask1"]'), /Answered by Ada.*Say it shorter/);
    assert.match(await page.textContent('.question[data-ask="ask2"]'), /visit 2/);
    assert.equal(await page.inputValue("#ask2-by"), "Ada", "the name is remembered");

    await page.selectOption("#ask2-verdict", { label: "publish" });
    await page.fill("#ask2-text", "Closed on Monday.");
    await page.click(".question button[type=submit]");
    await waitForStatus(page, "completed");
    assert.equal(await page.$(".question"), null, "no form is left");
    const entries = await readLog(server.base, id);
    assert.equal(entries.at(-1).payload.result.published, "Closed on Monday.");
    const events = entries.filter(({ type }) => type === "event").map(({ payload }) => payload.type);
    assert.equal(events.filter((type) => type === "approval").length, 2);
    const answers = entries.filter(({ payload }) => payload.type === "approval_answer").map(({ payload }) => payload.data);
    assert.deepEqual(answers.map(({ ask, outcome, by }) => [ask, outcome, by]), [["ask1", "answered", "Ada"], ["ask2", "answered", "Ada"]]);

    await page.reload();
    await waitForStatus(page, "completed");
    assert.equal(await page.locator(".question-end").count(), 2, "who comes late sees who answered what");
  });

  it("shows the answer of one viewer to the others", async () => {
    const id = await start(server.base, "press-office", { topic: TOPIC });
    const address = `${server.base}/?execution=${id}`;
    const other = await openPage(browser, address);
    await page.goto(address);
    await Promise.all([asked(page, "ask1"), asked(other.page, "ask1")]);
    await other.page.selectOption("#ask1-verdict", { label: "discard" });
    await other.page.click(".question button[type=submit]");
    await Promise.all([waitForStatus(page, "completed"), waitForStatus(other.page, "completed")]);
    assert.match(await page.textContent(".question-end"), /Answered.*discard/);
    await other.finish();
  });

  it("answers over HTTP while the connection is cut", async () => {
    const id = await start(server.base, "press-office", { topic: TOPIC });
    await page.goto(`${server.base}/?execution=${id}`);
    await asked(page, "ask1");
    await page.click("#connection-switch");
    await page.waitForSelector('#connection-state[data-phase="cut"]');
    await page.selectOption("#ask1-verdict", { label: "discard" });
    await page.click(".question button[type=submit]");
    assert.equal((await readLog(server.base, id)).at(-1).payload.status, "completed");
    await page.click("#connection-switch");
    await waitForStatus(page, "completed");
  });

  it("refuses a wrong answer by the field's name, and still waits", async () => {
    const id = await start(server.base, "press-office", { topic: TOPIC });
    await page.goto(`${server.base}/?execution=${id}`);
    await asked(page, "ask1");
    for (const [answer, field] of [
      [{}, "`verdict` is missing"],
      [{ verdict: "burn" }, "`verdict`"],
      [{ verdict: "publish", notes: 7 }, "`notes`"],
      [{ verdict: "publish", note: "x" }, "`note` is not known"],
    ]) {
      const { status, body } = await signal(server.base, id, { ask: "ask1", answer });
      assert.equal(status, 422, JSON.stringify(body));
      assert.equal(body.error.code, "invalid_answer");
      assert.ok(body.error.message.includes(field), body.error.message);
    }
    const waiting = await execution(server.base, id);
    assert.equal(waiting.status, "paused");
    assert.deepEqual(waiting.waiting.map(({ ask, nodeId }) => [ask, nodeId]), [["ask1", "review"]]);
    // What the page's own checks let through is judged by the server, and its words stand in the form.
    await page.selectOption("#ask1-verdict", { label: "publish" });
    await page.evaluate(() => document.getElementById("ask1-verdict").options[1].setAttribute("value", "99"));
    await page.selectOption("#ask1-verdict", "99");
    await page.click(".question button[type=submit]");
    await page.waitForSelector('.question .alert:has-text("verdict")');
    assert.equal((await execution(server.base, id)).status, "paused");

    const right = { ask: "ask1", answer: { verdict: "discard" } };
    assert.deepEqual((await signal(server.base, id, right)).body, { executionId: id, ask: "ask1", repeated: false });
    assert.equal((await signal(server.base, id, right)).body.repeated, true);
    assert.equal((await signal(server.base, id, { ask: "ask1", answer: { verdict: "publish" } })).status, 409);
    await waitForStatus(page, "completed");
  });

  it("can be answered with the keyboard alone", async () => {
    const id = await start(server.base, "press-office", { topic: TOPIC });
    await page.goto(`${server.base}/?execution=${id}`);
    await asked(page, "ask1");
    await page.waitForFunction(() => /^The run asks: /.test(document.getElementById("announcer").textContent));
    for (let presses = 0; (await focused(page)) !== "ask1-verdict"; presses += 1) {
      assert.ok(presses < 60, "Tab does not reach the form");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.type("disc");
    assert.notEqual(await page.inputValue("#ask1-verdict"), "");
    await page.keyboard.press("Control+Enter");
    await waitForStatus(page, "completed");
    await page.waitForFunction(() => document.activeElement?.id === "run-title");
    assert.equal((await execution(server.base, id)).status, "completed");
  });

  it("cancels a run that waits", async () => {
    const id = await start(server.base, "press-office", { topic: TOPIC });
    await page.goto(`${server.base}/?execution=${id}`);
    await asked(page, "ask1");
    await page.click("#run-cancel");
    await waitForStatus(page, "cancelled");
    assert.equal(await page.$(".question"), null);
  });

  it("holds its contrast in both themes, and fits a narrow screen", async () => {
    const id = await start(server.base, "press-office", { topic: TOPIC });
    await page.goto(`${server.base}/?execution=${id}`);
    await asked(page, "ask1");
    for (const theme of ["light", "dark"]) {
      await page.check(`#theme input[value="${theme}"]`, { force: true });
      await page.reload();
      await asked(page, "ask1");
      const { checked, weak } = await page.evaluate(weakContrasts);
      assert.ok(checked > 40, `${checked} texts were looked at`);
      assert.deepEqual(weak, [], `texts below WCAG AA in the ${theme} theme`);
    }
    await page.setViewportSize({ width: 400, height: 860 });
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 400, `the page is ${width} pixels wide`);
    await page.click("#run-cancel");
    await waitForStatus(page, "cancelled");
  });
});

/**
 * Waits for the form of a question.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} ask
 */
async function asked(page, ask) {
  await waitForStatus(page, "paused");
  await page.waitForSelector(`.question[data-ask="${ask}"]`);
}

/** @param {import("playwright-core").Page} page */
function focused(page) {
  return page.evaluate(() => document.activeElement?.id);
}

/**
 * @param {string} base
 * @param {string} id
 * @param {object} body
 */
async function signal(base, id, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${base}/executions/${id}/signals`, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}
