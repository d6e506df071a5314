// The table of clients.

import { spark } from "./charts.js";
import { byId, clone, list, setAttribute, setText, show } from "./dom.js";
import { areMore, isFound, isStuck, isTrouble, joined, kindOf, now, processes, sorted } from "./model.js";
import { ago, count, milliseconds, rate, seconds } from "./words.js";

const FILTERS = {
  all: () => true,
  trouble: isTrouble,
  connected: (client) => kindOf(client) === "connected",
  away: (client) => kindOf(client) !== "connected",
};
const rows = byId("rows");
const buttons = [...document.querySelectorAll("[data-filter]")];
let filter = "all";

// What there is to say of a client beside its status, the most urgent first.
export function noteOf(client) {
  const { part, process } = client;
  if (!process.answers) return `as of ${ago(process.seen, now())} ago`;
  if (isStuck(client)) return `in ${part.callback.name} for ${seconds(part.callback.seconds)}`;
  if (part.suspended) return "suspended";
  if (typeof part.next_attempt_in === "number") {
    return `next attempt in ${seconds(Math.max(0, part.next_attempt_in))}`;
  }
  if (part.status !== "connected") return part.last_failure?.text ?? "";
  if (part.connection?.reading_paused) return "reading is paused";
  const waits = part.connection?.heartbeat?.waiting_for;
  if (waits > 5) return `heartbeat unanswered for ${seconds(waits)}`;
  return "";
}

// Of hundreds of rows few are on the screen: of the others no chart is drawn.
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.seen = isIntersecting;
    if (isIntersecting) drawTrend(target);
  }
});

function drawTrend(row) {
  if (row.series) spark(row.parts.trend, row.series, { area: false });
}

function make(open) {
  return () => {
    const row = clone("row");
    watcher.observe(row);
    const cells = [...row.children];
    row.parts = {
      button: cells[0].firstElementChild,
      label: cells[0].querySelector("b"),
      about: cells[0].querySelector("small"),
      status: cells[1].firstElementChild,
      word: cells[1].querySelector("b"),
      note: cells[1].querySelector("small"),
      topics: cells[2], in: cells[3], out: cells[4], trend: cells[5], trip: cells[6], mailbox: cells[7],
    };
    row.parts.button.addEventListener("click", () => open(row.client));
    row.addEventListener("click", (event) => {
      if (!event.target.closest("button") && !String(getSelection())) open(row.client);
    });
    return row;
  };
}

function update(row, client, selected, several) {
  const { part, process } = client;
  const { parts } = row;
  row.client = client.id;
  const live = process.answers;
  setText(parts.label, part.label);
  setText(parts.about, several ? `${process.key} · ${part.class}` : part.class);
  setAttribute(parts.status, "data-kind", kindOf(client));
  setText(parts.word, kindOf(client));
  const note = noteOf(client);
  setText(parts.note, note);
  setAttribute(parts.note, "title", note);
  const there = joined(client);
  const more = areMore(client) ? "+" : "";
  setText(parts.topics, part.topics.length ? `${count(there)}${more}/${count(part.topic_count)}` : "–");
  setAttribute(parts.topics, "data-short", there < part.topics.length);
  setText(parts.in, live ? rate(part.connection?.rates?.frames_in) : "–");
  setText(parts.out, live ? rate(part.connection?.rates?.frames_out) : "–");
  setText(parts.trip, live ? milliseconds(part.connection?.heartbeat?.rtt) : "–");
  setText(parts.mailbox, live ? count(part.mailbox.depth) : "–");
  row.series = [client.in, client.out];
  if (row.seen) drawTrend(row);
  setAttribute(row, "data-live", live);
  setAttribute(row, "data-trouble", isTrouble(client));
  setAttribute(parts.button, "aria-expanded", client.id === selected);
}

export function draw(words, selected, open) {
  const all = sorted();
  const several = processes.size > 1;
  const found = all.filter((client) => isFound(client, words));
  const shown = new Set(found.filter(FILTERS[filter]));
  list(rows, all, (client) => client.id, make(open), (row, client) => {
    update(row, client, selected, several);
    show(row, shown.has(client));
  });
  for (const button of buttons) {
    setText(button.lastElementChild, found.filter(FILTERS[button.dataset.filter]).length);
    setAttribute(button, "aria-pressed", button.dataset.filter === filter);
  }
  show(byId("no-clients"), shown.size === 0);
  setText(byId("no-clients"), all.length ? "No client is like that." : emptiness());
}

function emptiness() {
  if (!processes.size) return "No process is there: none has used a client yet, or none serves itself in SLIPSTREAM_DEBUG_DIR.";
  return "There are no clients yet. One that is started will be here within two seconds.";
}

export function listen(redraw) {
  for (const button of buttons) {
    button.addEventListener("click", () => {
      filter = button.dataset.filter;
      redraw();
    });
  }
  rows.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !event.target.classList.contains("open")) return;
    const visible = [...rows.querySelectorAll("tr:not([hidden]) button.open")];
    const next = visible[visible.indexOf(event.target) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
}

export function focusRow(id) {
  for (const row of rows.children) {
    if (row.client === id) row.parts.button.focus();
  }
}
