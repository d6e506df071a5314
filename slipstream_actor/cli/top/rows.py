"""What is shown: a row for each client, for each connection of a plain thread, and for each process
that has neither. Pure.

What other processes say is not to be believed: it is escaped here, before anybody shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec

from slipstream_actor.cli.output import plain
from slipstream_actor.cli.top.reports import Client, Connection, Process, Rates

__all__ = ["SORTS", "Row", "filtered", "ordered", "rows_of"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line. Times are in seconds; `None` is what is not known, or is not there.

    `silent_for`: since when the process does not answer: all else is then as it was before.
    """

    process: str
    pid: int | None = None
    command: str = ""
    silent_for: float | None = None
    trouble: str | None = None
    id: str = ""
    client: str | None = None
    status: str = ""
    host: str | None = None
    joined: int = 0
    topics: int = 0
    mailbox: int = 0
    oldest: str | None = None
    oldest_age: float | None = None
    callback: str | None = None
    busy_for: float | None = None
    round_trip: float | None = None
    messages_in: float | None = None
    messages_out: float | None = None
    bytes: float | None = None
    reconnects: int | None = None
    failure: str | None = None
    hint: str | None = None


def rows_of(processes: Iterable[Process]) -> list[Row]:
    """Return the rows of processes, in the order of these."""
    return [row for process in processes for row in rows_in(process)]


def rows_in(process: Process) -> Iterator[Row]:
    report = process.report
    common: dict[str, Any] = {
        "process": plain(process.key),
        "pid": process.pid if report is None else report.pid,
        "command": "" if report is None else plain(report.command),
        "silent_for": process.silent_for,
        "trouble": plain_or_none(process.trouble),
    }
    if report is None or not (report.clients or report.connections):
        yield Row(**common)
        return
    owners = {client.label for client in report.clients}
    shown = {client.connection.id for client in report.clients if client.connection is not None}
    for client in report.clients:
        yield Row(**common, **of_client(client))
    for connection in report.connections:
        if connection.id not in shown and connection.owner not in owners:
            yield Row(**common, **of_thread(connection))


def of_client(client: Client) -> dict[str, Any]:
    failure, callback = client.last_failure, client.callback
    return {
        **of_connection(client.connection),
        "id": client.id,
        "client": plain(client.label),
        "status": plain("suspended" if client.suspended else client.status),
        "host": host_of(client.uri),
        "topics": client.topic_count,
        "mailbox": client.mailbox.depth,
        "oldest": plain_or_none(client.mailbox.oldest),
        "oldest_age": client.mailbox.oldest_age,
        "callback": None if callback is None else plain(callback.name),
        "busy_for": None if callback is None else callback.seconds,
        "reconnects": client.reconnects,
        "failure": None if failure is None else plain(failure.text),
        "hint": None if failure is None else plain_or_none(failure.hint),
    }


def of_thread(connection: Connection) -> dict[str, Any]:
    """Return what is shown of a plain thread's connection."""
    return {
        **of_connection(connection),
        "id": connection.id,
        "client": plain(connection.owner or connection.label),
        "status": plain(connection.status),
        "host": host_of(connection.uri),
        "topics": connection.topic_count,
        "mailbox": connection.mailbox.depth,
    }


def of_connection(connection: Connection | None) -> dict[str, Any]:
    if connection is None:
        return {}
    rates = connection.rates
    return {
        "joined": connection.joined_count,
        "round_trip": connection.heartbeat.rtt,
        "messages_in": None if rates is None else rates.frames_in,
        "messages_out": None if rates is None else rates.frames_out,
        "bytes": None if rates is None else bytes_of(rates),
    }


def bytes_of(rates: Rates) -> float:
    return rates.bytes_in + rates.bytes_out


def plain_or_none(text: str | None) -> str | None:
    return None if text is None else plain(text)


def host_of(uri: str | None) -> str | None:
    """Return the host and port of an address."""
    try:
        return None if uri is None else plain(urlsplit(uri).netloc.rpartition("@")[2])
    except ValueError:
        return None


# order

Sort: TypeAlias = Callable[[Row], Any]

# What they may be ordered by: the greatest first, names and processes the least first.
SORTS: dict[str, Sort] = {
    "process": lambda row: (row.pid or math.inf, row.process, (row.client or "").casefold()),
    "client": lambda row: ((row.client or "").casefold(), row.pid or 0),
    "status": lambda row: (row.status, (row.client or "").casefold()),
    "topics": lambda row: -row.topics,
    "mailbox": lambda row: -row.mailbox,
    "busy": lambda row: -(row.busy_for or 0.0),
    "round-trip": lambda row: -(row.round_trip or 0.0),
    "in": lambda row: -(row.messages_in or 0.0),
    "out": lambda row: -(row.messages_out or 0.0),
    "bytes": lambda row: -(row.bytes or 0.0),
    "reconnects": lambda row: -(row.reconnects or 0),
}


def ordered(rows: Iterable[Row], sort: str, *, reverse: bool = False) -> list[Row]:
    """Return rows in an order; those that are equal in it stand by process and client."""
    by_process = sorted(rows, key=SORTS["process"])
    return sorted(by_process, key=SORTS[sort], reverse=reverse)


def filtered(rows: Sequence[Row], text: str) -> list[Row]:
    """Return the rows that have all the words of a text, in whatever case."""
    words = text.casefold().split()
    return [row for row in rows if all(word in words_of(row) for word in words)]


def words_of(row: Row) -> str:
    texts = (row.pid, row.command, row.client, row.status, row.host, row.callback, row.failure)
    silent = "no answer" if row.silent_for is not None else ""
    return "\n".join(str(text) for text in (*texts, silent) if text is not None).casefold()
