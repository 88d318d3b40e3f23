// Starts a server of the examples on a port of its own, and ends it.

import { spawn } from "node:child_process";
import { once } from "node:events";

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 10_000;

/** The variables that name the programs, and where `cargo build` puts them. */
const PROGRAMS = {
  STREAMNEST_SERVER: "content-generation",
  STREAMNEST_FOUNTAIN: "token-fountain",
  STREAMNEST_APPROVAL: "approval",
  STREAMNEST_HAIKU: "haiku",
};

/**
 * @typedef {object} Server
 * @property {string} base `http://127.0.0.1:PORT`
 * @property {string} sockets the same with `ws`
 * @property {(signal?: NodeJS.Signals) => Promise<void>} stop
 */

/**
 * @param {keyof typeof PROGRAMS} variable which program
 * @param {{listen?: string, flags?: string[]}} [options]
 * @returns {Promise<Server>}
 */
export async function startServer(variable, { listen = "127.0.0.1:0", flags = [] } = {}) {
  const program = process.env[variable];
  if (!program) {
    const name = PROGRAMS[variable];
    const build = name === "haiku" ? "docs/guide/first-workflow.md tells how" : `\`cargo build -p ${name}\``;
    throw new Error(`${variable} is not set; build (${build}) and set it to the path of \`${name}\``);
  }
  const child = spawn(program, ["--listen", listen, ...(flags.includes("--data-dir") ? [] : ["--memory"]), ...flags], { stdio: ["ignore", "pipe", "pipe"] });
  const said = [];
  let stopped = false;
  const base = await new Promise((resolve, reject) => {
    const complain = (why) => reject(new Error(`${program} ${why}; it said:\n${said.join("")}`));
    const timer = setTimeout(() => complain("did not say where it listens"), START_TIMEOUT_MS);
    let out = "";
    child.on("error", (error) => complain(`did not start: ${error.message}`));
    child.on("exit", (code) => stopped || complain(`ended with ${code}`));
    child.stderr.on("data", (text) => keep(said, String(text)));
    child.stdout.on("data", (text) => {
      keep(said, String(text));
      out = (out + text).slice(-4096);
      const found = /listening on (http:\/\/\S+)/.exec(out);
      if (!found) return;
      clearTimeout(timer);
      resolve(found[1].replace(/\/$/, ""));
    });
  });
  const stop = async (signal = "SIGTERM") => {
    stopped = true;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await exit;
    clearTimeout(timer);
  };
  return { base, sockets: base.replace(/^http/, "ws"), stop };
}

/**
 * @param {string[]} said
 * @param {string} text
 */
function keep(said, text) {
  said.push(text);
  if (said.length > 200) said.shift();
}
