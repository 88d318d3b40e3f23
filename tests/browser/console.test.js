// The console against the real server: what a person does on it, and what they then see.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { execution, nodesOf, readLog, sequenceOf, start, texts } from "./harness/api.js";
import {
  executionOf,
  openPage,
  startBrowser,
  startRun,
  textsOn,
  waitForStatus,
  waitForTokens,
} from "./harness/browser.js";
import { weakContrasts } from "./harness/contrast.js";
import { startServer } from "./harness/server.js";

const PROMPT = "Explain in plain words why an execution is a log and a client is a cursor.";
const IMAGES = new URL("../../docs/images/", import.meta.url);

describe("the console", () => {
  let server, browser, opened, page;

  before(async () => {
    server = await startServer("STREAMNEST_SERVER");
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
  // No test may leave a console error, an uncaught exception or a violation of the policy behind.
  afterEach(() => opened.finish());

  it("shows a run from its start to completed", async () => {
    const id = await startRun(page, PROMPT);
    await waitForTokens(page, 1);
    const first = await shownTokens(page);
    await waitForTokens(page, first + 5);
    assert.equal(await page.getAttribute("#run-status", "data-status"), "running", "tokens grow while it runs");
    await page.waitForSelector('.node .bar[aria-valuenow]:not([aria-valuenow="0"])');
    await page.waitForSelector('#events li[data-type="event"]');
    await page.waitForSelector('#events li[data-type="progress"]');
    await waitForStatus(page, "completed");

    const entries = await readLog(server.base, id);
    assert.deepEqual(await textsOn(page), texts(entries), "every text on the page is the text in the log");
    const nodes = await nodesOf(server.base, "ai-content-generation");
    assert.equal(nodes.length, 3);
    for (const node of nodes) {
      assert.equal(await page.getAttribute(`.node[data-node="${node}"]`, "data-state"), "done", `${node} is done`);
    }
    assert.equal(await page.textContent("#stat-integrity"), "lost=0 doubled=0");
    assert.equal(await page.textContent("#stat-entries"), new Intl.NumberFormat("en").format(entries.length));
    assert.equal(await page.isVisible("#run-cancel"), false, "what is over cannot be cancelled");
    const result = await page.textContent("#result-body");
    assert.ok(result.includes(PROMPT), `the result holds the state: ${result}`);
    await page.waitForSelector(`.history-link[data-execution="${id}"]`);
  });

  it("resumes where the connection was cut, with nothing lost or doubled", async () => {
    const id = await startRun(page, PROMPT);
    await waitForTokens(page, 3);
    await page.click("#connection-switch");
    await page.waitForSelector('#connection-state[data-phase="cut"]');
    const seen = await shownEntries(page);
    await until(async () => sequenceOf((await execution(server.base, id)).last) >= seen + 10, "the run goes on unseen");
    assert.equal(await shownEntries(page), seen, "a cut page hears nothing");
    await page.click("#connection-switch");

    const resume = await page.waitForSelector('.resume[data-from]:has-text("all caught up")');
    assert.match(await resume.textContent(), /lost=0 doubled=0/);
    assert.equal(Number(await resume.getAttribute("data-from")), seen);
    assert.match(await page.textContent(".resume-position"), new RegExp(`_0*${seen}$`), "it names the position it resumed from");
    await waitForStatus(page, "completed");
    const entries = await readLog(server.base, id);
    assert.deepEqual(await textsOn(page), texts(entries));
    assert.equal(Number(await resume.getAttribute("data-received")), entries.length - seen, "it counts what came since");
    assert.equal(await page.textContent("#stat-integrity"), "lost=0 doubled=0");
    await screenshots(page);
  });

  it("follows a run through several cuts", async () => {
    const id = await startRun(page, PROMPT);
    for (let round = 1; round <= 4; round += 1) {
      await waitForTokens(page, round * 3);
      await page.click("#connection-switch");
      await page.waitForSelector('#connection-state[data-phase="cut"]');
      await page.click("#connection-switch");
      await page.waitForFunction((rounds) => document.querySelectorAll(".resume").length >= rounds, round);
    }
    await waitForStatus(page, "completed");
    assert.deepEqual(await textsOn(page), texts(await readLog(server.base, id)));
    assert.equal(await page.textContent("#stat-integrity"), "lost=0 doubled=0");
    for (const row of await page.$$eval(".resume .proof", (rows) => rows.map((row) => row.textContent))) {
      assert.equal(row, "lost=0 doubled=0");
    }
  });

  it("opens the same run in a second tab, with the same text", async () => {
    const id = await startRun(page, PROMPT);
    await waitForTokens(page, 3);
    const [second] = await Promise.all([page.context().waitForEvent("page"), page.click("#run-link")]);
    assert.equal(await executionOf(second), id);
    await Promise.all([waitForStatus(page, "completed"), waitForStatus(second, "completed")]);
    const expected = texts(await readLog(server.base, id));
    assert.deepEqual(await textsOn(page), expected);
    assert.deepEqual(await textsOn(second), expected);
    assert.equal(await second.textContent("#stat-integrity"), "lost=0 doubled=0");
  });

  it("cancels a run", async () => {
    const id = await startRun(page, PROMPT);
    await waitForTokens(page, 2);
    await page.click("#run-cancel");
    await waitForStatus(page, "cancelled");
    assert.match(await page.textContent("#result-body"), /cancelled in the console/);
    const entries = await readLog(server.base, id);
    assert.equal(entries.at(-1).payload.status, "cancelled");
    assert.deepEqual(await textsOn(page), texts(entries), "what came before the cancel stays");
  });

  it("starts and cancels over HTTP while the connection is cut", async () => {
    const first = await startRun(page, PROMPT);
    await waitForTokens(page, 2);
    await page.click("#connection-switch");
    await page.waitForSelector('#connection-state[data-phase="cut"]');
    await page.click("#run-cancel");
    assert.equal((await readLog(server.base, first)).at(-1).payload.status, "cancelled");
    await page.click("#start");
    await page.waitForFunction((before) => new URLSearchParams(location.search).get("execution") !== before, first);
    const second = await executionOf(page);
    assert.equal((await execution(server.base, second)).workflow, "ai-content-generation");
    assert.equal(await page.textContent("#run-status"), "Connecting", "a cut page hears nothing of it");
    await page.click("#connection-switch");
    await waitForStatus(page, "completed");
    assert.deepEqual(await textsOn(page), texts(await readLog(server.base, second)));
  });

  it("can be used with the keyboard alone", async () => {
    await page.waitForSelector("#field-prompt");
    await page.keyboard.press("Tab");
    assert.match(await focused(page), /skip/, "the first stop skips to the run");
    await tabTo(page, "workflow");
    await page.keyboard.type("ai-content");
    assert.equal(await page.inputValue("#workflow"), "ai-content-generation");
    await tabTo(page, "field-prompt");
    await page.keyboard.type(PROMPT);
    assert.notEqual(await outline(page), "0px", "the focus can be seen");
    await page.keyboard.press("Control+Enter");
    const id = await executionOf(page);
    await page.waitForFunction(() => document.activeElement?.id === "run-title");
    await waitForTokens(page, 1);
    await tabTo(page, "connection-switch");
    await page.keyboard.press("Space");
    await page.waitForSelector('#connection-switch[aria-checked="false"]');
    await page.keyboard.press("Space");
    await page.waitForSelector('.resume:has-text("lost=0 doubled=0")');
    await tabTo(page, "run-cancel", "Shift+Tab");
    await page.keyboard.press("Enter");
    await waitForStatus(page, "cancelled");
    assert.equal((await readLog(server.base, id)).at(-1).payload.status, "cancelled");
    await page.waitForFunction(() => document.getElementById("announcer").textContent === "Run cancelled");
  });

  it("says what is missing before it starts anything", async () => {
    await page.selectOption("#workflow", "ai-content-generation");
    await page.click("#start");
    assert.equal(await page.textContent("#field-prompt-problem"), "This field is required.");
    assert.equal(await page.getAttribute("#field-prompt", "aria-invalid"), "true");
    assert.match(await focused(page), /field-prompt/);
    assert.equal(new URL(page.url()).search, "", "nothing was started");
    await page.fill("#field-prompt", "Now it is there.");
    assert.equal(await page.isVisible("#field-prompt-problem"), false);
  });

  it("keeps what was typed when the same workflow is chosen again", async () => {
    await page.fill("#field-prompt", "Half a thought");
    await page.selectOption("#workflow", "ai-content-generation");
    await page.dispatchEvent("#workflow", "change");
    assert.equal(await page.inputValue("#field-prompt"), "Half a thought");
    assert.equal(await page.isEnabled("#start"), true);
  });

  it("writes markup as text", async () => {
    const markup = '<img src=x onerror="document.title=1"><script>document.title=2</script><b>bold</b>';
    await startRun(page, markup);
    await waitForStatus(page, "completed");
    assert.ok((await page.textContent("#result-body")).includes(markup));
    assert.equal(await page.$("#run :is(b, script, img)"), null, "no element was made from it");
    assert.match(await page.title(), /Streamnest console/);
  });

  it("filters its list of entries, and opens one", async () => {
    await startRun(page, PROMPT);
    await waitForStatus(page, "completed");
    await page.click('.chip[data-class="token"]');
    await page.waitForSelector('#events li[data-type="token"]');
    for (const other of ["status", "event", "progress"]) await page.click(`.chip[data-class="${other}"]`);
    assert.deepEqual(await shownTypes(page), ["token"]);
    await page.click('.chip[data-class="token"]');
    await page.click('.chip[data-class="event"]');
    await page.fill("#event-search", "node_complete");
    await page.waitForFunction(() => document.querySelector("#events .event-type")?.textContent === "node_complete");
    const titles = await page.$$eval("#events .event-type", (found) => found.map((one) => one.textContent));
    assert.ok(titles.every((title) => title === "node_complete"), String(titles));
    await page.click("#events summary >> nth=0");
    await page.waitForSelector('#events .event-json:has-text(\'"type": "node_complete"\')');
    await page.fill("#event-search", "there is no such thing");
    assert.equal(await page.textContent("#events-empty"), "Nothing passes the filter.");
  });

  it("keeps the chosen theme, and both hold their contrast", async () => {
    await startRun(page, PROMPT);
    await waitForStatus(page, "completed");
    for (const theme of ["light", "dark"]) {
      await page.check(`#theme input[value="${theme}"]`, { force: true });
      await page.reload();
      await waitForStatus(page, "completed");
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), theme, "remembered");
      assert.equal(await page.isChecked(`#theme input[value="${theme}"]`), true);
      const { checked, weak } = await page.evaluate(weakContrasts);
      assert.ok(checked > 60, `${checked} texts were looked at`);
      assert.deepEqual(weak, [], `texts below WCAG AA in the ${theme} theme`);
    }
  });

  it("fits a narrow screen", async () => {
    const id = await startRun(page, PROMPT);
    await waitForStatus(page, "completed");
    const narrow = await openPage(browser, `${server.base}/?execution=${id}`, { viewport: { width: 400, height: 860 } });
    await waitForStatus(narrow.page, "completed");
    const width = await narrow.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 400, `the page is ${width} pixels wide`);
    const top = await narrow.page.$eval("#run", (run) => run.getBoundingClientRect().top);
    assert.ok(top < 400, "the run is in sight");
    await narrow.finish();
  });

  it("goes back and forth between runs", async () => {
    const ids = [await start(server.base, "ai-content-generation", { prompt: "one" })];
    ids.push(await start(server.base, "ai-content-generation", { prompt: "two" }));
    for (const id of ids) await readLog(server.base, id);
    for (const id of ids) {
      await page.click(`.history-link[data-execution="${id}"]`);
      await waitForStatus(page, "completed");
      assert.equal(await page.textContent("#run-id"), id);
      await page.waitForSelector(`.history-link[data-execution="${id}"][aria-current="true"]`);
    }
    await page.goBack();
    await page.waitForFunction((id) => document.getElementById("run-id").textContent === id, ids[0]);
    await waitForStatus(page, "completed");
    assert.deepEqual(await textsOn(page), texts(await readLog(server.base, ids[0])));
    assert.equal(await page.textContent("#stat-integrity"), "lost=0 doubled=0");
    await page.goBack();
    await page.waitForSelector("#no-run", { state: "visible" });
  });
});

