"""What a subscription at a shard sends: messages that follow each other, what is missing before."""

from __future__ import annotations

import threading

import pytest

from slipstream_actor.client.subscriptions import Subscription
from slipstream_actor.contrib.ray.messages import (
    MOST,
    PatternFailed,
    decode_messages,
    encode_messages,
    take_some,
)
from slipstream_actor.errors import ClientEndedError
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.matching import ANY

SIZE = 5
# Seconds; what is waited for here is there.
PATIENCE = 10.0


class Counted(Subscription):
    """Takes numbers; one more arrives whenever one has been taken, up to `until`."""

    def __init__(self, until: int = 0, size: int = SIZE) -> None:
        super().__init__(ANY, ANY, ANY, size=size, overflow="drop_oldest")
        self.until = until
        self.put = 0

    def add(self, count: int) -> None:
        events = [MessageReceived("a", "n", self.put + n) for n in range(count)]
        self.put += count
        self.take(events)

    def _has_taken(self) -> None:
        super()._has_taken()
        if self.put < self.until:
            self.add(1)


def numbers(found: tuple[list[MessageReceived], int] | None) -> tuple[list[object], int]:
    assert found is not None
    messages, dropped = found
    return [message.payload for message in messages], dropped


def test_what_is_dropped_while_messages_are_taken_is_not_missing_among_them() -> None:
    subscription = Counted(until=20)
    subscription.add(SIZE + 2)
    expected = before = 0
    while expected < 20:
        found, dropped = numbers(take_some(subscription, 0.0))
        expected += dropped - before
        before = dropped
        assert found == list(range(expected, expected + len(found)))
        expected += len(found)


def test_no_more_travel_together_than_may() -> None:
    subscription = Counted(size=MOST + 3)
    subscription.add(MOST + 3)
    assert numbers(take_some(subscription, 0.0)) == (list(range(MOST)), 0)
    assert numbers(take_some(subscription, 0.0)) == (list(range(MOST, MOST + 3)), 0)


def test_it_waits_for_the_first() -> None:
    subscription = Counted()
    assert take_some(subscription, 0.0) == ([], 0)
    assert not subscription._waiting
    thread = threading.Thread(target=subscription.add, args=(2,))
    thread.start()
    found = take_some(subscription, PATIENCE)
    thread.join()
    assert found is not None
    assert found[0][0].payload == 0


def test_at_the_end_there_is_none_behind_what_waits() -> None:
    subscription = Counted()
    subscription.add(2)
    subscription._finish(ClientEndedError("the client has ended"))
    assert numbers(take_some(subscription, 0.0)) == ([0, 1], 0)
    with pytest.raises(ClientEndedError):
        take_some(subscription, 0.0)
    closed = Counted()
    closed.close()
    assert take_some(closed, 0.0) is None


def test_messages_travel() -> None:
    messages = [MessageReceived("a", "n", {"b": 1}), MessageReceived("a", "n", b"\x00")]
    assert decode_messages(encode_messages(3, messages)) == (3, messages)


def test_what_a_pattern_raises_comes_as_one_that_can_travel() -> None:
    subscription = Subscription(ANY, ANY, lambda payload: payload["n"], size=1, overflow="wait")
    subscription.take([MessageReceived("a", "n", {"n": 1}), MessageReceived("a", "n", {})])
    assert numbers(take_some(subscription, 0.0)) == ([{"n": 1}], 0)
    with pytest.raises(PatternFailed, match="KeyError"):
        take_some(subscription, 0.0)
