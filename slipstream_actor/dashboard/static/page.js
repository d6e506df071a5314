// The page: it asks, draws what it is told, and says when nobody answers.

import { shares, spark } from "./charts.js";
import * as table from "./clients.js";
import * as detail from "./detail.js";
import { byId, clone, list, setAttribute, setText, show } from "./dom.js";
import * as eventList from "./events.js";
import { addEvent, apply, clients, joined, kindOf, now, page, processes, totals } from "./model.js";
import { ago, clock, count, milliseconds, rate } from "./words.js";

const PACE = 2000; // Milliseconds between two questions; more where an answer takes long.
const PATIENCE = 10000; // Until a question is given up.
const SILENT_AFTER = 4000; // Until the page says that nobody answers.
const SOON = 250; // After an event.

const { selection } = detail;
const search = byId("search");
let answeredAt = null;
let begunAt = Date.now();
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
  const begun = Date.now();
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
  took = Date.now() - begun;
  schedule(PACE);
}

// What takes the server long is not asked for without a pause, and nothing while nobody looks. What
// is due sooner stays so: many events one after the other would put it off for ever.
function schedule(pause) {
  const at = Date.now() + Math.max(pause, 2 * took);
  if (document.visibilityState !== "visible" || at >= due) return;
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
    if (source.readyState === EventSource.CLOSED) source = null;
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
  eventList.draw(sought);
}

function isSilent() {
  return failed !== null || Date.now() - (answeredAt ?? begunAt) > SILENT_AFTER + PACE;
}

function drawPulse() {
  const since = (answeredAt ?? begunAt) / 1000;
  const passed = ago(since, Date.now() / 1000);
  if (!isSilent()) {
    setAttribute(document.body, "data-state", answeredAt ? "live" : "waiting");
    setText(byId("pulse-text"), answeredAt ? `live, ${clock(since)}` : "asking …");
    show(byId("alarm"), false);
    return;
  }
  setAttribute(document.body, "data-state", failed === "refused" ? "refused" : "stale");
  setText(byId("pulse-text"), `not live, as of ${answeredAt ? clock(since) : "never"}`);
  const what =
    failed === "refused"
      ? "You may not see this any more: log in again, and load the page anew."
      : `The server of this page does not answer since ${clock(since)}, ${passed} ago.`;
  setText(byId("alarm"), answeredAt ? `${what} What is below is as of ${clock(since)}, and not live.` : what);
  show(byId("alarm"), true);
}

function total(name, text, note) {
  setText(document.querySelector(`[data-total="${name}"]`), text);
  if (note !== undefined) setText(document.querySelector(`[data-note="${name}"]`), note);
}

function drawTotals() {
  const kinds = { connected: 0, connecting: 0, waiting: 0, closing: 0, new: 0, disconnected: 0, unknown: 0 };
  const topics = { joined: 0, requested: 0, closed: 0 };
  for (const client of clients.values()) {
    kinds[kindOf(client)] = (kinds[kindOf(client)] ?? 0) + 1;
    if (!client.process.answers) continue;
    const there = joined(client);
    topics.joined += there;
    for (const topic of client.part.topics) {
      if (topic.status !== "joined") topics[topic.status === "requested" ? "requested" : "closed"] += 1;
    }
  }
  if (answeredAt === null) return;
  const allTopics = topics.joined + topics.requested + topics.closed;
  total("connected", count(kinds.connected), `of ${count(clients.size)} connected`);
  total("topics", count(topics.joined), `of ${count(allTopics)} joined`);
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

function standing(process) {
  if (process.missing) return `not there since ${clock(process.since)}, ${ago(process.since, now())} ago`;
  if (!process.answers) return `does not answer since ${clock(process.since)}, ${ago(process.since, now())} ago`;
  const idle = process.handles.filter((handle) => handle.client === null).length;
  const parts = [`${count(process.count)} clients`];
  if (process.supervisors.length) parts.push(`${process.supervisors.length} supervisors`);
  if (idle) parts.push(`${idle} handles without a client`);
  return [...parts, `Python ${process.python}`, process.version].join(" · ");
}

function drawProcesses() {
  const all = [...processes.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  list(byId("process-list"), all, (process) => process.key, () => clone("process"), (node, process) => {
    setAttribute(node, "data-answers", process.answers);
    setText(node.querySelector("b"), `process ${process.key}`);
    setText(node.lastElementChild, standing(process) + (process.here && all.length > 1 ? " · this page's" : ""));
  });
}

// what is chosen

function open(id) {
  if (selection.id === id) {
    close();
    return;
  }
  selection.id = id;
  remember();
  draw();
  byId("detail").querySelector(".scroll").scrollTop = 0;
  if (matchMedia("(max-width: 900px)").matches) byId("detail").focus();
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
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") refresh();
});
table.listen(draw);
detail.listen(refresh, close);

const theme = new URLSearchParams(location.search).get("theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
if (location.hash.length > 1 && !byId(location.hash.slice(1))) selection.id = location.hash.slice(1);
setInterval(() => {
  if (answeredAt === null || isSilent()) drawPulse();
}, 1000);
refresh();
