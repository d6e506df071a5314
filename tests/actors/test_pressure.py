"""The counters of pressure: when to stop reading, when to read again, and room for what is sent."""

from __future__ import annotations

import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipstream_actor.actors.envelopes import TAKE, Burst
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.pressure import Inflow, SendBuffer
from tests.support.clients import PATIENCE


class Flow(Inflow):
    """Counts how often reading was to be resumed."""

    def __init__(self, high: int = 10, low: int = 3, high_bytes: float = math.inf) -> None:
        self.resumed = 0
        super().__init__(high, low, high_bytes, self.note)

    def note(self) -> None:
        self.resumed += 1


def test_reading_stops_above_the_high_watermark_and_goes_on_at_the_low_one() -> None:
    flow = Flow()
    flow.delivered = 10
    assert not flow.pause()
    flow.delivered = 11
    assert flow.pause()
    flow.taken = 7
    flow.relieve()
    assert flow.pause()
    assert flow.resumed == 0
    flow.taken = 8
    flow.relieve()
    assert not flow.pause()
    flow.relieve()
    assert flow.resumed == 1


def test_a_burst_counts_what_is_taken() -> None:
    flow = Flow()
    mailbox = Inbox()
    flow.delivered = 12
    assert flow.pause()
    mailbox.tell(Burst("source", range(12), flow))
    for left in range(11, 2, -1):
        mailbox.receive(lambda m, _: TAKE if type(m) is int else 0, 0)
        assert flow.undelivered == left
    assert flow.resumed == 1


def test_what_a_waiting_receive_has_passed_over_does_not_count() -> None:
    flow = Flow()
    mailbox = Inbox()
    flow.delivered = 20
    assert flow.pause()
    mailbox.tell(Burst("source", ["passed"] * 20, flow))
    with ThreadPoolExecutor(1) as pool:
        resumed = threading.Event()
        flow.resume = resumed.set
        waiting = pool.submit(mailbox.receive, lambda m, _: TAKE if m == "answer" else 0, PATIENCE)
        assert resumed.wait(PATIENCE)
        assert flow.undelivered == 0
        flow.delivered += 11
        mailbox.tell(Burst("source", [*["passed"] * 10, "answer"], flow))
        assert waiting.result(PATIENCE) == "answer"
    # It counts again, when nobody waits.
    assert flow.undelivered == 30
    assert flow.pause()


def test_a_receive_that_gives_up_counts_again() -> None:
    flow = Flow()
    mailbox = Inbox()
    flow.delivered = 5
    mailbox.tell(Burst("source", range(5), flow))
    with pytest.raises(TimeoutError):
        mailbox.receive(lambda m, _: 0, 0.001)
    assert flow.undelivered == 5


def test_no_pause_is_missed_and_no_resume_is_lost() -> None:
    """Two threads, as fast as they can: whenever all is taken, the connection is to read."""
    flow = Flow(high=5, low=2)
    resume = threading.Semaphore(0)
    flow.resume = resume.release
    rounds = 20_000
    given = threading.Semaphore(0)

    def take() -> None:
        for _ in range(rounds):
            given.acquire()
            flow.taken += 1
            flow.relieve()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as pool:
            taking = pool.submit(take)
            for _ in range(rounds):
                flow.delivered += 1
                if flow.pause():
                    given.release()
                    assert resume.acquire(timeout=PATIENCE), "nobody resumed"
                else:
                    given.release()
            taking.result(PATIENCE)
    finally:
        sys.setswitchinterval(interval)
    assert flow.undelivered == 0
    assert not flow.paused


# what is to be sent


def test_there_is_room_until_more_than_the_limit_wait() -> None:
    room = SendBuffer(100)
    assert room.reserve(100)
    assert room.reserve(50)  # No more than the limit waited before it.
    assert not room.reserve(1)
    assert room.bytes == 150
    room.update(100, 30)
    assert room.bytes == 80
    assert room.reserve(1000)
    assert not room.reserve(1)


def test_who_waits_for_room_is_told_once() -> None:
    room = SendBuffer(10)
    told: list[int] = []
    assert room.reserve(11)
    assert not room.reserve(1, "one", lambda: told.append(1))
    assert not room.reserve(1, "two", lambda: told.append(2))
    assert not room.reserve(1, "two", lambda: told.append(2))  # Asked again, it waits once.
    room.update(0, 0)
    assert told == []
    room.update(11, 10)
    assert told == [1, 2]
    room.update(0, 0)
    assert told == [1, 2]


def test_who_waits_no_more_is_not_told() -> None:
    room = SendBuffer(10)
    told: list[int] = []
    assert room.reserve(11)
    assert not room.reserve(1, "one", lambda: told.append(1))
    assert room.withdraw("one")
    assert not room.withdraw("one")
    room.update(11, 0)
    assert told == []


def test_what_must_go_goes() -> None:
    room = SendBuffer(10)
    room.add(11)
    assert room.bytes == 11
    assert not room.reserve(1)


def test_the_end_of_a_connection_tells_who_waits() -> None:
    room = SendBuffer(10)
    told: list[int] = []
    assert room.reserve(11)
    assert not room.reserve(1, "one", lambda: told.append(1))
    room.close()
    assert told == [1]
    assert room.bytes == 0
    # Nobody waits any more for a connection that is gone.
    assert room.reserve(11)
    assert room.reserve(1, "two", lambda: told.append(2))
