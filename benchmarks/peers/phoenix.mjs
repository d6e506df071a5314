// The official client, on Node with `ws`: without compression, which the server has none of, and
// without a UTF-8 check. Run in the folder that its packages are installed in.

import { readFileSync, readdirSync } from "node:fs"
import { createRequire } from "node:module"

const require = createRequire(`${process.cwd()}/`)
const { Socket } = require("phoenix")
const { WebSocket } = require("ws")

class Transport extends WebSocket {
  constructor(uri, protocols) {
    super(uri, protocols, { perMessageDeflate: false, skipUTF8Validation: true })
  }
}

const TOPIC = "bench:1"
const [task, text] = process.argv.slice(2)
const defaults = { count: 1, size: 100, in_flight: 1, clients: 1, seconds: 0, server: 0 }
const load = { binary: false, ...defaults, ...JSON.parse(text) }

const now = () => performance.now() / 1000
const monotonic = () => Number(process.hrtime.bigint())
const warmUp = { ...load, count: Math.max(load.in_flight, Math.floor(load.count / 10)) }

const onCore = (pid) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e9
const ownTime = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

class Window {
  constructor(load) {
    globalThis.gc?.()
    this.pid = load.server
    this.server = this.pid && onCore(this.pid)
    this.own = ownTime()
    this.began = now()
  }

  close() {
    const seconds = now() - this.began
    this.seconds = seconds
    this.found = { client_share: (ownTime() - this.own) / seconds }
    if (this.pid) this.found.server_share = (onCore(this.pid) - this.server) / seconds
    return this
  }

  rate(count) {
    return { ...this.found, rate: count / this.seconds }
  }

  roundTrips(times) {
    const ordered = [...times].sort((a, b) => a - b)
    const at = (part) => ordered[Math.floor(ordered.length * part)] * 1e6
    return { ...this.rate(times.length), p50: at(0.5), p99: at(0.99) }
  }
}

const connect = () => {
  const socket = new Socket(load.uri, { transport: Transport })
  socket.connect()
  return socket
}

const join = (socket, topic, onTick = () => {}) =>
  new Promise((resolve, reject) => {
    const channel = socket.channel(topic)
    channel.on("tick", onTick)
    channel
      .join()
      .receive("ok", () => resolve(channel))
      .receive("error", reject)
  })

const ask = (channel, number) =>
  new Promise((resolve) => channel.push("echo", { i: number }).receive("ok", resolve))

const flood = (socket, { count, size, binary, server }) =>
  new Promise((resolve) => {
    let left = count
    const window = new Window({ server })
    join(socket, `flood:${binary ? "binary" : "json"}:${count}:${size}`, () => {
      left -= 1
      if (left === 0) resolve(window.close().rate(count))
    })
  })

const onebyone = (channel, load) =>
  new Promise((resolve) => {
    const times = []
    let began
    const push = () => {
      began = now()
      channel.push("echo", { i: times.length }).receive("ok", answered)
    }
    const answered = () => {
      times.push(now() - began)
      if (times.length < load.count) push()
      else resolve(window.close().roundTrips(times))
    }
    const window = new Window(load)
    push()
  })

const pipelined = (channel, load) =>
  new Promise((resolve) => {
    let unsent = load.count
    let unanswered = load.count
    const push = () => {
      unsent -= 1
      channel.push("echo", { i: unsent }).receive("ok", answered)
    }
    const answered = () => {
      unanswered -= 1
      if (unsent) push()
      else if (!unanswered) resolve(window.close().rate(load.count))
    }
    const window = new Window(load)
    for (let number = 0; number < load.in_flight; number++) push()
  })

const coroutines = async (channel, load) => {
  const each = Math.floor(load.count / load.in_flight)
  const work = async () => {
    for (let number = 0; number < each; number++) await ask(channel, number)
  }
  const window = new Window(load)
  await Promise.all(Array.from({ length: load.in_flight }, work))
  return window.close().rate(each * load.in_flight)
}

// As program.py: what is mapped from files is left out.
const pss = () =>
  Number(/^Pss_Anon:\s+(\d+)/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))[1])
const threads = () => readdirSync("/proc/self/task").length

const idle = async () => {
  globalThis.gc?.()
  const before = { memory: pss(), threads: threads(), at: now() }
  const all = Array.from({ length: load.clients }, (_, number) => join(connect(), `idle:${number}`))
  await Promise.all(all)
  const found = { joined: now() - before.at }
  console.log("joined")
  const own = ownTime()
  const began = now()
  await new Promise((resolve) => setTimeout(resolve, load.seconds * 1000))
  found.idle_share = ((ownTime() - own) / (now() - began)) * 100
  globalThis.gc?.()
  found.memory = (pss() - before.memory) / load.clients
  found.threads = (threads() - before.threads) / load.clients
  return found
}

const fan = () =>
  new Promise((resolve) => {
    const last = new Map()
    let left = load.clients * load.count
    const arrived = ({ at }) => {
      last.set(at, monotonic())
      left -= 1
      if (left) return
      const times = Array.from(last, ([sent, arrived]) => arrived - sent).sort((a, b) => a - b)
      resolve({ last_callback: times[Math.floor(times.length / 2)] / 1e6 })
    }
    const topic = `fan:${load.clients}:${load.count}`
    for (let number = 0; number < load.clients; number++) join(connect(), topic, arrived)
  })

const warmed = async (run, subject) => {
  await run(subject, warmUp)
  return run(subject, load)
}
const unable = (reason) => () => ({ unable: reason })
const NO_THREADS = unable("JavaScript has one thread")

const tasks = {
  inbound: () => warmed(flood, connect()),
  sequential: async () => warmed(onebyone, await join(connect(), TOPIC)),
  sequential_thread: NO_THREADS,
  sequential_request: NO_THREADS,
  pipelined: async () => warmed(pipelined, await join(connect(), TOPIC)),
  threads: NO_THREADS,
  asyncio: async () => warmed(coroutines, await join(connect(), TOPIC)),
  idle,
  fan,
  start: async () => {
    await join(connect(), TOPIC)
    return { first_join: (monotonic() - load.started) / 1e6 }
  },
}

console.log(JSON.stringify(await tasks[task]()))
process.exit(0)
