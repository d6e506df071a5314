// What is known: processes, clients, events, and how numbers went over the last minutes.

const SAMPLES = 90; // At every other second: three minutes.
const MOST_EVENTS = 300;
const FORGOTTEN_AFTER = 60; // Seconds after which a process that is not there any more is forgotten.
const FRESH = 15; // Seconds for which another worker's report is taken for how it is.
export const STUCK_AFTER = 5; // Seconds of one callback.

export const processes = new Map();
export const clients = new Map();
export const events = [];
export const totals = { in: [], out: [], rtt: [], mailbox: [] };
export const page = { control: false, csrf: null, streams: false, leftOut: 0, time: 0, offset: 0 };

const known = new Set();
let order = [];
const collator = new Intl.Collator(undefined, { numeric: true });

// The server's time, in seconds.
export function now() {
  return Date.now() / 1000 + page.offset;
}

export function apply(report) {
  page.control = report.control;
  page.csrf = report.csrf;
  page.streams = report.events;
  page.leftOut = report.left_out;
  page.time = report.time;
  page.offset = report.time - Date.now() / 1000;
  const here = new Set();
  for (const part of report.processes) {
    here.add(part.key);
    if (!part.answers) silent(part);
    else understand(part);
  }
  for (const process of processes.values()) {
    if (!here.has(process.key)) missing(process, report.host);
  }
  for (const client of clients.values()) {
    if (!processes.has(client.process.key)) clients.delete(client.id);
  }
  order = [...clients.values()].sort(
    (a, b) => collator.compare(a.label, b.label) || (a.id < b.id ? -1 : 1),
  );
  sampleTotals();
}

export function sorted() {
  return order;
}

function processOf(key) {
  let process = processes.get(key);
  if (!process) {
    process = { key, pid: null, answers: false, seen: null, since: null, missing: false, here: false };
    processes.set(key, process);
  }
  return process;
}

// What one process says, which may be of another version, is no reason not to show the others.
function understand(part) {
  try {
    applyProcess(part);
  } catch {
    silent({ ...part, since: page.time });
    processOf(part.key).strange = true;
  }
}

function silent(part) {
  const process = processOf(part.key);
  process.strange = false;
  process.answers = false;
  process.missing = false;
  process.since = process.seen ?? part.since;
}

// A process that has ended; or another worker of a web server whose processes are asked in turns,
// where none can be asked for the others.
function missing(process, isHost) {
  process.missing = true;
  process.since = process.seen ?? process.since;
  const passed = now() - process.since;
  process.inTurns = !isHost && passed < FRESH;
  process.answers = process.inTurns;
  if (passed > FORGOTTEN_AFTER) processes.delete(process.key);
  if (!isHost) return;
  for (const client of clients.values()) {
    if (client.process === process) clients.delete(client.id);
  }
}

function applyProcess(part) {
  const process = processOf(part.key);
  const report = part.report;
  Object.assign(process, {
    pid: part.pid,
    here: part.here,
    answers: true,
    missing: false,
    strange: false,
    inTurns: false,
    seen: report.time,
    since: null,
    version: report.version,
    python: report.python,
    count: report.clients.length,
    supervisors: report.supervisors,
    handles: report.handles,
  });
  const ids = new Set();
  const connections = new Set();
  for (const client of report.clients) {
    ids.add(client.id);
    if (client.connection) connections.add(client.connection.id);
    applyClient(process, client);
  }
  for (const connection of report.connections) {
    if (connections.has(connection.id)) continue;
    ids.add(connection.id);
    applyClient(process, ofPlainThread(connection));
  }
  for (const client of clients.values()) {
    if (client.process === process && !ids.has(client.id)) clients.delete(client.id);
  }
  for (const event of part.events) addEvent({ ...event, process: part.key });
  addHistories(process, part.events);
}

