// The console under load, and its form on a richer input: the token fountain.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { readLog, start, texts } from "./harness/api.js";
import { executionOf, openPage, startBrowser, textsOn, waitForStatus } from "./harness/browser.js";
import { startServer } from "./harness/server.js";

describe("the console at the fountain", () => {
  let server, browser;
  before(async () => {
    server = await startServer("STREAMNEST_FOUNTAIN");
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("keeps up with 2,000 tokens a second in a bounded page", async () => {
    const opened = await openPage(browser, server.base);
    const { page } = opened;
    await page.waitForSelector("#field-tokens");
    // Tokens are listed too, which is the most work.
    const id = await start(server.base, "token-fountain", fountain({ tokens: 10_000, tokens_per_second: 2000, token_bytes: 33 }));
    await page.goto(`${server.base}/?execution=${id}`);
    await page.click('.chip[data-class="token"]');
    await page.evaluate(() => {
      const frames = { count: 0, longest: 0, last: performance.now() };
      globalThis.frames = frames;
      const tick = (now) => {
        frames.count += 1;
        frames.longest = Math.max(frames.longest, now - frames.last);
        frames.last = now;
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    });
    const began = Date.now();
    const entries = await readLog(server.base, id);
    const endedAt = Date.now();
    await waitForStatus(page, "completed");
    const behind = Date.now() - endedAt;
    const frames = await page.evaluate(() => globalThis.frames);
    const rows = await page.$$eval("#events li", (all) => all.length);

    assert.equal(await page.textContent("#stat-tokens"), "10,000");
    assert.equal(await page.textContent("#stat-integrity"), "lost=0 doubled=0");
    assert.ok(rows <= 200, `${rows} rows are on the page`);
    assert.ok(behind < 3000, `the page ended ${behind} ms after the log`);
    const perSecond = (frames.count * 1000) / (endedAt - began);
    assert.ok(perSecond > 10, `${perSecond.toFixed(1)} frames a second, the longest took ${frames.longest.toFixed(0)} ms`);
    for (const [key, text] of Object.entries(texts(entries))) {
      const shown = (await textsOn(page))[key];
      assert.ok(shown.length <= 25_000, `${shown.length} characters of ${key} are on the page`);
      assert.ok(text.endsWith(shown), "the page shows the end of the text");
    }
    await opened.finish();
  });

  it("reads a whole log that was written before it came", async () => {
    const id = await start(server.base, "token-fountain", fountain({ tokens: 5000, tokens_per_second: 0, token_bytes: 33 }));
    const entries = await readLog(server.base, id);
    const opened = await openPage(browser, `${server.base}/?execution=${id}`);
    await waitForStatus(opened.page, "completed");
    assert.equal(await opened.page.textContent("#stat-tokens"), "5,000");
    assert.equal(await opened.page.textContent("#stat-entries"), new Intl.NumberFormat("en").format(entries.length));
    assert.equal(await opened.page.textContent("#stat-integrity"), "lost=0 doubled=0");
    await opened.finish();
  });

  it("checks numbers before it starts, and hands them over as numbers", async () => {
    const opened = await openPage(browser, server.base);
    const { page } = opened;
    await page.waitForSelector("#field-tokens");
    const input = fountain({ tokens: 40, tokens_per_second: 400, token_bytes: 64 });
    await fill(page, input);
    await page.fill("#field-tokens", "four");
    await page.click("#start");
    assert.match(await page.textContent("#field-tokens-problem"), /number/);
    assert.equal(new URL(page.url()).search, "");
    await page.fill("#field-tokens", "40");
    await page.click("#start");
    await waitForStatus(page, "completed");
    const entries = await readLog(server.base, await executionOf(page));
    assert.deepEqual(await textsOn(page), texts(entries));
    assert.equal(Object.values(texts(entries)).join("").length, 40 * 64);
    await opened.finish();
  });

  it("shows what the server says against an input that its schema allows", async () => {
    const opened = await openPage(browser, server.base);
    const { page } = opened;
    await page.waitForSelector("#field-tokens");
    await fill(page, { ...fountain({ tokens: 1, tokens_per_second: 1, token_bytes: 33 }), index: 5_000_000_000 });
    await page.click("#start");
    await page.waitForSelector("#launcher-error", { state: "visible" });
    assert.match(await page.textContent("#launcher-error"), /does not fit.*index/);
    assert.equal(new URL(page.url()).search, "", "nothing was started");
    await opened.finish();
  });

  it("shows why a run failed", async () => {
    const opened = await openPage(browser, server.base);
    const { page } = opened;
    await page.waitForSelector("#field-tokens");
    // A token has no room for its marker below 33 bytes.
    await fill(page, fountain({ tokens: 1, tokens_per_second: 1, token_bytes: 1 }));
    await page.click("#start");
    await waitForStatus(page, "failed");
    assert.match(await page.textContent("#result-body"), /at least 33/);
    assert.equal(await page.getAttribute('.node[data-node="pour"]', "data-state"), "failed");
    assert.equal(await page.textContent("#output-empty"), "This run wrote no tokens.");
    await opened.finish();
  });
});

/**
 * Fills the form, with its optional fields folded out.
 *
 * @param {import("playwright-core").Page} page
 * @param {Record<string, number>} input
 */
async function fill(page, input) {
  await page.click(".optional > summary");
  for (const [name, value] of Object.entries(input)) await page.fill(`#field-${name}`, String(value));
}

/** @param {{tokens: number, tokens_per_second: number, token_bytes: number}} input */
function fountain(input) {
  return { index: 0, ...input };
}
