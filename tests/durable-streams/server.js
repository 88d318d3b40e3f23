// One server for all files of tests, whose logs lie in a directory of their own that goes with it.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../browser/harness/server.js";

/** @param {import("vitest/node").TestProject} project */
export async function setup(project) {
  const folder = await mkdtemp(join(tmpdir(), "streamnest-durable-streams-"));
  // The suite asks as a page of this origin would, and expects to be let in.
  const flags = ["--data-dir", folder, "--allow-origin", "https://example.com"];
  const server = await startServer("STREAMNEST_SERVER", { flags });
  project.provide("base", server.base);
  return async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  };
}
