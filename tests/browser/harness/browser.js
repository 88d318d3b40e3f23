// Debian's Chromium, and pages that remember whatever went wrong in them.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const PATIENCE_MS = 30_000;

/** Starts Chromium with a fresh profile. */
export async function startBrowser() {
  const executablePath = process.env.STREAMNEST_CHROMIUM ?? PLACES.find((place) => existsSync(place));
  if (!executablePath) {
    throw new Error("no Chromium here; install it with `apt-get update && apt-get install -y chromium`, or set STREAMNEST_CHROMIUM");
  }
  return chromium.launch({ executablePath, args: FLAGS, headless: true });
}

/**
 * A page in a profile of its own.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {string} address
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function openPage(browser, address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const faults = [];
  context.on("page", (page) => watch(page, faults));
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.addInitScript(() => {
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(address);
  return {
    page,
    /** What went wrong since the page was opened; `page` and any tab it opened. */
    faults,
    /** Says that nothing went wrong, and closes. */
    async finish() {
      const violations = [];
      for (const open of context.pages()) violations.push(...(await open.evaluate(() => globalThis.violations ?? [])));
      await context.close();
      assert.deepEqual([...faults, ...violations], [], "faults and policy violations of the page");
    },
  };
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string[]} faults
 */
function watch(page, faults) {
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") faults.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`uncaught: ${error.message}`));
}

/**
 * Starts `ai-content-generation` on the console.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} prompt
 * @returns {Promise<string>} the execution's id
 */
export async function startRun(page, prompt) {
  await page.selectOption("#workflow", "ai-content-generation");
  await page.fill("#field-prompt", prompt);
  await page.click("#start");
  return executionOf(page);
}

/**
 * The execution that the page shows.
 *
 * @param {import("playwright-core").Page} page
 */
export async function executionOf(page) {
  await page.waitForFunction(() => new URLSearchParams(location.search).has("execution"));
  return new URL(page.url()).searchParams.get("execution");
}

/**
 * @param {import("playwright-core").Page} page
 * @param {"running" | "completed" | "failed" | "cancelled"} status
 */
export async function waitForStatus(page, status) {
  await page.waitForSelector(`#run-status[data-status="${status}"]`);
}

/**
 * @param {import("playwright-core").Page} page
 * @param {number} count
 */
export async function waitForTokens(page, count) {
  await page.waitForFunction((least) => {
    return Number(document.getElementById("stat-tokens").textContent.replaceAll(",", "")) >= least;
  }, count);
}

/**
 * The texts on the page, by `node/visit/attempt/message`.
 *
 * @param {import("playwright-core").Page} page
 * @returns {Promise<Record<string, string>>}
 */
export function textsOn(page) {
  return page.$$eval("#output .message", (cards) =>
    Object.fromEntries(
      cards.map((card) => {
        const { node, visit, attempt, message } = card.dataset;
        return [[node, visit, attempt, message].join("/"), card.querySelector(".message-text").textContent];
      }),
    ),
  );
}
