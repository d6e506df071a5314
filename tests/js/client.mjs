// The official Phoenix client, against the server at the URI that is its argument.
//
// Each step talks over connections of its own and returns what it saw; that is printed as one line
// of JSON, {"step": …, "saw": …} or {"step": …, "failed": …}. What ought to be seen is asserted by
// whoever runs this.

import { Presence, Socket } from "phoenix";
import WebSocket from "ws";

const STEP_DEADLINE = 5000;
const endpoint = process.argv[2].replace(/\?.*$/, "").replace(/\/websocket$/, "");

// ---- promises for what phoenix tells by callbacks ----

let opened = [];

function makeSocket(options = {}) {
  const socket = new Socket(endpoint, {
    transport: WebSocket,
    reconnectAfterMs: () => 10,
    rejoinAfterMs: () => 10,
    ...options,
  });
  opened.push(socket);
  return socket;
}

function connect(options = {}) {
  const socket = makeSocket(options);
  return new Promise((resolve, reject) => {
    socket.onOpen(() => resolve(socket));
    socket.onError(({ message }) => reject(new Error(message)));
    socket.connect();
  });
}

const STATUSES = ["ok", "error", "teapot", "timeout"];

function answer(push) {
  return new Promise((resolve) => {
    for (const status of STATUSES) {
      push.receive(status, (response) => resolve({ status, response: readable(response) }));
    }
  });
}

async function join(socket, topic, params = {}) {
  const channel = socket.channel(topic, params);
  const { status, response } = await answer(channel.join());
  if (status !== "ok") throw new Error(`${topic}: ${JSON.stringify(response)}`);
  return channel;
}

// Resolved by the first `event`: to be called before what makes the server send it.
function once(channel, event) {
  return new Promise((resolve) => {
    const ref = channel.on(event, (payload) => {
      channel.off(event, ref);
      resolve(readable(payload));
    });
  });
}

const binary = (...bytes) => new Uint8Array(bytes).buffer;

function readable(payload) {
  return payload instanceof ArrayBuffer ? { binary: [...new Uint8Array(payload)] } : payload;
}

// ---- the steps ----

