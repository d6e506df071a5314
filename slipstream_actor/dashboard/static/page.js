// The page: it asks, draws what it is told, and says when nobody answers.

import { shares, spark } from "./charts.js";
import * as table from "./clients.js";
import * as detail from "./detail.js";
import { byId, clone, list, setAttribute, setText, show } from "./dom.js";
import * as eventList from "./events.js";
import { addEvent, apply, areMore, clients, joined, kindOf, now, page, processes, totals } from "./model.js";
import { ago, clock, count, milliseconds, rate, several } from "./words.js";

const PACE = 2000; // Milliseconds between two questions; more where an answer takes long.
const PATIENCE = 10000; // Until a question is given up.
const SILENT_AFTER = 4000; // Until the page says that nobody answers.
const SOON = 250; // After an event.
const REFUSED_FOR = 30000; // Until a stream is asked for again, where too many watch.
const SELDOM = 10000; // While the page is in the background.
const OLD = 15000; // What is older is not called live.

const NARROW = matchMedia("(max-width: 900px)");
const COVERED = document.querySelectorAll(".bar, #totals, #processes, #clients, #events");
const { selection } = detail;
const search = byId("search");
let answeredAt = null;
const begunAt = Date.now();
let askedAt = begunAt;
let failed = null;
let timer = null;
let due = Infinity;
let asking = false;
let took = 0;
let source = null;

// asking

async function refresh() {
  if (asking) return;
  clearTimeout(timer);
  due = Infinity;
  asking = true;
  askedAt = Date.now();
  try {
    const response = await fetch("report.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (response.ok) {
      apply(await response.json());
      answeredAt = Date.now();
      failed = null;
    } else {
      failed = response.status === 403 ? "refused" : `status ${response.status}`;
    }
  } catch {
    failed = "no answer";
  }
  asking = false;
  draw();
  if (failed === null) {
    stream();
    detail.refreshMessages();
  }
  took = Date.now() - askedAt;
  schedule(PACE);
}

// What takes the server long is not asked for without a pause, and seldom while nobody looks. What
// is due sooner stays so: many events one after the other would put it off for ever.
function schedule(pause) {
  const least = document.visibilityState === "visible" ? 2 * took : SELDOM;
  const at = Date.now() + Math.max(pause, least);
  if (at >= due) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(refresh, at - Date.now());
}

function stream() {
  if (!page.streams || source) return;
  source = new EventSource("events");
  source.onmessage = (message) => {
    if (addEvent(JSON.parse(message.data))) {
      eventList.draw(words());
      if (!asking) schedule(SOON);
    }
  };
  source.onerror = () => {
    // The browser opens the next one by itself, unless this was refused.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => {
      source = null;
    }, REFUSED_FOR);
  };
}

// drawing

function words() {
  return search.value.toLowerCase().split(/\s+/).filter(Boolean);
}

function draw() {
  const sought = words();
  drawPulse();
  drawTotals();
  drawProcesses();
  table.draw(sought, selection.id, open);
  detail.draw();
  setAttribute(document.body, "data-detail", selection.id !== null);
  cover(selection.id !== null && NARROW.matches);
  eventList.draw(sought);
}

function isSilent() {
  return failed !== null || (asking && Date.now() - askedAt > SILENT_AFTER);
}

function standing() {
  if (failed === "refused") return "refused";
  if (isSilent()) return "stale";
  if (answeredAt === null) return "waiting";
  return Date.now() - answeredAt > OLD ? "paused" : "live";
}

const PULSE = {
  waiting: () => "asking …",
  live: (since) => `live, ${since}`,
  paused: (since) => `as of ${since}, asking again …`,
  stale: (since) => `not live, as of ${since}`,
  refused: (since) => `not live, as of ${since}`,
};

function drawPulse() {
  const state = standing();
  const since = (answeredAt ?? begunAt) / 1000;
  setAttribute(document.body, "data-state", state);
  setText(byId("pulse-text"), PULSE[state](answeredAt ? clock(since) : "never"));
  const isAlarm = state === "stale" || state === "refused";
  show(byId("alarm"), isAlarm);
  drawTitle();
  if (!isAlarm) return;
  const what =
    state === "refused"
      ? "You may not see this any more: log in again, and load the page anew."
      : `The server of this page does not answer since ${clock(since)}, ${ago(since, Date.now() / 1000)} ago.`;
  const rest = ` What is below is as of ${clock(since)}, and not live.`;
  setText(byId("alarm"), answeredAt ? what + rest : what);
}

