import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: "./server.js",
    // The suite waits for long-polls to run out, which takes 20 s; the machine may be busy.
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
