"""A push and what happens meanwhile: at each of its steps, each of the other things.

A push is made in the thread of the test, and stopped at every moment at which another thread could
come between; the other thing is then done to its end, and the push goes on. Whatever the moment,
whoever pushed is told one outcome: a reply, a failure, or an error at the call.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from pykka import ActorDeadError

from slipstream_actor import (
    ChannelClosed,
    ChannelConnected,
    ChannelCrashed,
    ChannelEnded,
    ClosedByPeer,
    NotConnectedError,
    NotJoinedError,
    PushFailed,
    PushTimeout,
    Ref,
    Reply,
    ReplyReceived,
    SlipstreamError,
    Socket,
    TopicJoinClosed,
    TopicJoinSucceeded,
    TopicLeft,
    get_state,
)
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.protocol.commands import CloseConnection, JoinTopic, PushMessage
from tests.client.test_client import Line
from tests.support.clients import PATIENCE, Log, Recorder
from tests.support.interruptions import interrupted

C = TypeVar("C", bound="Client")

URI = "ws://test.invalid/socket/websocket"
TOPIC = "rooms:lobby"
CLOSED = ClosedByPeer(1012)
FAR = 600_000


class Wire(Line):
    """A connection that answers what it was told, and ends as a connection does."""

    def __init__(self, owner: Any) -> None:
        super().__init__()
        self.owner = owner
        self.pushes: list[PushMessage] = []
        self.concluded = False
        # Whether its end takes time when it is asked to close.
        self.lingers = False
        self.closing = threading.Event()

    def tell(self, command: Any) -> None:
        if not self.alive:
            raise ActorDeadError("Wire has ended")
        super().tell(command)
        if type(command) is PushMessage:
            self.pushes.append(command)
        elif type(command) is CloseConnection:
            if not self.lingers:
                self.end()
            self.closing.set()

    def say(self, *events: Any) -> None:
        self.owner.actor_inbox.tell(Burst(self, events))

    def die(self) -> None:
        """It takes no more; it has not told of its end."""
        self.alive = False

    def end(self, *last_words: Any) -> None:
        """End, and tell so; once."""
        self.die()
        if not self.concluded:
            self.concluded = True
            self.say(*last_words, ChannelClosed(CLOSED))
            self.actor_inbox.ended.set(CLOSED)

    def of_each(self, kind: Callable[[Ref, PushMessage], Any]) -> list[Any]:
        """Return the events that `kind` makes of what it was told."""
        return [
            kind(Ref(p.ref, p.topic, p.join_ref, awaited=True), p)
            for p in self.pushes
            if p.ref is not None
        ]

    def replies(self) -> list[Any]:
        return self.of_each(lambda ref, p: ReplyReceived(p.topic, ref, Reply("ok", {})))

    def failures(self, reason: Any) -> list[Any]:
        return self.of_each(lambda ref, p: PushFailed(p.topic, p.event, ref, reason))


class Client:
    """A client with a wire of its own, and one joined topic."""

    def __init__(self) -> None:
        self.log = Log()
        never: dict[str, Any] = {"reconnect_after_msec": [FAR], "rejoin_after_msec": [FAR]}
        self.ref: Any = Recorder.start(URI, self.log, test_mode=True, **never)
        self.wire = Wire(self.ref)
        self.ref.tell(ChannelConnected(self.wire))
        self.log.take("connect")
        self.do(lambda s: s.join(TOPIC))
        self.join_ref = self.wire.told(JoinTopic).join_ref
        self.wire.say(TopicJoinSucceeded(TOPIC, {}, self.join_ref))
        self.log.take("join")
        self.socket: Socket = get_state(self.ref).socket

    def do(self, function: Any) -> Any:
        return self.ref.proxy().do(function).get(timeout=PATIENCE)

    def handled(self) -> None:
        """Wait until the client has handled all that was said."""
        if self.ref.is_alive():
            self.do(lambda s: None)

    def outcomes(self) -> list[Any]:
        """Return what was told of pushes."""
        told = []
        while not self.log.empty():
            entry = self.log.get()
            if entry[0] in ("reply", "push_failed"):
                told.append((entry[0], str(entry[1]), entry[2]))
        return told


def replies(client: Client) -> None:
    client.wire.say(*client.wire.replies())


def replies_twice(client: Client) -> None:
    client.wire.say(*client.wire.replies(), *client.wire.replies())


def has_no_reply_in_time(client: Client) -> None:
    client.wire.say(*client.wire.failures(PushTimeout()))


def has_no_reply_in_time_and_then_one(client: Client) -> None:
    client.wire.say(*client.wire.failures(PushTimeout()), *client.wire.replies())


def ends(client: Client) -> None:
    client.wire.end()


def replies_and_ends(client: Client) -> None:
    client.wire.end(*client.wire.replies())


def ends_unheard(client: Client) -> None:
    client.wire.die()
    client.wire.actor_inbox.ended.set(CLOSED)


def loses_its_channel(client: Client) -> None:
    reason = ChannelCrashed({})
    client.wire.say(
        *client.wire.failures(ChannelEnded(reason)),
        TopicJoinClosed(TOPIC, reason, client.join_ref),
    )


def leaves(client: Client) -> None:
    client.do(lambda s: s.leave(TOPIC))
    client.wire.say(*client.wire.failures(ChannelEnded("left")), TopicLeft(TOPIC, client.join_ref))


def disconnects(client: Client) -> None:
    client.do(lambda s: s.disconnect())


def connects_anew(client: Client) -> None:
    client.do(lambda s: s.connect(URI, test_mode=True))


def stops(client: Client) -> None:
    client.ref.stop(timeout=PATIENCE)


def disconnects_slowly(client: Client) -> None:
    client.wire.lingers = True
    disconnects(client)


def connects_anew_and_the_former_lingers(client: Client) -> None:
    client.wire.lingers = True
    connects_anew(client)


def stops_slowly(client: Client) -> None:
    """It has told of its last outcomes, and waits for its connection, which still takes pushes."""
    client.wire.lingers = True
    _ = client.ref.stop(block=False)
    assert client.wire.closing.wait(PATIENCE)


MEANWHILE = [
    replies,
    replies_twice,
    has_no_reply_in_time,
    has_no_reply_in_time_and_then_one,
    ends,
    replies_and_ends,
    ends_unheard,
    loses_its_channel,
    leaves,
    disconnects,
    connects_anew,
    stops,
    disconnects_slowly,
    connects_anew_and_the_former_lingers,
    stops_slowly,
]


@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=lambda step: step.__name__)
def test_a_push_has_one_outcome(meanwhile: Callable[[Client], None]) -> None:
    """Of a push from another thread, with whatever the client does meanwhile."""
    clients: list[Client] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        client = Client()
        clients.append(client)

        def other() -> None:
            meanwhile(client)
            client.handled()

        return lambda: client.socket.push(TOPIC, "echo", {}, reply_timeout=60), other

    require_one_outcome(clients, prepare, lambda client: conclude(client, meanwhile))


def require_one_outcome(
    clients: list[C],
    prepare: Callable[[], tuple[Callable[[], Any], Callable[[], object]]],
    conclude: Callable[[C], None],
) -> None:
    """Whatever the moment, whoever pushed is told one outcome, and nothing of the push is left.

    `prepare` puts a client of its own into `clients`, and `conclude` ends what is open then.
    """
    told: Counter[str] = Counter()
    try:
        for moment, result in enumerate(interrupted(prepare)):
            client = clients[-1]
            conclude(client)
            outcomes = client.outcomes()
            if isinstance(result, BaseException):
                assert isinstance(result, SlipstreamError), (moment, result)
                assert isinstance(result, (NotConnectedError, NotJoinedError, ActorDeadError))
                outcomes.append(("raised", None, result))
            else:
                assert [ref for _, ref, _ in outcomes] == [str(result)], (moment, outcomes)
            assert len(outcomes) == 1, (moment, outcomes)
            assert not client.ref.actor_inbox.ledger.settle_all(), moment
            assert not client.ref.actor_inbox.buffer.take_all(), moment
            told[outcomes[0][0]] += 1
            if client.ref.is_alive():
                client.ref.stop(timeout=PATIENCE)
            clients.clear()
    finally:
        for client in clients:
            client.wire.end()
            if client.ref.is_alive():
                client.ref.stop(timeout=PATIENCE)
    assert sum(told.values()) > 20, "the push was stopped at each of its steps"


def conclude(client: Client, meanwhile: Callable[[Client], None]) -> None:
    """Have the wire say what is still to be said of what it took, and the client hear it."""
    wire = client.wire
    if wire.alive:
        # Of those that have an outcome it is too late.
        over = meanwhile in (loses_its_channel, leaves)
        wire.say(*(wire.failures(ChannelEnded("left")) if over else wire.replies()))
    if wire.closing.is_set() or not wire.alive:
        wire.end()
    client.handled()
    if not client.ref.is_alive():
        client.ref.actor_inbox.ended.get(timeout=PATIENCE)