/** @param {import("playwright-core").Page} page */
async function shownTokens(page) {
  return Number((await page.textContent("#stat-tokens")).replaceAll(",", ""));
}

/** @param {import("playwright-core").Page} page */
async function shownEntries(page) {
  return Number((await page.textContent("#stat-entries")).replaceAll(",", ""));
}

/** @param {import("playwright-core").Page} page */
async function shownTypes(page) {
  const types = await page.$$eval("#events li", (rows) => rows.map((row) => row.dataset.type));
  return [...new Set(types)];
}

/** @param {import("playwright-core").Page} page */
function focused(page) {
  return page.evaluate(() => `${document.activeElement?.id} ${document.activeElement?.className}`);
}

/** @param {import("playwright-core").Page} page */
function outline(page) {
  return page.evaluate(() => getComputedStyle(document.activeElement).outlineWidth);
}

/**
 * Presses Tab until that element has the focus.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} id
 */
async function tabTo(page, id, key = "Tab") {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press(key);
    if (await page.evaluate((wanted) => document.activeElement?.id === wanted, id)) return;
  }
  assert.fail(`${key} does not reach #${id}`);
}

/**
 * @param {() => Promise<boolean>} condition
 * @param {string} what
 */
async function until(condition, what) {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not within a minute: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/**
 * The pictures of the documentation.
 *
 * @param {import("playwright-core").Page} page
 */
async function screenshots(page) {
  if (process.env.STREAMNEST_SCREENSHOTS !== "1") return;
  await mkdir(IMAGES, { recursive: true });
  for (const theme of ["light", "dark"]) {
    await page.check(`#theme input[value="${theme}"]`, { force: true });
    await page.evaluate(() => document.activeElement?.blur());
    // What is animated comes to rest.
    await page.waitForTimeout(500);
    await page.screenshot({ path: new URL(`console-${theme}.png`, IMAGES).pathname });
  }
}
