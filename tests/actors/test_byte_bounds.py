"""The bound in bytes: what is counted of a burst, when it counts, and when reading goes on."""

from __future__ import annotations

import math
from typing import Any

import pytest

from slipstream_actor.actors.envelopes import LEAVE, TAKE, Burst
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.places import Place
from slipstream_actor.actors.pressure import Inflow


class Flow(Inflow):
    """Of a hundred bytes; counts how often reading was to be resumed."""

    def __init__(self, high: int = 1000, low: int = 500, high_bytes: float = 100) -> None:
        self.resumed = 0
        super().__init__(high, low, high_bytes, self.note)

    def note(self) -> None:
        self.resumed += 1


def the(wanted: Any) -> Any:
    return lambda message, _: TAKE if message == wanted else 0


def told(inbox: Inbox, flow: Flow, events: list[Any], size: int, **more: Any) -> Burst:
    """Deliver a burst, as a connection does."""
    flow.deliver(len(events), size)
    burst = Burst("source", events, flow, size, **more)
    inbox.tell(burst)
    return burst


def test_the_bound_itself_is_no_pause_and_one_byte_more_is() -> None:
    flow = Flow()
    flow.deliver(1, 100)
    assert not flow.pause()
    flow.deliver(1, 1)
    assert flow.pause()


@pytest.mark.parametrize(("left", "reads"), [(26, False), (25, True), (0, True)])
def test_reading_goes_on_at_a_quarter_of_the_bytes(left: int, reads: bool) -> None:
    flow = Flow()
    flow.deliver(2, 200)
    assert flow.pause()
    flow.taken_bytes = 200 - left
    flow.relieve()
    assert flow.paused is not reads
    assert flow.resumed == reads


def test_few_bytes_do_not_resume_while_many_messages_wait() -> None:
    flow = Flow(high=10, low=3)
    flow.deliver(11, 200)
    assert flow.pause()
    flow.taken_bytes = 200
    flow.relieve()
    assert flow.paused
    flow.taken = 8
    flow.relieve()
    assert not flow.paused


def test_few_messages_do_not_resume_while_many_bytes_wait() -> None:
    flow = Flow(high=10, low=3)
    flow.deliver(11, 200)
    assert flow.pause()
    flow.taken = 11
    flow.relieve()
    assert flow.paused
    assert flow.resumed == 0


def test_bytes_that_led_to_no_event_do_not_count() -> None:
    flow = Flow()
    flow.deliver(0, 1000)
    assert flow.undelivered_bytes == 0
    assert not flow.pause()


def test_without_a_bound_no_bytes_are_too_many() -> None:
    flow = Flow(high_bytes=math.inf)
    flow.deliver(1, 10**15)
    assert not flow.pause()


def test_a_resume_that_a_signal_ends_is_tried_again() -> None:
    flow = Flow()
    flow.deliver(1, 200)
    assert flow.pause()
    flow.taken_bytes = 200

    def interrupted() -> None:
        raise KeyboardInterrupt

    flow.taken = 1
    flow.resume = interrupted
    with pytest.raises(KeyboardInterrupt):
        flow.relieve()
    assert flow.paused
    flow.resume = flow.note
    flow.relieve()
    assert not flow.paused
    assert flow.resumed == 1


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_the_bytes_of_a_burst_are_taken_with_its_last_event(order: str) -> None:
    inbox, flow = Inbox(), Flow()
    told(inbox, flow, ["a", "b", "c"], 90)
    for event in order[:-1]:
        inbox.receive(the(event), 0)
        assert flow.undelivered_bytes == 90
    inbox.receive(the(order[-1]), 0)
    assert flow.undelivered_bytes == 0
    assert inbox.depth == 0


def test_what_is_left_where_it_is_counts() -> None:
    inbox, flow = Inbox(), Flow()
    told(inbox, flow, ["a"], 90)
    assert inbox.receive(lambda message, _: LEAVE if message == "a" else 0, 0) == "a"
    assert (flow.undelivered, flow.undelivered_bytes) == (1, 90)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_what_is_put_back_counts_again_and_lies_where_it_lay(order: str) -> None:
    inbox, flow = Inbox(), Flow()
    taken: list[Place] = []
    told(inbox, flow, ["a", "b"], 90)
    inbox.taken = taken
    for event in order:
        inbox.receive(the(event), 0)
    inbox.taken = None
    assert (flow.undelivered, flow.undelivered_bytes) == (0, 0)
    inbox.put_back(taken)
    assert (flow.undelivered, flow.undelivered_bytes) == (2, 90)
    assert [inbox.receive(lambda *_: TAKE, 0) for _ in range(2)] == ["a", "b"]
    assert (flow.undelivered, flow.undelivered_bytes) == (0, 0)


def test_what_a_receive_has_passed_over_counts_again_when_it_gives_up() -> None:
    inbox, flow = Inbox(), Flow()
    told(inbox, flow, ["a"], 200)
    assert flow.pause()
    with pytest.raises(TimeoutError):
        inbox.receive(the("nothing"), 0)
    assert flow.resumed == 1  # While it waited.
    assert (flow.passed, flow.passed_bytes) == (0, 0)
    assert flow.undelivered_bytes == 200
    assert flow.pause()


def test_bursts_of_before_a_push_are_not_looked_into() -> None:
    inbox, flow = Inbox(), Flow()
    told(inbox, flow, ["answer", "old"], 10, last_ref=6)
    told(inbox, flow, ["passed", "answer"], 20, last_ref=7)
    seen: list[Any] = []

    def match(message: Any, _: Any) -> int:
        seen.append(message)
        return TAKE if message == "answer" else 0

    assert inbox.receive(match, 0, since_ref=7) == "answer"
    assert seen == ["passed", "answer"]
    # Nothing of the former is lost over it.
    assert [inbox.receive(lambda *_: TAKE, 0) for _ in range(3)] == ["answer", "old", "passed"]
    assert flow.undelivered_bytes == 0


def test_one_without_a_number_is_always_looked_into() -> None:
    inbox, flow = Inbox(), Flow()
    told(inbox, flow, ["answer"], 10)
    assert inbox.receive(the("answer"), 0, since_ref=10**9) == "answer"
