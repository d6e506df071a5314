"""What has come, taken once, whoever waits for it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from slipstream_actor import ANY, Ref
from slipstream_actor.testing.kit.expectations import Expectation
from slipstream_actor.testing.kit.fake_connection import FakeConnection
from slipstream_actor.testing.kit.request_log import ClientEnded, Entry, RequestLog
from slipstream_actor.testing.kit.requests import PushRequest
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
