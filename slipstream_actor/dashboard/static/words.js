// Numbers and times, as they are shown.

const NUMBER = new Intl.NumberFormat("en");
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export function count(value) {
  if (typeof value !== "number") return "–";
  return value < 100000 ? NUMBER.format(value) : `${NUMBER.format(Math.round(value / 1000))} k`;
}

export function rate(value) {
  if (typeof value !== "number") return "–";
  if (value === 0) return "0";
  return value < 10 ? value.toFixed(1) : count(Math.round(value));
}

export function milliseconds(value) {
  if (typeof value !== "number") return "–";
  const ms = value * 1000;
  if (ms >= 10000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${NUMBER.format(Math.round(ms))} ms`;
}

export function seconds(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} days`;
}

export function ago(time, now) {
  if (typeof time !== "number") return "some time";
  const passed = Math.max(0, Math.round(now - time));
  return passed < 10 ? `${passed} s` : seconds(passed);
}

export function several(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

export function clock(time) {
  return CLOCK.format(new Date(time * 1000));
}

export function moment(time) {
  return DAY.format(new Date(time * 1000));
}

export function bytes(value) {
  if (typeof value !== "number") return "–";
  if (value < 1024) return `${value} B`;
  if (value < 1048576) return `${(value / 1024).toFixed(1)} KiB`;
  return `${(value / 1048576).toFixed(1)} MiB`;
}
