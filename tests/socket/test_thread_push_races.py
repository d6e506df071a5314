"""Pushes with a plain thread's socket, made by another thread, and what happens meanwhile.

As in `test_push_races`, at each step of the push: what its owner does, or what its connection says.
The owner then awaits the outcome: it is told one, and is not left to wait for it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    ChannelConnected,
    ChannelCrashed,
    ChannelEnded,
    JoinFailedError,
    JoinRefused,
    NotConnectedError,
    NotJoinedError,
    PushTimeout,
    Reply,
    SlipstreamError,
    Socket,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
    connect,
)
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.events import JOIN_ENDS
from slipstream_actor.socket.state import is_wanted
from tests.client.test_client import InThread
from tests.socket.test_push_races import CLOSED, TOPIC, URI, Wire
from tests.support.clients import PATIENCE
from tests.support.interruptions import interrupted

SOON = 2.0  # Seconds, in which each outcome is known.


class ThreadWire(Wire):
    """A connection of a plain thread: it notes the ends of joins beside the inbox."""

    # Whether it has the reply to a push as soon as it is told.
    is_prompt = False

    def tell(self, command: Any) -> None:
        super().tell(command)
        if self.is_prompt and type(command) is PushMessage:
            self.say(*self.replies()[-1:])

    def say(self, *events: Any) -> None:
        inbox = self.owner.actor_inbox
        ends = {e.join_ref: self for e in events if type(e) in JOIN_ENDS and e.join_ref}
        inbox.ended_joins.update(ends)
        inbox.tell(Burst(self, events))


class Owner:
    """A plain thread with a socket, and one topic that is joined or asked for."""

    def __init__(self, *, joined: bool) -> None:
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.socket: Socket = self.do(lambda _: connect(URI, test_mode=True))
        self.wire = ThreadWire(self.socket.socket_pid)
        self.wire.owner.tell(ChannelConnected(self.wire))
        self.go_on(lambda s: s.await_connect(SOON).join(TOPIC))
        self.join_ref = self.wire.told(JoinTopic).join_ref
        self.answered = joined
        if joined:
            self.wire.say(TopicJoinSucceeded(TOPIC, {}, self.join_ref))
            self.go_on(lambda s: s.await_join(TOPIC, SOON))

    def _run(self) -> None:
        while (function := self._asked.get()) is not None:
            try:
                self._answers.put(function(getattr(self, "socket", None)))
            except BaseException as error:
                self._answers.put(error)

    def do(self, function: Callable[[Any], Any]) -> Any:
        """Call `function(socket)` in the thread; return what it returned or raised."""
        self._asked.put(function)
        return self._answers.get(timeout=PATIENCE)

    def go_on(self, function: Callable[[Socket], Any]) -> None:
        """Do so, and go on with the socket that it returned, or raised."""
        result = self.do(function)
        self.socket = result if isinstance(result, Socket) else result.socket

    def outcome(self, ref: Any) -> Any:
        """Return the reply to a push, or the error that its await has raised."""
        return self.do(lambda s: s.await_reply(ref, SOON))

    def end(self) -> None:
        self.wire.end()
        self._asked.put(None)
        self._thread.join(PATIENCE)


@contextmanager
def an_owner(*, joined: bool) -> Iterator[Owner]:
    owner = Owner(joined=joined)
    try:
        yield owner
    finally:
        owner.end()


# what happens meanwhile


def nothing(owner: Owner) -> None:
    """Happens."""


def replies(owner: Owner) -> None:
    owner.wire.say(*owner.wire.replies())


def has_no_reply_in_time(owner: Owner) -> None:
    owner.wire.say(*owner.wire.failures(PushTimeout()))


def ends(owner: Owner) -> None:
    owner.wire.end()


def replies_and_ends(owner: Owner) -> None:
    owner.wire.end(*owner.wire.replies())


def ends_and_is_seen_to(owner: Owner) -> None:
    owner.wire.end()
    owner.go_on(lambda s: s.await_disconnect(SOON))


def ends_unheard(owner: Owner) -> None:
    owner.wire.die()
    owner.wire.actor_inbox.ended.set(CLOSED)


def loses_its_channel(owner: Owner) -> None:
    owner.answered = True
    reason = ChannelCrashed({})
    owner.wire.say(
        *owner.wire.failures(ChannelEnded(reason)), TopicJoinClosed(TOPIC, reason, owner.join_ref)
    )


def loses_its_channel_and_sees_it(owner: Owner) -> None:
    loses_its_channel(owner)
    owner.do(lambda s: s.joined(TOPIC))
    owner.go_on(lambda s: s.leave(TOPIC))


def leaves(owner: Owner) -> None:
    owner.answered = True
    owner.go_on(lambda s: s.leave(TOPIC))
    owner.wire.say(*owner.wire.failures(ChannelEnded("left")), TopicLeft(TOPIC, owner.join_ref))


def leaves_and_awaits_it(owner: Owner) -> None:
    leaves(owner)
    owner.go_on(lambda s: s.await_leave(TOPIC, SOON))


def disconnects(owner: Owner) -> None:
    owner.go_on(lambda s: s.disconnect())


def disconnects_and_awaits_it(owner: Owner) -> None:
    disconnects(owner)
    owner.go_on(lambda s: s.await_disconnect(SOON))


def connects_anew(owner: Owner) -> None:
    owner.answered = True
    owner.go_on(lambda s: s.connect(URI, test_mode=True))


def connects_anew_and_the_former_lingers(owner: Owner) -> None:
    owner.wire.lingers = True
    connects_anew(owner)


def is_joined(owner: Owner) -> None:
    owner.answered = True
    owner.wire.say(TopicJoinSucceeded(TOPIC, {}, owner.join_ref))


def is_joined_and_awaits_it(owner: Owner) -> None:
    is_joined(owner)
    owner.go_on(lambda s: s.await_join(TOPIC, SOON))


def is_refused(owner: Owner) -> None:
    owner.answered = True
    owner.wire.say(TopicJoinFailed(TOPIC, JoinRefused({}), owner.join_ref))


def is_refused_and_awaits_it(owner: Owner) -> None:
    is_refused(owner)
    owner.go_on(refused)


def refused(socket: Socket) -> Socket:
    with pytest.raises(JoinFailedError) as failed:
        socket.await_join(TOPIC, SOON)
    after: Any = failed.value.socket
    assert isinstance(after, Socket)
    return after


EITHER = [
    nothing,
    ends,
    ends_and_is_seen_to,
    ends_unheard,
    leaves,
    leaves_and_awaits_it,
    disconnects,
    disconnects_and_awaits_it,
    connects_anew,
    connects_anew_and_the_former_lingers,
]
JOINED = [
    *EITHER,
    replies,
    replies_and_ends,
    has_no_reply_in_time,
    loses_its_channel,
    loses_its_channel_and_sees_it,
]
JOINING = [*EITHER, is_joined, is_joined_and_awaits_it, is_refused, is_refused_and_awaits_it]


OVER = [
    leaves,
    leaves_and_awaits_it,
    loses_its_channel,
    loses_its_channel_and_sees_it,
    is_refused,
    is_refused_and_awaits_it,
]


def conclude(owner: Owner, meanwhile: Callable[[Owner], None]) -> None:
    """Have the connection say what is still to be said; if it has ended, come back for what is
    buffered."""
    wire = owner.wire
    if wire.closing.is_set() or not wire.alive:
        wire.end()
        if len(wire.owner.actor_inbox.buffer) and is_wanted(owner.socket, TOPIC):
            come_back(owner)
    elif not owner.answered:
        is_joined(owner)
    else:
        over = meanwhile in OVER
        wire.say(*(wire.failures(ChannelEnded("left")) if over else wire.replies()))


def come_back(owner: Owner) -> None:
    """Another connection, and the join asked for on it."""
    owner.go_on(lambda s: s.await_disconnect(SOON).reconnect(delay=0))
    owner.wire = ThreadWire(owner.wire.owner)
    owner.wire.owner.tell(ChannelConnected(owner.wire))
    owner.go_on(lambda s: s.await_connect(SOON))
    owner.join_ref = owner.wire.told(JoinTopic).join_ref
    is_joined(owner)
    owner.go_on(lambda s: s.await_join(TOPIC, SOON))
    owner.wire.say(*owner.wire.replies())


def require_outcome(owner: Owner, result: Any) -> str:
    """Require that whoever pushed is told how it went, once, and return it."""
    if isinstance(result, BaseException):
        assert isinstance(result, (NotConnectedError, NotJoinedError)), repr(result)
        return "raised"
    owner.wire.is_prompt = True  # What was buffered is sent by this await.
    outcome = owner.outcome(result)
    if isinstance(outcome, Reply):
        return "replied"
    assert isinstance(outcome, SlipstreamError), repr(outcome)
    if isinstance(outcome, AwaitTimeoutError):
        assert "did not answer in time" in str(outcome), outcome
        return "timed out"
    assert isinstance(outcome, (NotConnectedError, NotJoinedError)), repr(outcome)
    return "failed"


def walk(
    meanwhile: Callable[[Owner], None], push: Callable[[Socket], Any], *, joined: bool
) -> set[str]:
    """Make the push again and again, with the other thing at each of its steps; return what whoever
    pushed was told."""
    owners: list[Owner] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        owner = Owner(joined=joined)
        owners.append(owner)
        socket = owner.socket

        def other() -> None:
            # Where the push holds the buffer's lock no other thread comes between.
            if not owner.wire.owner.actor_inbox.buffer._lock._is_owned():
                meanwhile(owner)

        return lambda: push(socket), other

    told: list[str] = []
    try:
        for moment, result in enumerate(interrupted(prepare)):
            owner = owners[-1]
            conclude(owner, meanwhile)
            try:
                told.append(require_outcome(owner, result))
            except AssertionError as error:
                error.add_note(f"at moment {moment}")
                raise
            inbox = owner.wire.owner.actor_inbox
            assert not inbox.ledger.settle_all(), moment
            assert not inbox.buffer.take_all(), moment
            owners.pop().end()
    finally:
        for owner in owners:
            owner.end()
    assert len(told) > 20, "the push was stopped at each of its steps"
    return set(told)


@pytest.mark.parametrize("meanwhile", JOINED, ids=lambda step: step.__name__)
def test_a_push_has_one_outcome(meanwhile: Callable[[Owner], None]) -> None:
    told = walk(meanwhile, lambda s: s.push(TOPIC, "echo", {}, reply_timeout=60), joined=True)
    assert told <= {"raised", "replied", "failed", "timed out"}
    assert meanwhile is not nothing or told == {"replied"}


@pytest.mark.parametrize("meanwhile", JOINING, ids=lambda step: step.__name__)
def test_a_buffered_push_has_one_outcome(meanwhile: Callable[[Owner], None]) -> None:
    told = walk(meanwhile, lambda s: s.push(TOPIC, "echo", {}, buffer=True), joined=False)
    assert told <= {"raised", "replied", "failed"}
    assert meanwhile is not nothing or told == {"replied"}


def test_an_owner_awaits_what_it_was_told() -> None:
    """That the walk would see a push that is left without an outcome."""
    with an_owner(joined=True) as owner:
        ref = owner.socket.push(TOPIC, "echo", {}, reply_timeout=60)
        outcome = owner.do(lambda s: s.await_reply(ref, 0.05))
        assert isinstance(outcome, AwaitTimeoutError)


# what is noted, and not told yet


def test_an_end_that_is_about_to_be_told_is_waited_for() -> None:
    """A connection notes the end of a join before it tells it: whoever looks in between joins anew,
    too, and is not told of a join that has failed."""
    with an_owner(joined=True) as owner:
        inbox = owner.wire.owner.actor_inbox
        end = TopicJoinClosed(TOPIC, ChannelCrashed({}), owner.join_ref)
        inbox.ended_joins[owner.join_ref] = owner.wire

        def join_anew(socket: Socket) -> Socket:
            inbox.send_after(0.05, Burst(owner.wire, (end,)))
            return socket.await_join(TOPIC, PATIENCE)

        answer = InThread(owner.do, join_anew)
        owner.join_ref = owner.wire.told(JoinTopic).join_ref
        is_joined(owner)
        assert answer.outcome().joined(TOPIC)
        assert not inbox.ended_joins
