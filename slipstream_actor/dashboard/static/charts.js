// Small charts, drawn into SVG that the page brings as templates.

import { byId, clone, list, setAttribute, setText } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 28;
const FEWEST = 15; // So many samples fill a chart; more are drawn closer together.

function points(values, slots, top) {
  const step = WIDTH / (slots - 1);
  const first = slots - values.length;
  return values.map((value, at) => {
    const y = HEIGHT - 1.5 - (top > 0 ? (value / top) * (HEIGHT - 4) : 0);
    return `${((first + at) * step).toFixed(1)} ${y.toFixed(1)}`;
  });
}

// Draw one or two series of samples, the newest at the right; return the highest value.
export function spark(place, series, { area = true } = {}) {
  const slots = Math.max(FEWEST, series[0].length);
  let svg = place.firstElementChild;
  if (!svg) {
    svg = clone("spark");
    place.append(svg);
  }
  const top = Math.max(0, ...series.flat());
  const [fill, ...lines] = svg.children;
  lines.forEach((line, at) => {
    const values = series[at] ?? [];
    const drawn = values.length > 1 ? `M${points(values, slots, top).join("L")}` : "";
    setAttribute(line, "d", drawn);
    if (at > 0) return;
    const start = ((slots - values.length) * WIDTH) / (slots - 1);
    const shape = area && drawn ? `${drawn}L${WIDTH} ${HEIGHT}L${start.toFixed(1)} ${HEIGHT}Z` : "";
    setAttribute(fill, "d", shape);
  });
  return top;
}

function bar() {
  return byId("bar").content.firstElementChild.firstElementChild.cloneNode(true);
}

// Draw rectangles: each has x, width, y, height, a class and a title.
function rectangles(place, items, title) {
  let svg = place.firstElementChild;
  if (!svg) {
    svg = clone("bars");
    place.append(svg);
    svg.group = svg.firstElementChild;
  }
  setText(svg.firstElementChild, title);
  // The title of the whole stands before the rectangles, and is none of them.
  const key = (item) => item.key;
  const holder = svg.holder ?? (svg.holder = { nodes: new Map() });
  const next = new Map(items.map((item) => [key(item), item]));
  for (const [known, node] of holder.nodes) {
    if (!next.has(known)) {
      node.remove();
      holder.nodes.delete(known);
    }
  }
  for (const [known, item] of next) {
    let node = holder.nodes.get(known);
    if (!node) {
      node = bar();
      holder.nodes.set(known, node);
      svg.append(node);
    }
    for (const name of ["x", "width", "y", "height"]) {
      setAttribute(node, name, item[name].toFixed(2));
    }
    setAttribute(node, "class", item.class);
    setText(node.firstElementChild, item.title);
  }
}

// Draw the last round trips, in seconds; return the longest.
export function trips(place, values) {
  const most = 20;
  const top = Math.max(0, ...values);
  const step = WIDTH / most;
  const items = values.map((value, at) => {
    const height = Math.max(1.5, top > 0 ? (value / top) * (HEIGHT - 2) : 0);
    return {
      key: at, class: "trip", title: `${(value * 1000).toFixed(1)} ms`,
      x: (most - values.length + at) * step + 0.8, width: step - 1.6,
      y: HEIGHT - height, height,
    };
  });
  rectangles(place, items, values.length ? `the last ${values.length} round trips` : "none yet");
  return top;
}

// Draw when a connection was there and when not; return from when on.
export function history(place, passages, now, describe) {
  const from = passages.length ? passages[0].time : now;
  const span = Math.max(now - from, 1);
  const items = passages.map((passage, at) => {
    const until = at + 1 < passages.length ? passages[at + 1].time : now;
    const x = ((passage.time - from) / span) * WIDTH;
    return {
      key: `${passage.time} ${passage.what}`,
      class: passage.what === "connected" ? "up" : "down",
      title: describe(passage, until - passage.time),
      x, width: Math.max(0.6, ((until - passage.time) / span) * WIDTH - 0.2),
      y: passage.what === "connected" ? 4 : 12, height: passage.what === "connected" ? 20 : 12,
    };
  });
  rectangles(place, items, passages.length ? "connections over time" : "nothing yet");
  return from;
}

// Draw how many there are of each kind, as parts of a bar.
export function shares(place, counts) {
  const present = Object.entries(counts).filter(([, count]) => count > 0);
  const make = () => clone("part");
  list(place, present, ([kind]) => kind, make, (node, [kind, count]) => {
    setAttribute(node, "data-kind", kind);
    const grow = String(count);
    if (node.style.flexGrow !== grow) node.style.flexGrow = grow;
  });
}
