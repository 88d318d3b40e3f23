// The console: wires the connection, the run that is looked at, and the views.

import { access } from "./access.js";
import * as api from "./api.js";
import { Connection } from "./client.js";
import { announce, byId, setText } from "./dom.js";
import { oncePerFrame } from "./frames.js";
import { Session } from "./session.js";
import { themeSwitch } from "./theme-switch.js";
import { AccessView } from "./view/access.js";
import { ConnectionView } from "./view/connection.js";
import { EventsView } from "./view/events.js";
import { HistoryView } from "./view/history.js";
import { Launcher } from "./view/launcher.js";
import { NodesView } from "./view/nodes.js";
import { OutputView } from "./view/output.js";
import { QuestionsView } from "./view/questions.js";
import { SummaryView } from "./view/summary.js";

/** How often figures that depend on the time of day are written anew. */
const TICK_MS = 250;
/** How often the list of executions is asked for while the page is in sight. */
const HISTORY_MS = 5000;

const connection = new Connection(api.socketUrl(), access);
/** @type {Session | null} */ let session = null;
/** Which run the page was asked to show last; answers for an earlier one are dropped. */
let opening = 0;

const output = new OutputView();
const events = new EventsView();
const nodes = new NodesView();
const questions = new QuestionsView(async (ask, answer, by) => session?.answer(ask, answer, by));
const summary = new SummaryView({ cancel: async () => session?.cancel() });
const link = new ConnectionView(connection);
const history_ = new HistoryView(linkTo, (id) => go(id));
const launcher = new Launcher(connection, (id, workflow) => {
  go(id, workflow);
  refreshHistory();
  byId("run-title").focus({ preventScroll: true });
});

/** Everything that entries change. */
const draw = oncePerFrame(() => {
  link.draw(session);
  if (!session) return;
  const { run } = session;
  output.draw(run);
  events.draw(run);
  nodes.draw(run);
  summary.draw(session);
  // After it, so that what is asked is what is announced.
  questions.draw(run);
  // Measured after all is written, so that a frame lays the page out once.
  output.settle();
  events.settle();
});

/**
 * @param {string} id
 * @returns {URL} the page with that run
 */
function linkTo(id) {
  const url = new URL(location.href);
  url.search = new URLSearchParams({ execution: id }).toString();
  url.hash = "";
  return url;
}

/**
 * Shows a run, and puts it into the address.
 *
 * @param {string} id
 * @param {string} [workflow] if it is known
 */
function go(id, workflow) {
  if (session?.run.executionId !== id) history.pushState(null, "", linkTo(id));
  open(id, workflow);
}

/**
 * Shows the run, or none.
 *
 * @param {string | null} id
 * @param {string} [workflow]
 */
async function open(id, workflow) {
  if (session && session.run.executionId === id) return;
  opening += 1;
  const turn = opening;
  session?.leave();
  session = null;
  byId("run").hidden = id === null;
  byId("no-run").hidden = id !== null;
  document.title = "Streamnest console";
  for (const view of [output, events, nodes, questions, link]) view.clear();
  if (id === null) return;
  session = new Session(connection, id, workflow ?? "");
  summary.show(session.run, linkTo(id));
  // On a narrow screen the run lies below the form.
  byId("run").scrollIntoView({ block: "start" });
  session.addEventListener("change", draw);
  session.addEventListener("change", moved(session));
  session.addEventListener("resume", () => announce("Connection is back; the run resumes where it was cut"));
  draw();
  await describe(session, turn);
}

/**
 * Finds out what the run's entries do not say: its workflow, that one's nodes, and questions whose entries are no longer
 * kept.
 *
 * @param {Session} shown
 * @param {number} turn
 */
async function describe(shown, turn) {
  const { run } = shown;
  try {
    const { workflow, waiting } = await api.execution(run.executionId);
    if (turn !== opening) return;
    run.workflow = workflow;
    if (!run.isOver) run.questions.learn(waiting ?? []);
    const { graph } = await api.workflow(run.workflow);
    if (turn !== opening) return;
    run.expect(graph?.nodes ?? []);
    document.title = `${run.workflow} · Streamnest console`;
  } catch (error) {
    // Without its workflow a run shows the nodes it speaks of; why it is missing, the subscription says.
    if (turn === opening && connection.isOpen && !shown.error) summary.complain(/** @type {Error} */ (error).message);
  }
  draw();
}

/**
 * Asks for the list of executions once the run pauses, goes on or is over, for what the list says of it has changed.
 *
 * @param {Session} shown
 */
function moved(shown) {
  let { state } = shown.run;
  return () => {
    if (shown.run.state === state) return;
    state = shown.run.state;
    refreshHistory();
  };
}

async function refreshHistory() {
  // Asked again, it would be refused again.
  if (access.isShut) return;
  try {
    history_.draw(await api.executions(), session?.run.executionId ?? null);
  } catch (error) {
    history_.fail(/** @type {Error} */ (error).message);
  }
}

/** What the address asks for. */
function fromAddress() {
  open(new URLSearchParams(location.search).get("execution"));
  refreshHistory();
}

new AccessView(access);
access.addEventListener("need", () => {
  if (access.isShut && access.token === null) connection.refuse("a token is needed");
});
access.addEventListener("change", () => {
  connection.renew();
  launcher.load();
  refreshHistory();
});
themeSwitch(byId("theme"));
connection.addEventListener("state", draw);
connection.addEventListener("open", () => {
  // The server may be another one than before, or there again: ask anew for what is missing.
  if (byId("workflow").options.length === 0) launcher.load();
  refreshHistory();
});
connection.addEventListener("frame", (event) => {
  const frame = /** @type {CustomEvent} */ (event).detail;
  if (frame.type === "token_expiring") {
    const at = new Date(frame.payload.expiresAt / 1000).toLocaleTimeString();
    access.need(`The token expires at ${at}; use a new one, and the page goes on without a cut.`, false);
  }
  if (frame.type === "error") summary.complain(`The server says: ${frame.payload?.message ?? "something went wrong"}`);
  if (frame.type === "message") setText(byId("server-message"), JSON.stringify(frame.payload));
  if (frame.type === "message") byId("server-message-box").hidden = false;
});
byId("server-message-close").addEventListener("click", () => (byId("server-message-box").hidden = true));
addEventListener("popstate", fromAddress);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refreshHistory();
});
setInterval(draw, TICK_MS);
setInterval(() => {
  if (!document.hidden) refreshHistory();
}, HISTORY_MS);
connection.connect();
launcher.load();
fromAddress();