const steps = {
  async connecting() {
    // A token whose standard base64 has a "+": Phoenix takes no base64url, whatever the prefix says.
    const socket = await connect({ params: { id: "js", "a[]": "1" }, authToken: "s3cret>>>" });
    const { response } = await answer(socket.channel("params:js", { from: "js" }).join());
    const { connect: params, info, join, socket_id, transport } = response;
    return { params, auth_token: info.auth_token, join, socket_id, transport };
  },

  connection_refused() {
    const socket = makeSocket({ params: { reject: "429" } });
    return new Promise((resolve) => {
      socket.onError(({ message }) => resolve(message));
      socket.connect();
    });
  },

  async joins() {
    const socket = await connect();
    const attempt = async (topic, params) => {
      const channel = socket.channel(topic, params);
      const result = await answer(channel.join());
      channel.leave();
      return result;
    };
    return {
      accepted: await attempt("bench:a", { reply: { welcome: "é🏴" } }),
      refused: await attempt("bench:b", { error: { why: "full" } }),
      crashed: await attempt("bench:c", { crash: true }),
      unmatched: await attempt("nothing:here", {}),
    };
  },

  async replies() {
    const channel = await join(await connect(), "bench:replies");
    return {
      ok: await answer(channel.push("echo", { a: [1, 2.5, null, "é"] })),
      error: await answer(channel.push("echo_error", { a: 1 })),
      other: await answer(channel.push("echo_status", { status: "teapot", response: { a: 1 } })),
      none: await answer(channel.push("never", {}, 50)),
    };
  },

  async pushes() {
    const socket = await connect();
    const channel = socket.channel("bench:pushes", { push: { first: true } });
    const afterJoin = once(channel, "after_join");
    channel.join();
    const order = [await afterJoin];
    const pushed = once(channel, "pushed").then((payload) => order.push({ pushed: payload }));
    order.push({ reply: await answer(channel.push("push_then_reply", { a: 1 })) });
    await pushed;
    return order;
  },

  async flood() {
    const channel = await join(await connect(), "bench:flood");
    const seen = [];
    channel.on("tick", ({ i }) => seen.push(i));
    const done = once(channel, "flood_done");
    channel.push("flood", { n: 2000, size: 100 });
    await done;
    return { count: seen.length, in_order: seen.every((i, at) => i === seen[0] + at) };
  },

  async broadcasts() {
    const [here, there] = await Promise.all([connect(), connect()]);
    const [mine, other] = [await join(here, "bench:all"), await join(there, "bench:all")];
    const both = Promise.all([once(mine, "shout"), once(other, "shout")]);
    const reply = await answer(mine.push("broadcast", { to: "all" }));
    const toAll = await both;

    const echoes = [];
    mine.on("shout", (payload) => echoes.push(payload));
    const elsewhere = once(other, "shout");
    await answer(mine.push("broadcast_from", { to: "others" }));
    return { reply, to_all: toAll, to_others: await elsewhere, to_self: echoes };
  },

  async binary() {
    const [here, there] = await Promise.all([connect(), connect()]);
    const channel = await join(here, "test:good");
    const other = await join(there, "test:good");
    const pushed = once(channel, "foo");
    channel.push("push to me", binary(1));
    const broadcast = once(other, "broadcast event");
    channel.push("binary broadcast", {});
    const bench = await join(here, "bench:binary");
    const every = Uint8Array.from({ length: 256 }, (_, i) => i).buffer;
    const echoed = await answer(bench.push("echo", every));
    return {
      reply: await answer(channel.push("ping", binary(0, 1))),
      json_reply: await answer(channel.push("ack", binary(255))),
      push: await pushed,
      broadcast: await broadcast,
      echo_intact: echoed.response.binary?.every((byte, i) => byte === i),
      echo_size: echoed.response.binary?.length,
    };
  },

  async leaving() {
    const socket = await connect();
    const channel = await join(socket, "bench:leave");
    const closed = new Promise((resolve) => channel.onClose(() => resolve(channel.state)));
    const reply = await answer(channel.leave());
    return { reply, state: await closed };
  },

  async leaving_and_rejoining_at_once() {
    const socket = await connect();
    const first = await join(socket, "bench:again");
    first.leave();
    const second = await join(socket, "bench:again");
    return { echo: await answer(second.push("echo", { alive: true })), state: second.state };
  },

  // A second channel object for a topic makes phoenix leave the first one by itself.
  async joining_twice() {
    const socket = await connect();
    const first = await join(socket, "bench:twice");
    const closed = new Promise((resolve) => first.onClose(() => resolve(first.state)));
    const second = await join(socket, "bench:twice");
    const echo = await answer(second.push("echo", { from: "second" }));
    return { first: await closed, echo, second: second.state };
  },

  async channel_crash() {
    const socket = await connect();
    const bystander = await join(socket, "bench:bystander");
    const channel = socket.channel("test:good");
    const crashed = new Promise((resolve) => channel.onError(resolve));
    const rejoined = new Promise((resolve) => {
      let joins = 0;
      channel.join().receive("ok", () => ++joins === 2 && resolve(joins));
    });
    await answer(channel.push("ack", {}));
    channel.push("raise", {});
    return {
      error: await crashed,
      joins: await rejoined,
      ping: await answer(channel.push("ping", {})),
      bystander: await answer(bystander.push("echo", { alive: true })),
    };
  },

  async channel_stop() {
    const channel = await join(await connect(), "test:good");
    const closed = new Promise((resolve) => channel.onClose(() => resolve(channel.state)));
    channel.push("stop", {});
    return closed;
  },

  async presence() {
    const [here, there] = await Promise.all([connect(), connect()]);
    const channel = here.channel("presence:js", { user: "alice" });
    const presence = new Presence(channel);
    const heard = [];
    const met = new Promise((resolve) => {
      // One's own diff repeats what the state has: phoenix tells of it again, with what it knew.
      presence.onJoin((user, known) => {
        if (!known) heard.push(`+${user}`);
        if (user === "bob") resolve();
      });
    });
    const parted = new Promise((resolve) => {
      presence.onLeave((user) => {
        heard.push(`-${user}`);
        if (user === "bob") resolve();
      });
    });
    await answer(channel.join());
    const bob = await join(there, "presence:js", { user: "bob", meta: { typing: true } });
    await met;
    const together = presence.list((user, { metas }) => {
      return { user, metas: metas.map(({ phx_ref: _, ...meta }) => meta) };
    });
    bob.leave();
    await parted;
    return { together, heard, alone: presence.list((user) => user) };
  },

  // With a heartbeat unanswered phoenix would take the connection for dead and open another.
  async heartbeats() {
    const socket = makeSocket({ heartbeatIntervalMs: 400 });
    let connections = 0;
    socket.onOpen(() => (connections += 1));
    const seen = await new Promise((resolve) => {
      const replies = [];
      socket.onMessage(({ topic, event, payload }) => {
        if (topic === "phoenix" && replies.push({ event, payload }) === 3) resolve(replies);
      });
      socket.connect();
    });
    return { seen, connections };
  },

  async disconnect() {
    const socket = await connect({ params: { id: "js-disconnect" } });
    const channel = socket.channel("bench:disconnect");
    const code = new Promise((resolve) => socket.onClose((event) => resolve(event.code)));
    const rejoined = new Promise((resolve) => {
      let joins = 0;
      channel.join().receive("ok", () => ++joins === 2 && resolve(joins));
    });
    await answer(channel.push("echo", {}));
    const control = await join(await connect(), "control:js");
    control.push("disconnect_user", { id: "js-disconnect" });
    return {
      code: await code,
      joins: await rejoined,
      echo: await answer(channel.push("echo", { back: true })),
    };
  },
};

// ---- running them ----

async function run(step) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("nothing came")), STEP_DEADLINE);
  });
  try {
    return { step, saw: await Promise.race([steps[step](), deadline]) };
  } catch (error) {
    return { step, failed: String(error.stack ?? error) };
  } finally {
    clearTimeout(timer);
    for (const socket of opened) socket.disconnect();
    opened = [];
  }
}

for (const step of Object.keys(steps)) {
  console.log(JSON.stringify(await run(step)));
}
process.exit(0);
