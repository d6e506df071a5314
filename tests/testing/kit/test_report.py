"""What a failed assertion shows of the requests that have come."""

from __future__ import annotations

import re
from typing import Any

import pytest

from slipstream_actor import ANY, Ref
from slipstream_actor.testing.kit.expectations import Expectation
from slipstream_actor.testing.kit.fake_connection import FakeConnection
from slipstream_actor.testing.kit.report import MOST_DIFFERENCES, MOST_ENTRIES, report
from slipstream_actor.testing.kit.request_log import ClientEnded, Entry, RequestLog
from slipstream_actor.testing.kit.requests import LeaveRequest, PushRequest

PUSH = Expectation("push", PushRequest, {"payload": ANY})


@pytest.fixture
def log() -> RequestLog:
    return RequestLog()


@pytest.fixture
def connection(log: RequestLog) -> FakeConnection:
    return FakeConnection(None, None, "client", log.add)


def add(log: RequestLog, connection: FakeConnection, *payloads: Any) -> None:
    for payload in payloads:
        log.add(connection, PushRequest(None, "t", "e", payload, Ref("1", "t", "1")))


def numbers(lines: list[str]) -> list[int]:
    """The numbers of the entries that a report shows."""
    return [int(line[:3]) for line in lines if line[3:5] == ". "]


def shown(
    log: RequestLog, connection: FakeConnection, payload: Any, culprit: Entry | None = None
) -> list[str]:
    expected = Expectation("push", PushRequest, {"event": "e", "payload": payload})
    return report(log.of([connection]), expected, culprit)


def leave(log: RequestLog, connection: FakeConnection, times: int) -> None:
    for _ in range(times):
        log.add(connection, LeaveRequest(None, "t", "1"))


def test_as_much_as_can_be_read_is_shown_in_full(
    log: RequestLog, connection: FakeConnection
) -> None:
    leave(log, connection, MOST_ENTRIES)
    lines = shown(log, connection, {})
    assert lines[0] == f"what has come since the connect ({MOST_ENTRIES}):"
    assert numbers(lines) == [*range(1, MOST_ENTRIES + 1)]


def test_of_more_it_is_the_last(log: RequestLog, connection: FakeConnection) -> None:
    leave(log, connection, MOST_ENTRIES + 5)
    lines = shown(log, connection, {})
    total = MOST_ENTRIES + 5
    assert lines[0] == f"what has come since the connect ({total}, {MOST_ENTRIES} of them shown):"
    assert numbers(lines) == [*range(6, total + 1)]


def test_what_is_of_the_expected_kind_is_before_the_rest(
    log: RequestLog, connection: FakeConnection
) -> None:
    leave(log, connection, 2)
    add(log, connection, 1, 2)
    leave(log, connection, MOST_ENTRIES)
    assert numbers(shown(log, connection, 0)) == [3, 4, *range(7, MOST_ENTRIES + 5)]


def test_but_not_what_was_taken(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, 1)
    assert log.await_match(PUSH, lambda: [connection], 0) is not None
    leave(log, connection, MOST_ENTRIES)
    assert numbers(shown(log, connection, 0)) == [*range(2, MOST_ENTRIES + 2)]


def test_the_nearest_miss_is_always_shown(log: RequestLog, connection: FakeConnection) -> None:
    far, near = {"a": 0, "b": 0}, {"a": 1, "b": 0}
    add(log, connection, far, near, near, *[far] * (MOST_ENTRIES + 5))
    lines = shown(log, connection, {"a": 1, "b": 1})
    assert numbers(lines) == [3, *range(10, MOST_ENTRIES + 9)]
    assert "        payload['b']: expected 1, got 0" in lines


def test_what_was_not_to_come_is_always_shown(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, 0, *range(MOST_ENTRIES + 5), 0)
    culprit = log.of([connection])[0]
    lines = shown(log, connection, 0, culprit)
    assert numbers(lines) == [1, *range(9, MOST_ENTRIES + 8)]
    assert lines[1].endswith("  <- this")


def test_a_crash_is_always_shown(log: RequestLog, connection: FakeConnection) -> None:
    log.add(connection, ClientEnded(RuntimeError("o" + "h" * 1_000)))
    add(log, connection, *range(MOST_ENTRIES + 5))
    lines = shown(log, connection, ANY)
    assert numbers(lines) == [1, *range(8, MOST_ENTRIES + 7)]
    assert re.fullmatch(r" {2}1\. client crashed: RuntimeError\('ohh+ … \d+ c.* … h+'\)", lines[1])


def test_not_every_difference_is_shown(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, [0] * (MOST_DIFFERENCES + 3))
    lines = shown(log, connection, [1] * (MOST_DIFFERENCES + 3))
    assert lines[-1] == "        and 3 more"
    assert lines[-2] == f"        payload[{MOST_DIFFERENCES - 1}]: expected 1, got 0"
