// A server that asks who its clients are, and the page that is told a token.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { openPage, startBrowser, startRun, waitForStatus, waitForTokens } from "./harness/browser.js";
import { startServer } from "./harness/server.js";

const SECRET = "a secret for these tests, of more than 32 bytes";
/** What Chromium writes by itself when a request is answered with 401. */
const REFUSED = /status of 401/;

/**
 * A token, as an issuer makes it (RFC 7515 §3.1).
 *
 * @param {string} subject
 * @param {number} [seconds] for which it is good
 */
function token(subject, seconds = 600) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: subject, iat: now, exp: now + seconds })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

describe("a page on a server that asks for a token", () => {
  let folder, server, office, browser;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "streamnest-"));
    await writeFile(join(folder, "secret"), `${SECRET}\n`);
    const flags = ["--jwt-secret-file", join(folder, "secret")];
    server = await startServer("STREAMNEST_SERVER", { flags });
    office = await startServer("STREAMNEST_APPROVAL", { flags });
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await office?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  async function visit({ base } = server) {
    const opened = await openPage(browser, base);
    return {
      page: opened.page,
      async finish() {
        const others = opened.faults.filter((fault) => !REFUSED.test(fault));
        opened.faults.splice(0, opened.faults.length, ...others);
        await opened.finish();
      },
    };
  }

  async function signIn(page, text) {
    await page.waitForSelector("#access-token", { state: "visible" });
    await page.fill("#access-token", text);
    await page.click("#access-form button[type=submit]");
  }

  it("asks for it, shows whose it is, and runs", async () => {
    const { page, finish } = await visit();
    await page.waitForSelector('#connection-state[data-phase="refused"]');
    await signIn(page, token("ada"));
    await page.waitForFunction(() => document.getElementById("access-subject").textContent === "ada");
    assert.equal(await page.inputValue("#access-token"), "", "the token cannot be read off the page");
    await startRun(page, "Why is a token no password?");
    await waitForStatus(page, "completed");
    // The same tab knows it after a reload, and forgets it on demand.
    await page.reload();
    await page.waitForFunction(() => document.getElementById("access-subject").textContent === "ada");
    await page.click("#access-forget");
    await page.waitForSelector('#connection-state[data-phase="refused"]');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await finish();
  });

  it("says why one is not taken", async () => {
    const { page, finish } = await visit();
    await signIn(page, `${token("ada")}x`);
    await page.waitForFunction(() => document.getElementById("access-reason").textContent.includes("token is not taken"));
    await finish();
  });

  it("goes on without a cut when it is renewed before it expires", async () => {
    const { page, finish } = await visit();
    await signIn(page, token("ada", 6));
    await page.waitForFunction(() => document.getElementById("access-subject").textContent === "ada");
    await startRun(page, "What is renewed in place?");
    await waitForTokens(page, 1);
    await page.waitForFunction(() => document.getElementById("access-reason").textContent.includes("expires at"));
    await signIn(page, token("ada"));
    await waitForStatus(page, "completed");
    assert.equal(await page.locator("#resumes li").count(), 0, "the connection was never cut");
    assert.equal(await page.textContent("#stat-integrity"), "lost=0 doubled=0");
    await finish();
  });

  it("answers as whom the token names, and as nobody else", async () => {
    const { page, finish } = await visit(office);
    await signIn(page, token("ada"));
    await page.fill("#field-topic", "The river path is closed on Monday");
    await page.click("#start");
    await page.waitForSelector('.question[data-ask="ask1"]');
    await page.waitForFunction(() => document.querySelector('[for="ask1-by"]').textContent === "as ada");
    assert.equal(await page.locator("#ask1-by").isVisible(), false, "there is no other name to be given");
    await page.selectOption("#ask1-verdict", { label: "discard" });
    await page.click(".question button[type=submit]");
    await waitForStatus(page, "completed");
    assert.match(await page.textContent(".question-end"), /Answered by ada/);
    await finish();
  });
});
