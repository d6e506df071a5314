// One client.

import { history, spark, trips } from "./charts.js";
import { byId, clone, list, setAttribute, setText, show } from "./dom.js";
import { clients, kindOf, now, page } from "./model.js";
import { ago, bytes, clock, count, milliseconds, moment, rate, seconds, several } from "./words.js";

const detail = byId("detail");
const chart = (name) => detail.querySelector(`[data-chart="${name}"]`);
const peak = (name) => detail.querySelector(`[data-peak="${name}"]`);
const buttons = [...byId("actions").querySelectorAll("button")];
const trace = byId("actions").querySelector('[data-action="trace"]');

// Whose messages are shown, and whether with what is in them.
let messages = [];
let said = "";
let tracing = false;
let current = null;

export const selection = {
  get id() {
    return current;
  },
  set id(value) {
    if (value === current) return;
    current = value;
    messages = [];
    said = "";
    tracing = false;
    setText(byId("action-said"), "");
  },
};

function fact(parent, pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  list(parent, told, ([name]) => name, () => clone("fact"), (node, [name, value, kind]) => {
    setText(node.firstElementChild, name);
    setText(node.lastElementChild, value);
    setAttribute(node, "data-kind", kind ?? "");
  });
}

function facts({ part, process }) {
  const { connection, callback, last_failure: failure, buffered } = part;
  const memory = connection?.memory;
  return [
    ["class", part.class],
    ["process", process.pid ?? process.key],
    ["address", part.uri],
    ["callback", callback ? `${callback.name} for ${seconds(callback.seconds)}` : "none runs", callback?.seconds >= 5 ? "bad" : ""],
    ["suspended", part.suspended ? "yes, by debug.suspend" : "", "bad"],
    ["attempt", part.attempt ? `${part.attempt}` : ""],
    ["next attempt", typeof part.next_attempt_in === "number" ? `in ${seconds(Math.max(0, part.next_attempt_in))}` : ""],
    ["last failure", failure?.text, part.status === "connected" ? "" : "bad"],
    ["hint", part.status === "connected" ? "" : failure?.hint],
    ["mailbox", part.mailbox.oldest ? `${count(part.mailbox.depth)}, the oldest a ${part.mailbox.oldest}` : count(part.mailbox.depth)],
    ["in flight", part.plain ? "" : `${several(part.requests, "request")}, ${count(part.awaited_pushes)} pushes`],
    ["buffered", buffered?.pushes ? `${count(buffered.pushes)} pushes, ${bytes(buffered.bytes)}` : ""],
    ["undelivered", connection ? `${several(connection.undelivered, "message")}, ${bytes(memory.undelivered_bytes)}` : ""],
    ["to be sent", memory?.send_buffer_bytes ? bytes(memory.send_buffer_bytes) : ""],
    ["reading", connection?.reading_paused ? "paused: the client does not keep up" : "", "bad"],
    ["traffic", connection ? `${bytes(connection.counters.bytes_in)} in, ${bytes(connection.counters.bytes_out)} out` : ""],
    ["assigns", (part.assigns ?? []).join(", ")],
  ];
}

function describe(passage, lasted) {
  const reason = passage.text ? `: ${passage.text}` : "";
  return `${moment(passage.time)}, ${passage.what} for ${seconds(lasted)}${reason}`;
}

function drawHistory(passages) {
  const from = history(chart("history"), passages, now(), describe);
  setText(byId("history-from"), passages.length ? moment(from) : "");
  const newest = [...passages].reverse();
  list(byId("history"), newest, (p) => `${p.time} ${p.what}`, () => clone("entry"), (node, p) => {
    const [time, what, , text] = node.children;
    setText(time, clock(p.time));
    setAttribute(time, "title", moment(p.time));
    setText(what, p.what);
    setAttribute(node, "data-bad", p.what !== "connected");
    setText(text, p.text ?? "");
  });
}

function drawTopics({ part, process }) {
  list(byId("topics"), part.topics, (t) => t.topic, () => clone("topic"), (node, topic) => {
    const [status, name, note] = node.children;
    const word = process.answers ? topic.status ?? "not joined" : "unknown";
    setAttribute(status, "data-kind", word);
    setText(status.lastElementChild, word);
    setText(name, topic.topic);
    const notes = [topic.reason?.text, topic.reason?.hint];
    if (typeof topic.rejoin_in === "number") notes.push(`again in ${seconds(Math.max(0, topic.rejoin_in))}`);
    if (topic.rejoins) notes.push(several(topic.rejoins, "rejoin"));
    setText(note, notes.filter(Boolean).join(" · "));
  });
  const more = part.topic_count - part.topics.length;
  setText(byId("topics-more"), more > 0 ? `${count(part.topic_count)}, of which ${part.topics.length} are shown` : count(part.topic_count));
}

