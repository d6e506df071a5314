"""A buffered push of a client and what happens meanwhile: at each of its steps, each other thing.

As in `test_push_races`: the push is made by another thread than the client's, while its topic is
asked for. It has one outcome, and that as soon as what it waits for has come or can come no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor import (
    ChannelConnected,
    ChannelCrashed,
    ChannelEnded,
    JoinRefused,
    Socket,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
    get_state,
)
from slipstream_actor.protocol.commands import JoinTopic
from slipstream_actor.socket.state import is_wanted
from tests.socket.test_push_races import (
    FAR,
    TOPIC,
    URI,
    Client,
    Wire,
    connects_anew,
    connects_anew_and_the_former_lingers,
    disconnects,
    disconnects_slowly,
    ends,
    ends_unheard,
    require_one_outcome,
    stops,
    stops_slowly,
)
from tests.support.clients import PATIENCE, Log, Recorder


class Staying(Recorder):
    """Does not ask again for what was refused."""

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        self.note("topic_close", topic, reason)
        return socket


class Joining(Client):
    """A client that has asked for its topic."""

    def __init__(self) -> None:
        self.log = Log()
        never: dict[str, Any] = {"reconnect_after_msec": [FAR], "rejoin_after_msec": [FAR]}
        self.ref = Staying.start(URI, self.log, test_mode=True, **never)
        self.wire = Wire(self.ref)
        self.ref.tell(ChannelConnected(self.wire))
        self.log.take("connect")
        self.do(lambda s: s.join(TOPIC))
        self.join_ref = self.wire.told(JoinTopic).join_ref
        self.socket = get_state(self.ref).socket
        self.answered = False

    def answer(self, *events: Any) -> None:
        """Have the server answer the join."""
        self.answered = True
        self.wire.say(*events)


def is_joined(client: Joining) -> None:
    client.answer(TopicJoinSucceeded(TOPIC, {}, client.join_ref))


def is_joined_and_answers(client: Joining) -> None:
    is_joined(client)
    client.handled()
    client.wire.say(*client.wire.replies())


def is_joined_and_ends(client: Joining) -> None:
    client.answered = True
    client.wire.end(TopicJoinSucceeded(TOPIC, {}, client.join_ref))


def is_joined_and_crashes(client: Joining) -> None:
    is_joined(client)
    client.handled()
    reason = ChannelCrashed({})
    client.answer(
        *client.wire.failures(ChannelEnded(reason)),
        TopicJoinClosed(TOPIC, reason, client.join_ref),
    )


def is_joined_and_left(client: Joining) -> None:
    is_joined(client)
    client.do(lambda s: s.leave(TOPIC))
    client.wire.say(*client.wire.failures(ChannelEnded("left")), TopicLeft(TOPIC, client.join_ref))


def is_refused(client: Joining) -> None:
    client.answer(TopicJoinFailed(TOPIC, JoinRefused({}), client.join_ref))


def is_refused_and_asks_again(client: Joining) -> None:
    is_refused(client)
    client.do(lambda s: s.join(TOPIC))
    client.join_ref = client.wire.told(JoinTopic).join_ref
    client.answered = False


def is_left(client: Joining) -> None:
    client.answered = True
    client.do(lambda s: s.leave(TOPIC))
    client.wire.say(TopicLeft(TOPIC, client.join_ref))


def is_left_and_forgotten(client: Joining) -> None:
    is_left(client)
    client.handled()
    client.do(lambda s: s.forget(TOPIC))


def begins_anew(client: Joining) -> None:
    """With a socket that knows nothing of the topic."""
    client.do(lambda s: s.connect(URI, test_mode=True).leave(TOPIC).forget(TOPIC))


MEANWHILE: list[Callable[[Any], None]] = [
    is_joined,
    is_joined_and_answers,
    is_joined_and_ends,
    is_joined_and_crashes,
    is_joined_and_left,
    is_refused,
    is_refused_and_asks_again,
    is_left,
    is_left_and_forgotten,
    begins_anew,
    ends,
    ends_unheard,
    disconnects,
    disconnects_slowly,
    connects_anew,
    connects_anew_and_the_former_lingers,
    stops,
    stops_slowly,
]


def conclude(client: Joining) -> None:
    """Bring to its end what is under way: the join that is asked for, the replies to what was
    sent, the end of a connection; and come back, if the client wants to."""
    client.handled()
    wire = client.wire
    if wire.alive and not wire.closing.is_set():
        if not client.answered:
            is_joined(client)
            client.handled()
        wire.say(*wire.replies())
    else:
        wire.end()
    client.handled()
    if not client.ref.is_alive():
        client.ref.actor_inbox.ended.get(timeout=PATIENCE)
        return
    socket = get_state(client.ref).socket
    if not socket.connected and is_wanted(socket, TOPIC):
        come_back(client)


def come_back(client: Joining) -> None:
    """Another connection, which joins what was asked for."""
    client.do(lambda s: s.reconnect(delay=0))
    wire = client.wire = Wire(client.ref)
    client.ref.tell(ChannelConnected(wire))
    client.handled()
    client.join_ref = wire.told(JoinTopic).join_ref
    wire.say(TopicJoinSucceeded(TOPIC, {}, client.join_ref))
    client.handled()
    wire.say(*wire.replies())
    client.handled()


@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=lambda step: step.__name__)
def test_a_buffered_push_has_one_outcome(meanwhile: Callable[[Any], None]) -> None:
    clients: list[Joining] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        client = Joining()
        clients.append(client)

        def other() -> None:
            # Where the push holds the buffer's lock no other thread comes between.
            if not client.ref.actor_inbox.buffer._lock._is_owned():
                meanwhile(client)
                client.handled()

        return lambda: client.socket.push(TOPIC, "echo", {}, buffer=True), other

    require_one_outcome(clients, prepare, conclude)
