"""What is read of a report, and of a dashboard's `report.json`: of a process of another version
what is missing is left out."""

from __future__ import annotations

from typing import TypeVar

import msgspec

__all__ = [
    "Client",
    "Connection",
    "Process",
    "Report",
    "dashboard_from",
    "report_from",
]

T = TypeVar("T")


class Callback(msgspec.Struct):
    """The callback that runs."""

    name: str = ""
    seconds: float | None = None


class Mailbox(msgspec.Struct):
    """What waits."""

    depth: int = 0
    oldest: str | None = None
    oldest_age: float | None = None


class Failure(msgspec.Struct):
    """Why something has failed."""

    text: str = ""
    hint: str | None = None


class Rates(msgspec.Struct):
    """Per second."""

    bytes_in: float = 0.0
    bytes_out: float = 0.0
    frames_in: float = 0.0
    frames_out: float = 0.0


class Heartbeat(msgspec.Struct):
    """The last round trip, in seconds."""

    rtt: float | None = None


class Connection(msgspec.Struct):
    """A connection; those of plain threads stand for themselves."""

    id: str = ""
    label: str = ""
    owner: str | None = None
    status: str = ""
    uri: str | None = None
    topic_count: int = 0
    joined_count: int = 0
    rates: Rates | None = None
    heartbeat: Heartbeat = msgspec.field(default_factory=Heartbeat)
    mailbox: Mailbox = msgspec.field(default_factory=Mailbox)


class Client(msgspec.Struct):
    """A client."""

    id: str
    label: str = ""
    status: str = ""
    uri: str | None = None
    suspended: bool = False
    topic_count: int = 0
    mailbox: Mailbox = msgspec.field(default_factory=Mailbox)
    callback: Callback | None = None
    reconnects: int | None = None
    next_attempt_in: float | None = None
    last_failure: Failure | None = None
    connection: Connection | None = None


class Report(msgspec.Struct):
    """A process."""

    pid: int
    command: str = ""
    clients: list[Client] = msgspec.field(default_factory=list)
    connections: list[Connection] = msgspec.field(default_factory=list)


class Process(msgspec.Struct):
    """A process, and since when it does not answer, in seconds; `report` is its last one."""

    key: str
    pid: int | None = None
    report: Report | None = None
    silent_for: float | None = None
    trouble: str | None = None


class Answer(msgspec.Struct):
    """A line of a local socket."""

    ok: bool = False
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""


class Part(msgspec.Struct):
    """What a dashboard tells of one process; `since` is when it did not answer first."""

    key: str = ""
    pid: int | None = None
    answers: bool = True
    since: float | None = None
    report: Report | None = None


class Dashboard(msgspec.Struct):
    """What a dashboard tells."""

    processes: list[Part]
    time: float | None = None


ANSWER: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)
REPORT: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)
DASHBOARD: msgspec.json.Decoder[Dashboard] = msgspec.json.Decoder(Dashboard)


def report_from(line: bytes) -> Report:
    """Return the report that a local socket has answered with. Raises `ValueError`."""
    answer = decoded(ANSWER, line)
    if not answer.ok:
        raise ValueError(answer.error)
    return decoded(REPORT, answer.result)


def dashboard_from(body: bytes) -> list[Process]:
    """Return the processes that a dashboard tells of. Raises `ValueError`."""
    told = decoded(DASHBOARD, body)
    return [process_of(part, told.time) for part in told.processes]


def decoded(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    """Return what JSON says. Raises `ValueError`, also where it is nested too deep."""
    try:
        return decoder.decode(data)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def process_of(part: Part, now: float | None) -> Process:
    if part.answers:
        return Process(part.key, part.pid, part.report)
    silent_for = 0.0 if now is None or part.since is None else max(0.0, now - part.since)
    return Process(part.key, part.pid, silent_for=silent_for)
