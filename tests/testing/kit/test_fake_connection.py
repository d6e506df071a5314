"""A seat stands where a connection would."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pykka import ActorDeadError

from slipstream_actor import PushTimeout, Ref, Reply
from slipstream_actor.actors.envelopes import Burst, Timer
from slipstream_actor.actors.inbox import Mailbox
from slipstream_actor.protocol.commands import (
    CloseConnection,
    CollectGarbage,
    JoinTopic,
    LeaveTopic,
    PushMessage,
)
from slipstream_actor.protocol.events import ChannelClosed, PushFailed, ReplyReceived, TopicLeft
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient, ClosedByPeer
from slipstream_actor.testing.kit.requests import (
    DisconnectRequest,
    JoinRequest,
    LeaveRequest,
    PushRequest,
)
from slipstream_actor.testing.kit.seat import Seat, as_sent


class Client:
    """What a seat knows of a client."""

    def __init__(self) -> None:
        self.actor_inbox = Mailbox()

    def messages(self) -> list[Any]:
        """Everything that it was told since the last time."""
        told = []
        while self.actor_inbox.depth:
            told.append(self.actor_inbox.get().message)
        return told

    def events(self) -> list[Any]:
        bursts = [message for message in self.messages() if isinstance(message, Burst)]
        return [event for burst in bursts for event in burst.events]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def requests() -> list[Any]:
    return []


@pytest.fixture
def seat(client: Client, requests: list[Any]) -> Seat:
    return Seat(client, None, "client", lambda seat, request: requests.append(request))


def push(seat: Seat, ref: str | None, **fields: Any) -> None:
    seat.tell(PushMessage("t", "e", {"a": 1}, ref, "1", "data", **fields))


def test_commands_are_requests(seat: Seat, client: Client, requests: list[Any]) -> None:
    seat.tell(JoinTopic("t", {"a": (1,)}, "1"))
    push(seat, "2")
    seat.tell(LeaveTopic("t"))
    seat.tell(CloseConnection())
    seat.tell(CollectGarbage())
    join, pushed, leave, disconnect = requests
    assert isinstance(join, JoinRequest)
    assert isinstance(pushed, PushRequest)
    assert isinstance(leave, LeaveRequest)
    assert isinstance(disconnect, DisconnectRequest)
    assert (join.topic, join.params, join.join_ref) == ("t", {"a": [1]}, "1")
    assert (pushed.topic, pushed.event, pushed.payload) == ("t", "e", {"a": 1})
    assert (pushed.ref, pushed.ref.topic, pushed.ref.join_ref) == ("2", "t", "1")
    assert (leave.topic, leave.join_ref) == ("t", "1")
    assert {request.client for request in requests} == {client}


def test_one_without_a_ref_is_by_hand(seat: Seat, requests: list[Any]) -> None:
    push(seat, None)
    assert requests[0].ref == ""


def test_heartbeats_are_answered(seat: Seat, client: Client, requests: list[Any]) -> None:
    seat.tell(PushMessage("phoenix", "heartbeat", {}, "7"))
    assert client.events() == [ReplyReceived("phoenix", "7", Reply("ok"))]
    assert not requests


def test_a_push_that_asks_for_an_outcome_has_a_timer(seat: Seat, client: Client) -> None:
    push(seat, "2", awaited=True, reply_timeout=60)
    (timer,) = client.messages()
    assert isinstance(timer, Timer)
    assert not timer.cancelled
    assert timer.message.source is seat
    assert list(timer.message.events) == [PushFailed("t", "e", "2", PushTimeout())]


def test_the_reply_cancels_it(seat: Seat, client: Client) -> None:
    push(seat, "2", awaited=True, reply_timeout=60)
    seat.answer_push("t", Ref("2", "t", "1"), Reply("ok", {"a": (1,)}))
    timer, burst = client.messages()
    assert timer.cancelled
    assert list(burst.events) == [ReplyReceived("t", "2", Reply("ok", {"a": [1]}))]


def test_a_leave_fails_what_was_pushed_to_that_join(seat: Seat, client: Client) -> None:
    seat.tell(JoinTopic("t", {}, "1"))
    push(seat, "2", awaited=True, reply_timeout=60)
    push(seat, "3")
    seat.tell(LeaveTopic("t"))
    seat.tell(JoinTopic("t", {}, "5"))
    seat.tell(PushMessage("t", "e", {}, "6", "5", awaited=True))
    seat.answer_leave(LeaveRequest(client, "t", "1"))
    timer, burst = client.messages()
    assert timer.cancelled
    assert list(burst.events) == [
        PushFailed("t", "e", "2", ChannelEnded("left")),
        TopicLeft("t", "1"),
    ]


def test_it_lives_until_the_client_has_heard_of_its_end(
    seat: Seat, client: Client, requests: list[Any]
) -> None:
    seat.hang_up(ClosedByPeer(1001))
    seat.hang_up(ClosedByPeer(1000))
    assert seat.is_alive()
    push(seat, "2")
    seat.tell(CloseConnection())
    assert len(requests) == 1
    (burst,) = client.messages()
    assert burst.take() == ChannelClosed(ClosedByPeer(1001))
    assert not seat.is_alive()
    with pytest.raises(ActorDeadError, match="<Seat of client> is closed"):
        push(seat, "3")


def test_it_is_closed_once(seat: Seat, client: Client, requests: list[Any]) -> None:
    seat.tell(CloseConnection())
    seat.tell(CloseConnection())
    assert len(requests) == 1
    assert seat.is_alive()
    seat.answer_disconnect()
    assert not seat.is_alive()
    assert client.events() == [ChannelClosed(ClosedByClient())]


def test_a_client_that_has_ended_hears_nothing(seat: Seat, client: Client) -> None:
    client.actor_inbox.hear_no_more()
    seat.hang_up(ClosedByPeer(1001))
    assert not client.messages()


def test_what_closes_it_is_told_by_the_end(seat: Seat, client: Client, requests: list[Any]) -> None:
    client.actor_inbox.told_all = True
    seat.tell(CloseConnection())
    assert seat.closed_by_end
    assert not requests


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ({"a": (1, None)}, {"a": [1, None]}),
        (bytearray(b"x"), b"x"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        ("text", "text"),
    ],
)
def test_what_goes_over_the_wire(value: Any, sent: Any) -> None:
    assert as_sent(value) == sent
    assert type(as_sent(value)) is type(sent)


def test_what_only_a_serializer_of_ones_own_can_encode_stays() -> None:
    value = {"object": object()}
    assert as_sent(value) is value
