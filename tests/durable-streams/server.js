// One server for all files of tests.

import { startServer } from "../browser/harness/server.js";

/** @param {import("vitest/node").TestProject} project */
export async function setup(project) {
  // The suite asks as a page of this origin would, and expects to be let in.
  const server = await startServer("STREAMNEST_SERVER", { flags: ["--allow-origin", "https://example.com"] });
  project.provide("base", server.base);
  return server.stop;
}
