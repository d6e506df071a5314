"""Requests that were sent, as the protocol has them."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from slipstream_actor.connection.pushes import conclude
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import JoinTopic
from slipstream_actor.protocol.message import Message, Reply
from slipstream_actor.protocol.reasons import PushTimeout
from slipstream_actor.protocol.requests import LOOK, OpenRequests

TOPIC = "rooms:lobby"


class Asked:
    """A request, and what it is told."""

    def __init__(self, ref: str = "r", deadline: float | None = None, raises: bool = False) -> None:
        self.push_ref, self.event, self.deadline = ref, "say", deadline
        self.raises = raises
        self.done = False
        self.told: list[Any] = []

    def conclude(self, outcome: Any, *, paused: bool) -> None:
        self.told.append(outcome)
        if self.raises:
            raise SystemExit

    def give_back(self) -> None:
        self.conclude("given back", paused=False)


def joined() -> Protocol:
    numbers = count(1)
    protocol = Protocol(next_ref=lambda: str(next(numbers)), heartbeat_interval=0.0)
    protocol.join(JoinTopic(TOPIC, join_ref="j"), 0.0)
    reply = {"status": "ok", "response": {}}
    assert protocol.receive(Message("j", "j", TOPIC, "phx_reply", reply), 0.0)
    return protocol


def sent(protocol: Protocol, asked: Asked, now: float = 0.0) -> None:
    protocol.push_request(protocol.channels[TOPIC], asked, now)


def test_one_without_a_deadline_waits_for_ever() -> None:
    protocol, asked = joined(), Asked()
    sent(protocol, asked)
    for number in range(1, 4):
        assert protocol.next_deadline() == number * LOOK
        protocol.handle_timer(number * LOOK)
    assert not protocol.requests.outcomes
    assert protocol.receive(
        Message("j", "r", TOPIC, "phx_reply", {"status": "ok", "response": 1}), 100.0
    )
    conclude(protocol.requests, paused=False)
    assert asked.told == [Reply("ok", 1)]


def test_one_without_a_deadline_that_was_cancelled_is_forgotten() -> None:
    protocol, asked = joined(), Asked()
    sent(protocol, asked)
    asked.done = True
    protocol.handle_timer(LOOK)
    assert not protocol.requests
    assert not protocol.refs
    assert not protocol.channels[TOPIC].pushes
    assert protocol.next_deadline() is None


def test_one_with_a_deadline_ends_by_it() -> None:
    protocol, asked = joined(), Asked(deadline=1.0)
    sent(protocol, asked)
    protocol.handle_timer(1.0)
    conclude(protocol.requests, paused=False)
    assert asked.told == [PushTimeout()]


@pytest.mark.parametrize("kind", ["outcomes", "unsent"])
def test_each_is_told_also_behind_one_whose_callback_raises(kind: str) -> None:
    requests, asked = OpenRequests(), [Asked(), Asked(raises=True), Asked()]
    getattr(requests, kind).extend((one, "outcome") for one in asked)
    with pytest.raises(SystemExit):
        conclude(requests, paused=False)
    conclude(requests, paused=False)
    assert [len(one.told) for one in asked] == [1, 1, 1]
