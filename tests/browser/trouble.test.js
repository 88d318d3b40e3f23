// The console when things go wrong: an unknown run, a server that goes away, a script that does not belong.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { openPage, startBrowser, startRun, waitForStatus } from "./harness/browser.js";
import { startServer } from "./harness/server.js";

describe("the console in trouble", () => {
  let server, browser;
  before(async () => {
    browser = await startBrowser();
    server = await startServer("STREAMNEST_SERVER");
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("says that a run is unknown", async () => {
    const { page, faults } = await openPage(browser, `${server.base}/?execution=nobody-knows-it`);
    await page.waitForSelector("#run-error", { state: "visible" });
    assert.match(await page.textContent("#run-error"), /nobody-knows-it/);
    assert.equal(await page.textContent("#run-status"), "Not available");
    assert.ok(faults.every((fault) => fault.includes("404")), String(faults));
    await page.context().close();
  });

  it("loses the server, says so, and comes back by itself", async () => {
    const { page } = await openPage(browser, server.base);
    await page.waitForSelector('#connection-state[data-phase="open"]');
    const { host } = new URL(server.base);
    await server.stop();
    await page.waitForSelector('#connection-state:not([data-phase="open"])');
    await page.waitForFunction(() => document.getElementById("connection-label").textContent === "Reconnecting");
    server = await startServer("STREAMNEST_SERVER", { listen: host });
    await page.waitForSelector('#connection-state[data-phase="open"]');
    await startRun(page, "Still there?");
    await waitForStatus(page, "completed");
    assert.equal(await page.textContent("#stat-integrity"), "lost=0 doubled=0");
    await page.context().close();
  });

  it("stops inline scripts, so that the check for violations can fail", async () => {
    const { page } = await openPage(browser, server.base);
    const ran = await page.evaluate(async () => {
      const script = document.createElement("script");
      script.textContent = "globalThis.ran = true";
      document.head.append(script);
      await new Promise((done) => setTimeout(done, 50));
      return { ran: globalThis.ran === true, violations: globalThis.violations };
    });
    assert.equal(ran.ran, false);
    assert.match(String(ran.violations), /script-src/);
    await page.context().close();
  });
});
