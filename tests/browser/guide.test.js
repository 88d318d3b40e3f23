// The program of the guide's first page, as a stranger has it before him.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { readLog, texts } from "./harness/api.js";
import { executionOf, openPage, startBrowser, textsOn, waitForStatus, waitForTokens } from "./harness/browser.js";
import { startServer } from "./harness/server.js";

describe("the first workflow of the guide", () => {
  let server, browser, opened, page;

  before(async () => {
    server = await startServer("STREAMNEST_HAIKU");
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

  it("asks for a topic, streams the text while the model writes, and then its progress", async () => {
    assert.equal(await page.inputValue("#workflow"), "haiku");
    await page.click("#start");
    assert.equal(await page.textContent("#field-topic-problem"), "This field is required.", "a topic has no default");
    await page.fill("#field-topic", "rivers");
    await page.click("#start");
    const id = await executionOf(page);
    await waitForTokens(page, 3);
    assert.equal(await page.getAttribute('.node[data-node="write"]', "data-state"), "running", "the text comes while it is written");

    await page.reload();
    await waitForTokens(page, 3);
    await page.waitForSelector('#events li[data-type="progress"]');
    await waitForStatus(page, "completed");
    const entries = await readLog(server.base, id);
    assert.deepEqual(await textsOn(page), texts(entries), "nothing is lost by the reload");
    const { result } = entries.at(-1).payload;
    assert.equal(result.text, Object.values(texts(entries))[0]);
    assert.equal(result.words, result.text.split(/\s+/).filter(Boolean).length);
  });
});