function drawMessages(client) {
  show(byId("messages-section"), !client.part.plain);
  const newest = [...messages].reverse();
  list(byId("messages"), newest, (m) => `${client.id} ${m.number}`, () => clone("entry"), (node, m) => {
    const [time, direction, what, payload, how] = node.children;
    setText(time, clock(m.time));
    setText(direction, m.direction === "in" ? "in" : "out");
    setAttribute(node, "data-direction", m.direction);
    setText(what, m.what);
    setText(payload, [m.said, m.payload].filter(Boolean).join(" "));
    setText(how, m.how);
  });
  setText(byId("messages-note"), said || (tracing ? "with what is in them, secrets hidden" : "what is in them is hidden"));
}

export function draw() {
  const client = clients.get(current);
  show(detail, Boolean(client));
  if (!client) {
    current = null;
    return;
  }
  const { part, process } = client;
  setText(byId("detail-title"), part.label);
  const status = byId("detail-status");
  setAttribute(status, "data-kind", kindOf(client));
  setText(status.lastElementChild, kindOf(client));
  show(byId("detail-unknown"), !process.answers);
  setText(byId("detail-unknown"), `Its process does not answer since ${clock(process.since ?? now())}, ${ago(process.since, now())} ago. All of this is as of then.`);
  setAttribute(detail, "data-live", process.answers);
  show(byId("actions"), page.control && !part.plain);
  setAttribute(trace, "aria-pressed", tracing);
  fact(byId("facts"), facts(client));
  const traffic = spark(chart("traffic"), [client.in, client.out]);
  setText(peak("traffic"), `most ${rate(traffic)}`);
  const longest = trips(chart("trips"), part.connection?.heartbeat?.round_trips ?? []);
  setText(peak("trips"), longest ? `longest ${milliseconds(longest)}` : "none yet");
  drawHistory(part.history);
  drawTopics(client);
  drawMessages(client);
  fact(byId("configuration"), Object.entries(part.configuration ?? {}).map(([name, value]) => [name, shown(value)]));
}

function shown(value) {
  if (value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

// What is asked of the server for it.

async function post(path, data) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": page.csrf ?? "" },
    body: JSON.stringify(data),
  });
  return outcome(response);
}

async function outcome(response) {
  const text = await response.text();
  try {
    return { status: response.status, ...JSON.parse(text) };
  } catch {
    return { status: response.status, ok: false, error: text.trim() || `status ${response.status}` };
  }
}

// A request may come to another worker than the one that it is for: it is made again.
const ELSEWHERE = 421;
const TRIES = 12;

async function insist(ask) {
  let answer = await ask();
  for (let tries = 1; answer.status === ELSEWHERE && tries < TRIES; tries += 1) answer = await ask();
  return answer;
}

export async function refreshMessages() {
  const client = clients.get(current);
  if (!client || client.part.plain || !client.process.answers) return;
  const whose = { process: client.process.key, client: client.id };
  const asked = tracing
    ? () => post("trace.json", whose)
    : async () => outcome(await fetch(`messages.json?${new URLSearchParams(whose)}`));
  try {
    const answer = await insist(asked);
    if (current !== client.id) return;
    said = answer.ok ? "" : answer.error;
    if (answer.ok) messages = answer.result;
  } catch {
    // The page's pulse says so.
  }
  draw();
}

async function act(action) {
  const client = clients.get(current);
  if (!client) return;
  setText(byId("action-said"), `${action} …`);
  const order = { action, process: client.process.key, client: client.id };
  try {
    const answer = await insist(() => post("control.json", order));
    setText(byId("action-said"), answer.ok ? `${action}: done` : `${action}: ${answer.error}`);
  } catch {
    setText(byId("action-said"), `${action}: no answer`);
  }
}

export function listen(refresh, close) {
  for (const button of buttons) {
    button.addEventListener("click", async () => {
      if (button === trace) {
        tracing = !tracing;
        setAttribute(trace, "aria-pressed", tracing);
        await refreshMessages();
      } else {
        await act(button.dataset.action);
        refresh();
      }
    });
  }
  byId("close-detail").addEventListener("click", close);
}
