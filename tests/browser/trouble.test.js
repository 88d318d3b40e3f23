// The console when things go wrong: an unknown run, a server that goes away, a script that does not belong.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

  it("asks again and comes back when a limit says, and not before", async () => {
    const folder = await mkdtemp(join(tmpdir(), "streamnest-"));
    const config = join(folder, "options.toml");
    await writeFile(config, '[gateway.rate_limit]\nwindow = "6s"\nmax_executions_per_user = 1\nmax_connections = 1\n');
    const limited = await startServer("STREAMNEST_SERVER", { flags: ["--config", config] });
    const { page } = await openPage(browser, limited.base);
    await page.waitForSelector('#connection-state[data-phase="open"]');
    // A backoff of its own would have it back after a quarter of a second.
    const refusedAt = Date.now();
    await page.reload();
    await page.waitForSelector('#connection-state[data-phase="waiting"]');
    await page.waitForSelector('#connection-state[data-phase="open"]');
    const waited = Date.now() - refusedAt;
    assert.ok(waited > 1_500, `it came back after ${waited} ms`);
    const first = await startRun(page, "One");
    const startedAt = Date.now();
    await page.evaluate(() => history.replaceState(null, "", "/"));
    const second = await startRun(page, "Two");
    assert.notEqual(second, first);
    assert.ok(Date.now() - startedAt > 1_500, `it started after ${Date.now() - startedAt} ms`);
    await page.context().close();
    await limited.stop("SIGKILL");
    await rm(folder, { recursive: true });
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
