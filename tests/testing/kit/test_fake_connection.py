"""What a client in test mode has in place of a connection."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pykka import ActorDeadError

from slipstream_actor import PushTimeout, Ref, Reply
from slipstream_actor.actors.envelopes import Burst, Timer
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.protocol.commands import (
    CloseConnection,
    CollectGarbage,
    JoinTopic,
    LeaveTopic,
    PushMessage,
)
from slipstream_actor.protocol.events import ChannelClosed, PushFailed, ReplyReceived, TopicLeft
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient, ClosedByPeer
from slipstream_actor.testing.kit.fake_connection import FakeConnection, as_sent
from slipstream_actor.testing.kit.requests import (
    DisconnectRequest,
    JoinRequest,
    LeaveRequest,
    PushRequest,
)


class Client:
    """What a connection knows of a client."""

    def __init__(self) -> None:
        self.actor_inbox = Inbox()

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
def connection(client: Client, requests: list[Any]) -> FakeConnection:
    return FakeConnection(
        client, None, "client", lambda connection, request: requests.append(request)
    )


def push(connection: FakeConnection, ref: str | None, **fields: Any) -> None:
    connection.tell(PushMessage("t", "e", {"a": 1}, ref, "1", "data", **fields))


def test_commands_are_requests(
    connection: FakeConnection, client: Client, requests: list[Any]
) -> None:
    connection.tell(JoinTopic("t", {"a": (1,)}, "1"))
    push(connection, "2")
    connection.tell(LeaveTopic("t"))
    connection.tell(CloseConnection())
    connection.tell(CollectGarbage())
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


def test_one_without_a_ref_is_by_hand(connection: FakeConnection, requests: list[Any]) -> None:
    push(connection, None)
    assert requests[0].ref == ""


def test_heartbeats_are_answered(
    connection: FakeConnection, client: Client, requests: list[Any]
) -> None:
    connection.tell(PushMessage("phoenix", "heartbeat", {}, "7"))
    assert client.events() == [ReplyReceived("phoenix", "7", Reply("ok"))]
    assert not requests


def test_a_push_that_asks_for_an_outcome_has_a_timer(
    connection: FakeConnection, client: Client
) -> None:
    push(connection, "2", awaited=True, reply_timeout=60)
    (timer,) = client.messages()
    assert isinstance(timer, Timer)
    assert not timer.cancelled
    assert timer.message.source is connection
    assert list(timer.message.events) == [PushFailed("t", "e", "2", PushTimeout())]


def test_the_reply_cancels_it(connection: FakeConnection, client: Client) -> None:
    push(connection, "2", awaited=True, reply_timeout=60)
    connection.answer_push("t", Ref("2", "t", "1"), Reply("ok", {"a": (1,)}))
    timer, burst = client.messages()
    assert timer.cancelled
    assert list(burst.events) == [ReplyReceived("t", "2", Reply("ok", {"a": [1]}))]


def test_a_leave_fails_what_was_pushed_to_that_join(
    connection: FakeConnection, client: Client
) -> None:
    connection.tell(JoinTopic("t", {}, "1"))
    push(connection, "2", awaited=True, reply_timeout=60)
    push(connection, "3")
    connection.tell(LeaveTopic("t"))
    connection.tell(JoinTopic("t", {}, "5"))
    connection.tell(PushMessage("t", "e", {}, "6", "5", awaited=True))
    connection.answer_leave(LeaveRequest(client, "t", "1"))
    timer, burst = client.messages()
    assert timer.cancelled
    assert list(burst.events) == [
        PushFailed("t", "e", "2", ChannelEnded("left")),
        TopicLeft("t", "1"),
    ]


def test_it_lives_until_the_client_has_heard_of_its_end(
    connection: FakeConnection, client: Client, requests: list[Any]
) -> None:
    connection.hang_up(ClosedByPeer(1001))
    connection.hang_up(ClosedByPeer(1000))
    assert connection.is_alive()
    push(connection, "2")
    connection.tell(CloseConnection())
    assert len(requests) == 1
    (burst,) = client.messages()
    assert burst.events.popleft() == ChannelClosed(ClosedByPeer(1001))
    burst.flow.taken += 1
    assert not connection.is_alive()
    with pytest.raises(ActorDeadError, match="<FakeConnection of client> is closed"):
        push(connection, "3")


def test_it_is_closed_once(connection: FakeConnection, client: Client, requests: list[Any]) -> None:
    connection.tell(CloseConnection())
    connection.tell(CloseConnection())
    assert len(requests) == 1
    assert connection.is_alive()
    connection.answer_disconnect()
    assert not connection.is_alive()
    assert client.events() == [ChannelClosed(ClosedByClient())]


def test_a_client_that_has_ended_hears_nothing(connection: FakeConnection, client: Client) -> None:
    client.actor_inbox.hear_no_more()
    connection.hang_up(ClosedByPeer(1001))
    assert not client.messages()


def test_what_closes_it_is_told_by_the_end(
    connection: FakeConnection, client: Client, requests: list[Any]
) -> None:
    client.actor_inbox.told_all = True
    connection.tell(CloseConnection())
    assert connection.closed_by_end
    assert not requests


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ({"a": (1, None)}, {"a": [1, None]}),
        (bytearray(b"x"), b"x"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        ("text", "text"),
        (Ref("1", "a", None), "1"),
    ],
)
def test_what_goes_over_the_wire(value: Any, sent: Any) -> None:
    assert as_sent(value) == sent
    assert type(as_sent(value)) is type(sent)


def test_what_only_a_serializer_of_ones_own_can_encode_stays() -> None:
    value = {"object": object()}
    assert as_sent(value) is value