// A connection that is no client's looks like one, which has nothing of a client's own.
function ofPlainThread(connection) {
  return {
    id: connection.id,
    label: connection.owner ?? connection.label,
    class: "a connection of a plain thread",
    status: connection.status,
    uri: connection.uri,
    topics: connection.topics,
    topic_count: connection.topic_count,
    mailbox: connection.mailbox,
    history: [],
    connection,
    plain: true,
  };
}

function applyClient(process, part) {
  let client = clients.get(part.id);
  if (!client) {
    client = { id: part.id, label: part.label, process, in: [], out: [], part };
    clients.set(part.id, client);
  }
  client.part = part;
  client.label = part.label;
  const rates = part.connection?.rates;
  if (!rates && !client.in.length) return; // What is not known yet is not nothing.
  push(client.in, rates?.frames_in);
  push(client.out, rates?.frames_out);
}

function push(samples, value) {
  samples.push(value ?? 0);
  if (samples.length > SAMPLES) samples.shift();
}

function sampleTotals() {
  const sum = { in: 0, out: 0, mailbox: 0 };
  const trips = [];
  for (const client of clients.values()) {
    if (!client.process.answers) continue;
    const { connection, mailbox } = client.part;
    sum.in += connection?.rates?.frames_in ?? 0;
    sum.out += connection?.rates?.frames_out ?? 0;
    sum.mailbox += mailbox.depth;
    const rtt = connection?.heartbeat?.rtt;
    if (typeof rtt === "number") trips.push(rtt * 1000);
  }
  trips.sort((a, b) => a - b);
  push(totals.in, sum.in);
  push(totals.out, sum.out);
  push(totals.mailbox, sum.mailbox);
  if (trips.length) push(totals.rtt, trips[Math.floor(trips.length / 2)]);
  totals.hasTrips = trips.length > 0;
}

// events

export function addEvent(event) {
  const key = `${event.process} ${event.number} ${event.time} ${event.client} ${event.what}`;
  if (known.has(key)) return false;
  known.add(key);
  event.key = key;
  let at = events.length;
  while (at > 0 && events[at - 1].time > event.time) at -= 1;
  events.splice(at, 0, event);
  while (events.length > MOST_EVENTS) events.shift();
  if (known.size > 20 * MOST_EVENTS) {
    known.clear();
    for (const { key } of events) known.add(key);
  }
  return true;
}

// What went before anybody asked for events is known of connections alone.
function addHistories(process, told) {
  const before = told.length ? told[0].time - 1 : Infinity;
  for (const client of clients.values()) {
    if (client.process !== process || client.told) continue;
    client.told = true;
    for (const { time, what, text } of client.part.history) {
      if (time >= before) continue;
      const bad = what !== "connected";
      const words = { connected: "connected", failed: "not connected", closed: "disconnected" };
      addEvent({
        process: process.key, number: 0, time, what: words[what] ?? what, bad,
        client: client.label, topic: null, text: text ?? "",
      });
    }
  }
}

// How a client stands.

export function kindOf(client) {
  if (!client.process.answers) return "unknown";
  return client.part.status;
}

export function joined(client) {
  return client.part.topics.filter((topic) => topic.status === "joined").length;
}

// Of many topics a report has the first.
export function areMore(client) {
  return client.part.topic_count > client.part.topics.length;
}

export function isStuck(client) {
  return (client.part.callback?.seconds ?? 0) >= STUCK_AFTER;
}

export function isTrouble(client) {
  const { part } = client;
  if (kindOf(client) !== "connected") return true;
  return (
    joined(client) < part.topics.length ||
    isStuck(client) ||
    Boolean(part.suspended) ||
    Boolean(part.connection?.reading_paused)
  );
}

export function isFound(client, words) {
  if (!words.length) return true;
  const { part, process } = client;
  const text = [
    part.label, part.class, part.uri, kindOf(client), process.key,
    ...part.topics.map((topic) => topic.topic),
  ].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}
