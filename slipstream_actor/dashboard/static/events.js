// What happens, the newest first.

import { byId, clone, list, setAttribute, setText, show } from "./dom.js";
import { events, page, processes } from "./model.js";
import { clock, moment } from "./words.js";

const SHOWN = 150;

function isFound(event, words) {
  if (!words.length) return true;
  const text = [event.client, event.what, event.topic, event.text, event.process].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

export function draw(words) {
  const found = [];
  for (let at = events.length - 1; at >= 0 && found.length < SHOWN; at -= 1) {
    if (isFound(events[at], words)) found.push(events[at]);
  }
  const several = processes.size > 1;
  list(byId("event-list"), found, (event) => event.key, () => clone("entry"), (node, event) => {
    const [time, what, topic, text, who] = node.children;
    setText(time, clock(event.time));
    setAttribute(time, "title", moment(event.time));
    setText(what, event.what);
    setAttribute(node, "data-bad", event.bad);
    setText(topic, event.topic ?? "");
    setText(text, event.text ?? "");
    setText(who, several ? `${event.client} · ${event.process}` : event.client);
  });
  show(byId("no-events"), found.length === 0);
  setText(byId("events-note"), page.streams ? "as they happen" : "every other second");
}
