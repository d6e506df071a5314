"""What has come, taken once, whoever waits for it."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from slipstream_actor import ANY, Ref
from slipstream_actor.testing.kit.expectations import Expectation
from slipstream_actor.testing.kit.record import MOST_DIFFERENCES, MOST_ENTRIES, Ended, Entry, Record
from slipstream_actor.testing.kit.requests import LeaveRequest, PushRequest
from slipstream_actor.testing.kit.seat import Seat
from tests.support.clients import PATIENCE

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


# what is shown of it


def numbers(lines: list[str]) -> list[int]:
    """The numbers of the entries that a report shows."""
    return [int(line[:3]) for line in lines if line[3:5] == ". "]


def report(record: Record, seat: Seat, payload: Any, culprit: Entry | None = None) -> list[str]:
    expected = Expectation("push", PushRequest, {"event": "e", "payload": payload})
    return record.report(expected, [seat], culprit)


def leave(record: Record, seat: Seat, times: int) -> None:
    for _ in range(times):
        record.add(seat, LeaveRequest(None, "t", "1"))


def test_as_much_as_can_be_read_is_shown_in_full(record: Record, seat: Seat) -> None:
    leave(record, seat, MOST_ENTRIES)
    lines = report(record, seat, {})
    assert lines[0] == f"what has come since the connect ({MOST_ENTRIES}):"
    assert numbers(lines) == [*range(1, MOST_ENTRIES + 1)]


def test_of_more_it_is_the_last(record: Record, seat: Seat) -> None:
    leave(record, seat, MOST_ENTRIES + 5)
    lines = report(record, seat, {})
    total = MOST_ENTRIES + 5
    assert lines[0] == f"what has come since the connect ({total}, {MOST_ENTRIES} of them shown):"
    assert numbers(lines) == [*range(6, total + 1)]


def test_what_is_of_the_expected_kind_is_before_the_rest(record: Record, seat: Seat) -> None:
    leave(record, seat, 2)
    add(record, seat, 1, 2)
    leave(record, seat, MOST_ENTRIES)
    assert numbers(report(record, seat, 0)) == [3, 4, *range(7, MOST_ENTRIES + 5)]


def test_but_not_what_was_taken(record: Record, seat: Seat) -> None:
    add(record, seat, 1)
    assert take(record, seat) is not None
    leave(record, seat, MOST_ENTRIES)
    assert numbers(report(record, seat, 0)) == [*range(2, MOST_ENTRIES + 2)]


def test_the_nearest_miss_is_always_shown(record: Record, seat: Seat) -> None:
    far, near = {"a": 0, "b": 0}, {"a": 1, "b": 0}
    add(record, seat, far, near, near, *[far] * (MOST_ENTRIES + 5))
    lines = report(record, seat, {"a": 1, "b": 1})
    assert numbers(lines) == [3, *range(10, MOST_ENTRIES + 9)]
    assert "        payload['b']: expected 1, got 0" in lines


def test_what_was_not_to_come_is_always_shown(record: Record, seat: Seat) -> None:
    add(record, seat, 0, *range(MOST_ENTRIES + 5), 0)
    culprit = record.of([seat])[0]
    lines = report(record, seat, 0, culprit)
    assert numbers(lines) == [1, *range(9, MOST_ENTRIES + 8)]
    assert lines[1].endswith("  <- this")


def test_a_crash_is_always_shown(record: Record, seat: Seat) -> None:
    record.add(seat, Ended(RuntimeError("o" + "h" * 1_000)))
    add(record, seat, *range(MOST_ENTRIES + 5))
    lines = report(record, seat, ANY)
    assert numbers(lines) == [1, *range(8, MOST_ENTRIES + 7)]
    assert re.fullmatch(r" {2}1\. client crashed: RuntimeError\('ohh+ … \d+ c.* … h+'\)", lines[1])


def test_not_every_difference_is_shown(record: Record, seat: Seat) -> None:
    add(record, seat, [0] * (MOST_DIFFERENCES + 3))
    lines = report(record, seat, [1] * (MOST_DIFFERENCES + 3))
    assert lines[-1] == "        and 3 more"
    assert lines[-2] == f"        payload[{MOST_DIFFERENCES - 1}]: expected 1, got 0"
