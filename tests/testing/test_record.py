"""What has come, taken once, whoever waits for it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from slipstream_actor import ANY, Ref
from slipstream_actor.testing.expectations import Expectation
from slipstream_actor.testing.record import Ended, Entry, Record
from slipstream_actor.testing.requests import PushRequest
from slipstream_actor.testing.seat import Seat
from tests.support import PATIENCE

PUSH = Expectation("push", PushRequest, {"payload": ANY})


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def seat(record: Record) -> Seat:
    return Seat(None, None, "client", record.add)


def add(record: Record, seat: Seat, *payloads: Any) -> None:
    for payload in payloads:
        record.add(seat, PushRequest(None, "t", "e", payload, Ref("1", "t", "1")))


def take(record: Record, seat: Seat, expectation: Expectation = PUSH, timeout: float = 0.0) -> Any:
    return record.await_match(expectation, lambda: [seat], timeout)


def test_what_has_come_is_taken_in_order(record: Record, seat: Seat) -> None:
    add(record, seat, 1, 2)
    assert [take(record, seat).what.payload, take(record, seat).what.payload] == [1, 2]
    assert take(record, seat) is None


def test_it_may_be_looked_at_only(record: Record, seat: Seat) -> None:
    add(record, seat, 1)
    entry = record.await_match(PUSH, lambda: [seat], 0, take=False)
    assert entry is not None
    assert not entry.taken
    assert take(record, seat) is entry
    assert entry.taken


def test_each_request_is_asked_about_once(record: Record, seat: Seat) -> None:
    asked: list[Any] = []

    def late(payload: Any) -> bool:
        asked.append(payload)
        if payload == 2:
            add(record, seat, 3)
        return bool(payload == 3)

    add(record, seat, 1, 2)
    assert take(record, seat, Expectation("push", PushRequest, {"payload": late}), PATIENCE)
    assert asked == [1, 2, 3]


def test_one_of_two_that_wait_takes_it(record: Record, seat: Seat) -> None:
    found: list[Entry | None] = []
    waiting = [
        threading.Thread(target=lambda: found.append(take(record, seat, timeout=PATIENCE)))
        for _ in range(2)
    ]
    for thread in waiting:
        thread.start()
    add(record, seat, 1)
    record.add(seat, Ended("normal"))
    for thread in waiting:
        thread.join(PATIENCE)
    assert sorted(entry is not None for entry in found) == [False, True]


def test_an_end_ends_the_wait_for_it_alone(record: Record, seat: Seat) -> None:
    other = Seat(None, None, "other", record.add)
    record.add(seat, Ended("normal"))
    assert take(record, seat, timeout=60) is None
    add(record, other, 1)
    assert record.await_match(PUSH, lambda: [seat, other], 60) is not None


def test_what_is_forgotten_is_gone(record: Record, seat: Seat) -> None:
    add(record, seat, 1)
    record.forget([seat])
    assert record.of([seat]) == []
