"""What has come, taken once, whoever waits for it."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from slipstream_actor import ANY, Ref
from slipstream_actor.testing.kit.expectations import Expectation
from slipstream_actor.testing.kit.fake_connection import FakeConnection
from slipstream_actor.testing.kit.request_log import (
    MOST_DIFFERENCES,
    MOST_ENTRIES,
    ClientEnded,
    Entry,
    RequestLog,
)
from slipstream_actor.testing.kit.requests import LeaveRequest, PushRequest
from tests.support.clients import PATIENCE

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


def take(
    log: RequestLog,
    connection: FakeConnection,
    expectation: Expectation = PUSH,
    timeout: float = 0.0,
) -> Any:
    return log.await_match(expectation, lambda: [connection], timeout)


def test_what_has_come_is_taken_in_order(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, 1, 2)
    assert [take(log, connection).what.payload, take(log, connection).what.payload] == [1, 2]
    assert take(log, connection) is None


def test_it_may_be_looked_at_only(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, 1)
    entry = log.await_match(PUSH, lambda: [connection], 0, take=False)
    assert entry is not None
    assert not entry.taken
    assert take(log, connection) is entry
    assert entry.taken


def test_each_request_is_asked_about_once(log: RequestLog, connection: FakeConnection) -> None:
    asked: list[Any] = []

    def late(payload: Any) -> bool:
        asked.append(payload)
        if payload == 2:
            add(log, connection, 3)
        return bool(payload == 3)

    add(log, connection, 1, 2)
    assert take(log, connection, Expectation("push", PushRequest, {"payload": late}), PATIENCE)
    assert asked == [1, 2, 3]


def test_one_of_two_that_wait_takes_it(log: RequestLog, connection: FakeConnection) -> None:
    found: list[Entry | None] = []
    waiting = [
        threading.Thread(target=lambda: found.append(take(log, connection, timeout=PATIENCE)))
        for _ in range(2)
    ]
    for thread in waiting:
        thread.start()
    add(log, connection, 1)
    log.add(connection, ClientEnded("normal"))
    for thread in waiting:
        thread.join(PATIENCE)
    assert sorted(entry is not None for entry in found) == [False, True]


def test_an_end_ends_the_wait_for_it_alone(log: RequestLog, connection: FakeConnection) -> None:
    other = FakeConnection(None, None, "other", log.add)
    log.add(connection, ClientEnded("normal"))
    assert take(log, connection, timeout=60) is None
    add(log, other, 1)
    assert log.await_match(PUSH, lambda: [connection, other], 60) is not None


def test_what_is_forgotten_is_gone(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, 1)
    log.forget([connection])
    assert log.of([connection]) == []


# what is shown of it


def numbers(lines: list[str]) -> list[int]:
    """The numbers of the entries that a report shows."""
    return [int(line[:3]) for line in lines if line[3:5] == ". "]


def report(
    log: RequestLog, connection: FakeConnection, payload: Any, culprit: Entry | None = None
) -> list[str]:
    expected = Expectation("push", PushRequest, {"event": "e", "payload": payload})
    return log.report(expected, [connection], culprit)


def leave(log: RequestLog, connection: FakeConnection, times: int) -> None:
    for _ in range(times):
        log.add(connection, LeaveRequest(None, "t", "1"))


def test_as_much_as_can_be_read_is_shown_in_full(
    log: RequestLog, connection: FakeConnection
) -> None:
    leave(log, connection, MOST_ENTRIES)
    lines = report(log, connection, {})
    assert lines[0] == f"what has come since the connect ({MOST_ENTRIES}):"
    assert numbers(lines) == [*range(1, MOST_ENTRIES + 1)]


def test_of_more_it_is_the_last(log: RequestLog, connection: FakeConnection) -> None:
    leave(log, connection, MOST_ENTRIES + 5)
    lines = report(log, connection, {})
    total = MOST_ENTRIES + 5
    assert lines[0] == f"what has come since the connect ({total}, {MOST_ENTRIES} of them shown):"
    assert numbers(lines) == [*range(6, total + 1)]


def test_what_is_of_the_expected_kind_is_before_the_rest(
    log: RequestLog, connection: FakeConnection
) -> None:
    leave(log, connection, 2)
    add(log, connection, 1, 2)
    leave(log, connection, MOST_ENTRIES)
    assert numbers(report(log, connection, 0)) == [3, 4, *range(7, MOST_ENTRIES + 5)]


def test_but_not_what_was_taken(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, 1)
    assert take(log, connection) is not None
    leave(log, connection, MOST_ENTRIES)
    assert numbers(report(log, connection, 0)) == [*range(2, MOST_ENTRIES + 2)]


def test_the_nearest_miss_is_always_shown(log: RequestLog, connection: FakeConnection) -> None:
    far, near = {"a": 0, "b": 0}, {"a": 1, "b": 0}
    add(log, connection, far, near, near, *[far] * (MOST_ENTRIES + 5))
    lines = report(log, connection, {"a": 1, "b": 1})
    assert numbers(lines) == [3, *range(10, MOST_ENTRIES + 9)]
    assert "        payload['b']: expected 1, got 0" in lines


def test_what_was_not_to_come_is_always_shown(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, 0, *range(MOST_ENTRIES + 5), 0)
    culprit = log.of([connection])[0]
    lines = report(log, connection, 0, culprit)
    assert numbers(lines) == [1, *range(9, MOST_ENTRIES + 8)]
    assert lines[1].endswith("  <- this")


def test_a_crash_is_always_shown(log: RequestLog, connection: FakeConnection) -> None:
    log.add(connection, ClientEnded(RuntimeError("o" + "h" * 1_000)))
    add(log, connection, *range(MOST_ENTRIES + 5))
    lines = report(log, connection, ANY)
    assert numbers(lines) == [1, *range(8, MOST_ENTRIES + 7)]
    assert re.fullmatch(r" {2}1\. client crashed: RuntimeError\('ohh+ … \d+ c.* … h+'\)", lines[1])


def test_not_every_difference_is_shown(log: RequestLog, connection: FakeConnection) -> None:
    add(log, connection, [0] * (MOST_DIFFERENCES + 3))
    lines = report(log, connection, [1] * (MOST_DIFFERENCES + 3))
    assert lines[-1] == "        and 3 more"
    assert lines[-2] == f"        payload[{MOST_DIFFERENCES - 1}]: expected 1, got 0"
