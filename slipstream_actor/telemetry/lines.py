"""The table of what is said of a client in its log: each line, when, and how loud.

`python -m slipstream_actor.telemetry` prints the documentation's table.
"""

from __future__ import annotations

import logging

import msgspec

from slipstream_actor.actors.logger import Logger, get_logger

__all__ = ["CONNECTION", "FIELDS", "LINES", "Line", "log_table"]

CLIENT: Logger = get_logger("slipstream_actor.client")
CONNECTION: Logger = get_logger("slipstream_actor.connection")

# What every line carries as fields of its `LogRecord`, `None` where it has no meaning.
FIELDS = {
    "line": "which line it is, as in the table",
    "client": "the client as its owner calls it; of a plain thread, its name",
    "topic": "the topic",
    "reason": "why, in words",
    "attempt": "how many attempts have failed since it was well, a disconnect not counted",
    "delay": "the seconds until it is tried again",
    "away": "the seconds since it was well",
    "times": "how often this has happened by now, as far as that is remembered: attempts that fail,"
    " and losses, each for themselves",
    "hint": "the place of the troubleshooting page that says more",
}


class Line(msgspec.Struct, frozen=True):
    """One thing that is said: `text` has the names of what is put into it."""

    level: int
    text: str
    when: str
    logger: Logger = CLIENT


LINES: dict[str, Line] = {
    "connect_failed": Line(
        logging.WARNING,
        "cannot connect to {where}: {reason}{again}{next}{hint}",
        "an attempt to connect failed, after `handle_disconnect`",
    ),
    "lost": Line(
        logging.WARNING,
        "has lost its connection to {where}: {reason}{again}{next}{hint}",
        "a connection ended that nobody had asked to end, after `handle_disconnect`; of a plain"
        " thread at once",
    ),
    "join_failed": Line(
        logging.WARNING,
        "cannot join {topic}: {reason}{again}{next}{hint}",
        "a join was refused or timed out, or its params failed, after `handle_topic_close`",
    ),
    "crashed": Line(
        logging.WARNING,
        "has lost {topic}: {reason}{again}{next}{hint}",
        "the channel crashed on the server, after `handle_topic_close`; of a plain thread at once",
    ),
    "undecodable": Line(
        logging.WARNING,
        "cannot decode {count} of {where}: {reason}{hint}",
        "messages of the server could not be decoded: the first of a connection, each tenfold"
        " number of them, and their number at its end",
        CONNECTION,
    ),
    "push_failed": Line(
        logging.WARNING,
        "a push of {event} on {topic} failed: {reason}{again}{hint}",
        "a push failed that asked for an outcome, and `handle_push_failed` was left to the default",
    ),
    "given_up": Line(
        logging.ERROR,
        "stays disconnected: {reason}",
        "an attempt failed for an error in the configuration, which no other attempt will mend",
    ),
    "connected": Line(
        logging.INFO,
        "connected{again} to {where}{after}",
        "it is connected; again, unless the disconnect was not told either",
    ),
    "joined": Line(
        logging.INFO,
        "joined {topic} again{after}",
        "a topic is joined again whose failure was told; after a disconnect that was told, if they"
        " are few",
    ),
    "postponed": Line(
        logging.INFO,
        "next attempt to connect{next}",
        "`socket.reconnect` has changed the time of the next attempt; or an attempt that fails and"
        " is not told again has another delay than was told, by a factor of two and a second",
    ),
    "stays": Line(
        logging.INFO,
        "stays disconnected: {why}",
        "nothing will connect it again: its own `disconnect`, or a `handle_disconnect` that asked"
        " for nothing",
    ),
    "left": Line(
        logging.INFO,
        "{topic} was left by the server",
        "the server closed a channel that nobody had left; it is not joined again",
    ),
    "opening": Line(logging.DEBUG, "connects to {where}", "an attempt begins", CONNECTION),
    "opened": Line(logging.DEBUG, "is connected to {where}", "an attempt succeeded", CONNECTION),
    "ended": Line(
        logging.DEBUG,
        "its connection to {where} ended: {reason}",
        "a connection ended, whether it ever was connected or not",
        CONNECTION,
    ),
    "dropped": Line(
        logging.DEBUG,
        "drops a message of {size} bytes: {reason}",
        "a message was nobody's, or could not be decoded",
        CONNECTION,
    ),
    "no_thread": Line(
        logging.WARNING,
        "cannot go on with {where} before the system has a thread for it",
        "a quiet client's connection, whose thread had ended, has something to do, and no thread"
        " can be started: that is tried again until one can",
        CONNECTION,
    ),
    "no_threads": Line(
        logging.WARNING,
        "runs in a uWSGI without threads, and stands still between requests: start uWSGI with"
        " --enable-threads",
        "the first client of a process starts in a uWSGI whose `has_threads` is not set",
    ),
}


def log_table() -> str:
    """Return the documentation's tables of lines and of fields, in Markdown."""
    rows = ["| line | level | text | when |", "|---|---|---|---|"]
    for key, line in LINES.items():
        level = logging.getLevelName(line.level)
        rows.append(f"| `{key}` | {level} | `{line.text}` | {line.when} |")
    rows += ["", "| field | what it is |", "|---|---|"]
    rows += [f"| `{field}` | {text} |" for field, text in FIELDS.items()]
    return "\n".join(rows)