function total(name, text, note) {
  setText(document.querySelector(`[data-total="${name}"]`), text);
  if (note !== undefined) setText(document.querySelector(`[data-note="${name}"]`), note);
}

function drawTotals() {
  const kinds = { connected: 0, connecting: 0, waiting: 0, closing: 0, new: 0, disconnected: 0, unknown: 0 };
  const topics = { joined: 0, requested: 0, closed: 0 };
  let all = 0;
  let more = "";
  for (const client of clients.values()) {
    kinds[kindOf(client)] = (kinds[kindOf(client)] ?? 0) + 1;
    if (!client.process.answers) continue;
    const there = joined(client);
    topics.joined += there;
    all += client.part.topic_count;
    if (areMore(client)) more = "+";
    for (const topic of client.part.topics) {
      if (topic.status !== "joined") topics[topic.status === "requested" ? "requested" : "closed"] += 1;
    }
  }
  if (answeredAt === null) return;
  total("connected", count(kinds.connected), `of ${count(clients.size)} connected`);
  total("topics", `${count(topics.joined)}${more}`, `of ${count(all)} joined`);
  for (const name of ["in", "out", "rtt", "mailbox"]) {
    spark(document.querySelector(`#totals [data-chart="${name}"]`), [totals[name]]);
  }
  total("in", rate(totals.in.at(-1)));
  total("out", rate(totals.out.at(-1)));
  total("rtt", totals.hasTrips ? milliseconds(totals.rtt.at(-1) / 1000) : "–");
  total("mailbox", count(totals.mailbox.at(-1)));
  shares(byId("states"), kinds);
  shares(byId("topic-states"), topics);
}

function standingOf(process) {
  if (process.inTurns) return `${several(process.count, "client")}, as of ${ago(process.seen, now())} ago: another worker of this server`;
  if (process.strange) return "answers something that this page does not understand";
  if (process.missing) return `not there since ${clock(process.since)}, ${ago(process.since, now())} ago`;
  if (!process.answers) return `does not answer since ${clock(process.since)}, ${ago(process.since, now())} ago`;
  const idle = process.handles.filter((handle) => handle.client === null).length;
  const parts = [several(process.count, "client")];
  if (process.supervisors.length) parts.push(several(process.supervisors.length, "supervisor"));
  if (idle) parts.push(`${several(idle, "handle")} without a client`);
  return [...parts, `Python ${process.python}`, process.version].join(" · ");
}

function drawProcesses() {
  show(byId("left-out"), page.leftOut > 0);
  setText(byId("left-out"), `${count(page.leftOut)} more are not asked.`);
  const all = [...processes.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  list(byId("process-list"), all, (process) => process.key, () => clone("process"), (node, process) => {
    setAttribute(node, "data-answers", process.answers);
    setText(node.querySelector("b"), `process ${process.key}`);
    setText(node.lastElementChild, standingOf(process) + (process.here && all.length > 1 ? " · this page's" : ""));
  });
}

function drawTitle() {
  const away = [...clients.values()].filter((client) => kindOf(client) !== "connected").length;
  const news = standing() === "live" ? (away ? `${away} not connected` : "") : "not live";
  const title = news ? `${news} · slipstream_actor` : "slipstream_actor";
  if (document.title !== title) document.title = title;
}

// what is chosen

// On a small screen one client lies over all else, which nobody is to get lost in meanwhile.
function cover(covered) {
  for (const node of COVERED) {
    if (node.inert !== covered) node.inert = covered;
  }
}

function open(id) {
  if (selection.id === id) {
    close();
    return;
  }
  selection.id = id;
  remember();
  draw();
  byId("detail").querySelector(".scroll").scrollTop = 0;
  if (NARROW.matches) byId("detail").focus();
  detail.refreshMessages();
}

function close() {
  const id = selection.id;
  selection.id = null;
  remember();
  draw();
  table.focusRow(id);
}

function remember() {
  const { pathname, search: query } = location;
  const hash = selection.id ? `#${selection.id}` : "";
  history.replaceState(null, "", pathname + query + hash);
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && typing) {
    search.value = "";
    draw();
  } else if (event.key === "Escape" && selection.id !== null) {
    close();
  }
});
search.addEventListener("input", draw);
NARROW.addEventListener("change", draw);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") refresh();
});
table.listen(draw);
detail.listen(refresh, close);

const theme = new URLSearchParams(location.search).get("theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
if (location.hash.length > 1 && !byId(location.hash.slice(1))) selection.id = location.hash.slice(1);
setInterval(drawPulse, 1000);
refresh();
