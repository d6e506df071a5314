"""The channel state machine, fact by fact, with an invented clock.

A test named after a note proves that line of the protocol notes.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from slipstream_actor.protocol.channels import (
    JOIN_TRANSITIONS,
    JoinState,
    Protocol,
)
from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.events import (
    Event,
    MessageReceived,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.former import LATE_CLOSES
from slipstream_actor.protocol.former import MOST as MOST_FORMER
from slipstream_actor.protocol.incoming import RESERVED
from slipstream_actor.protocol.message import Message, Ref, Reply
from slipstream_actor.protocol.plain_pushes import MOST
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    Disconnected,
    JoinRefused,
    JoinTimeout,
)
from tests.support.events import as_told

T = "room:1"
OK = {"status": "ok", "response": {}}
UNMATCHED = {"status": "error", "response": {"reason": "unmatched topic"}}
INTERVAL = 30.0
JOIN_TIMEOUT = 10.0


class Core:
    """A protocol with a clock that the test turns, and the server's side of its conversation."""

    def __init__(self, *, interval: float = 0.0, v1: bool = False) -> None:
        self.now = 1000.0
        self.last = 0
        self.protocol = Protocol(
            next_ref=self.next_ref,
            has_join_refs=not v1,
            heartbeat_interval=interval,
            join_timeout=JOIN_TIMEOUT,
        )
        self.protocol.start(self.now)

    def next_ref(self) -> str:
        self.last += 1
        return str(self.last)

    # what the client does

    def join(self, topic: str = T, payload: Any = None) -> str:
        """Request a join; returns its ref."""
        self.protocol.join(JoinTopic(topic, payload or {}), self.now)
        [sent] = self.sent()
        assert sent.join_ref == sent.ref
        assert (sent.topic, sent.event, sent.payload) == (topic, "phx_join", payload or {})
        return str(sent.ref)

    def joined(self, topic: str = T) -> str:
        """Join, and be accepted."""
        ref = self.join(topic)
        assert self.told(ref, ref, "phx_reply", OK, topic) == [TopicJoinSucceeded(topic, {}, ref)]
        return ref

    def leave(self, topic: str = T) -> str:
        """Leave; returns the leave's ref."""
        self.protocol.leave(topic, self.now)
        [sent] = self.sent()
        assert (sent.topic, sent.event, sent.payload) == (topic, "phx_leave", {})
        return str(sent.ref)

    def push(self, join_ref: str, *, awaited: bool = True, topic: str = T) -> str:
        """Push; returns the ref."""
        ref = self.next_ref()
        command = PushMessage(topic, "hello", {}, ref, join_ref, awaited=awaited)
        self.protocol.push(command, self.now)
        assert not self.sent()  # The connection writes pushes.
        return ref

    # what the server does

    def told(
        self,
        join_ref: str | None,
        ref: str | None,
        event: str,
        payload: Any,
        topic: str = T,
    ) -> list[Event]:
        """Take in a message; returns the events."""
        self.taken = self.protocol.receive(Message(join_ref, ref, topic, event, payload), self.now)
        return self.events()

    def dropped(self, *message: Any) -> bool:
        """Whether a message is nobody's: then there are no events."""
        events = self.told(*message)
        assert not (events and not self.taken)
        return not self.taken

    # what comes out

    def events(self) -> list[Any]:
        events, self.protocol.events = self.protocol.events, []
        return as_told(events)

    def sent(self) -> list[Message]:
        sent, self.protocol.outgoing = self.protocol.outgoing, []
        return sent

    def at(self, now: float, **progress: float) -> list[Message]:
        """Turn the clock to `now`, and the timer with it; returns what is sent."""
        self.now = now
        self.protocol.handle_timer(now, **progress)
        return self.sent()

    def status(self, topic: str = T) -> JoinState | None:
        channel = self.protocol.channels.get(topic)
        return channel.state if channel is not None else None

    @property
    def is_clean(self) -> bool:
        """Whether nothing of any join is kept."""
        core = self.protocol
        return not (core.refs or core.channels or core.former or core._joining)


def reply(ref: str, payload: Any = None, status: str = "ok", topic: str = T) -> Event:
    return ReplyReceived(topic, ref, Reply(status, payload or {}))


def failed(ref: str, join_ref: str, reason: Any, topic: str = T) -> Event:
    return PushFailed(topic, "hello", Ref(ref, topic, join_ref), reason)


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def v1() -> Core:
    return Core(v1=True)


@pytest.fixture
def beating() -> Core:
    return Core(interval=INTERVAL)


# refs and join_refs


def test_note_1_pushes_carry_the_join_ref_and_broadcasts_do_not(core: Core) -> None:
    ref = core.joined()
    assert core.told(ref, None, "new", {"n": 1}) == [MessageReceived(T, "new", {"n": 1})]
    assert core.told(None, None, "new", {"n": 2}) == [MessageReceived(T, "new", {"n": 2})]


def test_note_2_join_refs_are_compared_as_strings(core: Core) -> None:
    ref = core.joined()
    assert core.dropped("0" + ref, None, "new", {})
    assert not core.dropped(ref, None, "new", {})


def test_note_3_an_error_has_the_join_ref_for_its_ref(core: Core) -> None:
    ref = core.joined()
    push = core.push(ref)
    events = core.told(ref, ref, "phx_error", {"reason": "channel_crash"})
    crash = ChannelCrashed({"reason": "channel_crash"})
    assert events == [failed(push, ref, ChannelEnded(crash)), TopicJoinClosed(T, crash, ref)]
    assert core.is_clean


def test_note_3_a_close_has_the_join_ref_for_its_ref(core: Core) -> None:
    ref = core.joined()
    assert core.told(ref, ref, "phx_close", {}) == [TopicLeft(T, ref)]
    assert core.is_clean


@pytest.mark.parametrize("payload", [{}, {"reason": "channel_crash"}, None, "odd"])
def test_note_4_any_payload_of_an_error_is_its_reason(core: Core, payload: Any) -> None:
    ref = core.joined()
    expected = [TopicJoinClosed(T, ChannelCrashed(payload), ref)]
    assert core.told(ref, ref, "phx_error", payload) == expected


def test_note_5_an_unmatched_topic_answers_by_ref_alone(core: Core) -> None:
    ref = core.join()
    reason = JoinRefused({"reason": "unmatched topic"})
    assert core.told(None, ref, "phx_reply", UNMATCHED) == [TopicJoinFailed(T, reason, ref)]
    assert core.is_clean


def test_note_5_an_unmatched_topic_answers_a_push_by_ref_alone(core: Core) -> None:
    ref = core.joined()
    push = core.push(ref)
    expected = [reply(push, {"reason": "unmatched topic"}, "error")]
    assert core.told(None, push, "phx_reply", UNMATCHED) == expected
    assert not core.protocol.refs


def test_note_6_a_join_has_its_own_ref_for_its_join_ref(core: Core) -> None:
    # `Core.join` holds the two against each other.
    assert core.join() == "1"
    assert core.join("room:2") == "2"


def test_note_6_the_given_join_ref_is_used(core: Core) -> None:
    core.protocol.join(JoinTopic(T, {"a": 1}, "17"), core.now)
    assert core.sent() == [Message("17", "17", T, "phx_join", {"a": 1})]


def test_note_7_a_1_7_server_answers_a_stale_push_with_the_new_join_ref(core: Core) -> None:
    old = core.joined()
    push = core.push(old, awaited=False)
    new = core.joined()
    assert core.dropped(new, push, "phx_reply", OK)


def test_note_8_a_leave_carries_the_join_ref(core: Core) -> None:
    ref = core.joined()
    core.protocol.leave(T, core.now)
    assert core.sent() == [Message(ref, "2", T, "phx_leave", {})]


def test_note_10_the_order_of_keys_and_more_of_them_do_not_matter(core: Core) -> None:
    ref = core.join()
    payload = {"more": 1, "response": {"a": 1}, "status": "ok"}
    assert core.told(ref, ref, "phx_reply", payload) == [TopicJoinSucceeded(T, {"a": 1}, ref)]


# joins


def test_note_11_a_join_is_accepted_with_a_response(core: Core) -> None:
    ref = core.join()
    events = core.told(ref, ref, "phx_reply", {"status": "ok", "response": [1, None]})
    assert events == [TopicJoinSucceeded(T, [1, None], ref)]
    assert core.status() is JoinState.JOINED
    assert not core.protocol.refs


@pytest.mark.parametrize("status", ["error", "full", ""])
def test_note_11_a_join_is_refused_with_a_response(core: Core, status: str) -> None:
    ref = core.join()
    events = core.told(ref, ref, "phx_reply", {"status": status, "response": {"bad": "join"}})
    assert events == [TopicJoinFailed(T, JoinRefused({"bad": "join"}), ref)]
    assert core.is_clean


def test_note_13_pushes_behind_a_join_that_is_not_answered(core: Core) -> None:
    ref = core.join()
    first, second = core.push(ref), core.push(ref)
    assert core.told(ref, ref, "phx_reply", OK) == [TopicJoinSucceeded(T, {}, ref)]
    assert core.told(ref, first, "phx_reply", OK) == [reply(first)]
    assert core.told(ref, second, "phx_reply", OK) == [reply(second)]


def test_note_13_pushes_behind_a_join_that_is_refused(core: Core) -> None:
    ref = core.join()
    push = core.push(ref)
    [lost, refused] = core.told(None, ref, "phx_reply", UNMATCHED)
    assert lost == failed(push, ref, ChannelEnded("left"))
    assert isinstance(refused, TopicJoinFailed)
    # Its answer comes all the same (note 11), and a push has one outcome.
    assert core.told(None, push, "phx_reply", UNMATCHED) == []
    assert not core.taken


def test_note_14_the_old_phx_close_does_not_close_the_new_join(core: Core) -> None:
    old = core.joined()
    new = core.join()
    assert core.told(new, new, "phx_reply", OK) == [TopicJoinSucceeded(T, {}, new)]
    assert core.told(old, old, "phx_close", {}) == []
    assert core.taken
    assert core.status() is JoinState.JOINED
    assert not core.protocol.former


def test_note_14_a_refused_new_join_leaves_no_join(core: Core) -> None:
    old = core.joined()
    new = core.join()
    refusal = {"status": "error", "response": {"bad": "join"}}
    expected = [TopicJoinFailed(T, JoinRefused({"bad": "join"}), new)]
    assert core.told(new, new, "phx_reply", refusal) == expected
    assert core.told(old, old, "phx_close", {}) == []
    assert core.is_clean


def test_note_14_the_pushes_of_the_old_join_fail_and_its_messages_are_dropped(core: Core) -> None:
    old = core.joined()
    push = core.push(old)
    core.protocol.join(JoinTopic(T), core.now)
    assert core.events() == [failed(push, old, ChannelEnded("left"))]
    assert core.dropped(old, None, "new", {})


def test_note_14_a_join_over_one_that_is_not_answered(core: Core) -> None:
    old = core.join()
    new = core.join()
    assert core.told(old, old, "phx_reply", OK) == []
    assert core.told(new, new, "phx_reply", OK) == [TopicJoinSucceeded(T, {}, new)]
    assert core.told(old, old, "phx_close", {}) == []
    assert core.status() is JoinState.JOINED
    assert not core.protocol.former
    assert not core.protocol.refs


def test_note_14_a_refusal_of_the_replaced_join_is_not_the_new_one_s(core: Core) -> None:
    old = core.join()
    new = core.join()
    assert core.told(old, old, "phx_reply", UNMATCHED) == []
    assert core.status() is JoinState.JOINING
    assert not core.protocol.former
    assert core.told(new, new, "phx_reply", OK) == [TopicJoinSucceeded(T, {}, new)]


def test_note_14_a_crash_of_the_replaced_join_is_not_the_new_one_s(core: Core) -> None:
    old = core.joined()
    new = core.joined()
    assert core.told(old, old, "phx_error", {}) == []
    assert core.taken
    assert core.protocol.current_join_ref(T) == new


def test_note_15_one_channel_too_many_is_a_refusal_and_a_leave_makes_room(core: Core) -> None:
    first = core.joined("room:1")
    too_many = {"status": "error", "response": {"reason": "too many channels joined"}}
    ref = core.join("room:101")
    reason = JoinRefused({"reason": "too many channels joined"})
    assert core.told(ref, ref, "phx_reply", too_many, "room:101") == [
        TopicJoinFailed("room:101", reason, ref)
    ]
    core.told(first, core.leave("room:1"), "phx_reply", OK, "room:1")
    core.joined("room:101")


def test_note_16_join_params_may_be_any_value(core: Core) -> None:
    for params in ([1, 2], "text", 0, {"a": None}, None):
        core.protocol.join(JoinTopic(T, params), core.now)
        [sent] = core.sent()
        assert sent.payload == params


# pushes


@pytest.mark.parametrize("status", ["ok", "error", "a status of its own", ""])
def test_note_17_a_reply_has_any_status(core: Core, status: str) -> None:
    ref = core.joined()
    push = core.push(ref)
    payload = {"status": status, "response": 7}
    assert core.told(ref, push, "phx_reply", payload) == [
        ReplyReceived(T, push, Reply(status, 7)),
    ]


def test_note_17_replies_come_in_any_order_and_more_than_once(core: Core) -> None:
    ref = core.joined()
    first, second = core.push(ref), core.push(ref, awaited=False)
    assert core.told(ref, second, "phx_reply", OK) == [reply(second)]
    assert core.told(ref, first, "phx_reply", OK) == [reply(first)]
    for answered in (first, second):
        assert core.dropped(ref, answered, "phx_reply", OK)


@pytest.mark.parametrize("awaited", [True, False])
def test_a_reply_of_another_topic_or_join_is_not_a_push_s(core: Core, awaited: bool) -> None:
    other = core.joined("room:2")
    ref = core.joined()
    push = core.push(ref, awaited=awaited)
    assert core.dropped(other, push, "phx_reply", OK, "room:2")
    assert core.dropped(ref, push, "phx_reply", OK, "room:2")
    assert core.dropped(None, push, "phx_reply", OK, "room:3")
    assert core.dropped(other, push, "phx_reply", OK)
    assert core.told(ref, push, "phx_reply", OK) == [reply(push)]


def test_a_reply_to_a_plain_push_comes_whenever_it_likes(core: Core) -> None:
    ref = core.joined()
    refs = [core.push(ref, awaited=False) for _ in range(MOST + 5_000)]
    for push in (refs[0], refs[4_999], refs[5_000], refs[-1]):
        assert core.told(ref, push, "phx_reply", OK) == [reply(push)]
        assert core.dropped(ref, push, "phx_reply", OK)


def test_a_reply_knows_the_ref_s_topic_and_join(core: Core) -> None:
    ref = core.joined()
    [event] = core.told(ref, core.push(ref), "phx_reply", OK)
    assert isinstance(event, ReplyReceived)
    assert isinstance(event.ref, Ref)
    assert (event.ref.topic, event.ref.join_ref) == (T, ref)


@pytest.mark.parametrize("event", ["phx_close", "phx_error"])
def test_note_18_pushes_in_flight_fail_when_their_channel_ends(core: Core, event: str) -> None:
    ref, other = core.joined(), core.joined("room:2")
    pushes = [core.push(ref) for _ in range(12)]
    spared = core.push(other, topic="room:2")
    reason = ChannelEnded("left" if event == "phx_close" else ChannelCrashed({}))
    # In the order of their pushes, before the end itself.
    assert core.told(ref, ref, event, {})[:-1] == [failed(push, ref, reason) for push in pushes]
    assert core.protocol.refs.keys() == {spared}


def test_note_18_a_push_of_a_join_that_is_over_fails_at_once(core: Core) -> None:
    ref = core.joined()
    core.told(ref, ref, "phx_close", {})
    push = core.push(ref)
    assert core.events() == [failed(push, ref, ChannelEnded("left"))]
    assert core.is_clean


def test_note_18_a_push_of_a_former_join_fails_at_once(core: Core) -> None:
    old = core.joined()
    core.joined()
    push = core.push(old)
    assert core.events() == [failed(push, old, ChannelEnded("left"))]
    assert not core.protocol.refs


def test_a_plain_push_leaves_nothing_behind(core: Core) -> None:
    ref = core.joined()
    push = core.push(ref, awaited=False)
    assert not core.protocol.refs
    assert core.told(ref, push, "phx_reply", OK) == [reply(push)]
    late = core.push(ref, awaited=False)
    core.told(ref, ref, "phx_close", {})
    assert core.dropped(ref, late, "phx_reply", OK)


@pytest.mark.parametrize(
    "ref", ["99", "0", "-1", "01", "1.0", " 1", "x", "", "٣", "9" * 400, "1_0", "²"]
)
def test_a_reply_to_a_ref_that_we_never_gave_out_is_nobody_s(core: Core, ref: str) -> None:
    join_ref = core.joined()
    for _ in range(10):
        core.next_ref()
    assert core.dropped(join_ref, ref, "phx_reply", OK)


def test_a_second_answer_to_a_join_is_nobody_s(core: Core) -> None:
    ref = core.joined()
    assert core.dropped(ref, ref, "phx_reply", OK)
    assert core.dropped(ref, ref, "phx_reply", UNMATCHED)
    assert core.status() is JoinState.JOINED


def test_note_19_a_crash_answers_no_push_and_ends_one_channel(core: Core) -> None:
    ref, other = core.joined(), core.joined("room:2")
    push = core.push(ref)
    crash = ChannelCrashed({})
    assert core.told(ref, ref, "phx_error", {}) == [
        failed(push, ref, ChannelEnded(crash)),
        TopicJoinClosed(T, crash, ref),
    ]
    assert core.status("room:2") is JoinState.JOINED
    assert core.told(other, None, "new", {}, "room:2") == [MessageReceived("room:2", "new", {})]


def test_note_20_a_reply_and_then_the_end(core: Core) -> None:
    ref = core.joined()
    push = core.push(ref)
    assert core.told(ref, push, "phx_reply", OK) == [reply(push)]
    assert core.told(ref, ref, "phx_close", {}) == [TopicLeft(T, ref)]


@pytest.mark.parametrize("event", sorted(RESERVED))
@pytest.mark.parametrize("payload", [{}, {"status": "ok"}, {"status": 1}, [], None, b"\0", OK])
def test_note_21_reserved_names_with_null_refs_are_messages(
    core: Core, event: str, payload: Any
) -> None:
    core.joined()
    assert core.told(None, None, event, payload) == [MessageReceived(T, event, payload)]
    assert core.status() is JoinState.JOINED


@pytest.mark.parametrize("payload", [{}, {"status": 1}, {"response": {}}, [], "ok", None, b"\0"])
def test_note_21_a_reply_without_status_is_nobody_s(core: Core, payload: Any) -> None:
    ref = core.join()
    assert core.dropped(ref, ref, "phx_reply", payload)
    assert core.status() is JoinState.JOINING


def test_a_reply_without_response_is_a_reply(core: Core) -> None:
    ref = core.joined()
    push = core.push(ref)
    expected = [ReplyReceived(T, push, Reply("ok", None))]
    assert core.told(ref, push, "phx_reply", {"status": "ok"}) == expected


# leaves


def test_note_22_a_leave_is_answered(core: Core) -> None:
    ref = core.joined()
    leave = core.leave()
    assert core.told(ref, leave, "phx_reply", OK) == [TopicLeft(T, ref)]
    assert core.told(ref, ref, "phx_close", {}) == []
    assert core.is_clean


def test_note_22_the_phx_close_after_a_leave_is_not_counted_as_dropped(core: Core) -> None:
    ref = core.joined()
    core.told(ref, core.leave(), "phx_reply", OK)
    assert not core.dropped(ref, ref, "phx_close", {})


def test_note_22_a_second_leave_waits_for_the_first(core: Core) -> None:
    ref = core.joined()
    leave = core.leave()
    core.protocol.leave(T, core.now)
    assert not core.sent()
    assert core.told(ref, leave, "phx_reply", OK) == [TopicLeft(T, ref)]


def test_note_22_a_leave_of_what_is_not_joined_asks_nothing(core: Core) -> None:
    core.protocol.leave(T, core.now)
    assert not core.sent()
    assert not core.events()


def test_note_23_the_old_phx_close_answers_the_leave(core: Core) -> None:
    old = core.joined()
    core.leave()
    new = core.join()
    both = [TopicLeft(T, old), TopicJoinSucceeded(T, {}, new)]
    assert core.told(new, new, "phx_reply", OK) == both
    assert core.told(old, old, "phx_close", {}) == []
    assert core.status() is JoinState.JOINED
    assert not core.protocol.refs
    assert not core.protocol.former


def test_note_23_the_leave_s_reply_comes_after_the_new_join_s(core: Core) -> None:
    old = core.joined()
    leave = core.leave()
    new = core.join()
    both = [TopicLeft(T, old), TopicJoinSucceeded(T, {}, new)]
    assert core.told(new, new, "phx_reply", OK) == both
    assert core.told(old, leave, "phx_reply", OK) == []
    assert core.told(old, old, "phx_close", {}) == []
    assert core.taken
    assert core.status() is JoinState.JOINED


def test_note_23_pushes_of_the_join_that_is_left_fail_with_its_end(core: Core) -> None:
    old = core.joined()
    push = core.push(old)
    core.leave()
    new = core.join()
    assert not core.events()
    assert core.told(new, new, "phx_reply", OK) == [
        failed(push, old, ChannelEnded("left")),
        TopicLeft(T, old),
        TopicJoinSucceeded(T, {}, new),
    ]
    assert core.told(old, old, "phx_close", {}) == []


@pytest.mark.parametrize("leaves", [True, False])
def test_note_14_broadcasts_before_the_old_phx_close_are_the_old_join_s(
    core: Core, leaves: bool
) -> None:
    def broadcast(topic: str = T) -> str | None:
        core.protocol.receive(Message(None, None, topic, "shout", {}), core.now)
        [message] = core.protocol.events
        core.events()
        assert isinstance(message, Message)
        return message.join_ref

    core.joined("other")
    old = core.joined()
    if leaves:
        core.leave()
    new = core.join()
    assert broadcast() is None  # Whether it will be accepted is to come.
    core.told(new, new, "phx_reply", OK)
    assert [broadcast(), broadcast("other"), broadcast("never")] == [old, None, None]
    core.told(old, old, "phx_close", {})
    assert broadcast() is None


def test_messages_come_until_the_leave_is_answered(core: Core) -> None:
    ref = core.joined()
    leave = core.leave()
    assert core.told(ref, None, "new", {}) == [MessageReceived(T, "new", {})]
    core.told(ref, leave, "phx_reply", OK)
    assert core.dropped(ref, None, "new", {})


def test_a_leave_before_the_join_s_answer(core: Core) -> None:
    ref = core.join()
    leave = core.leave()
    assert core.told(ref, ref, "phx_reply", OK) == []
    assert core.told(ref, leave, "phx_reply", OK) == [TopicLeft(T, ref)]
    assert core.is_clean


def test_a_leave_of_a_join_that_is_refused_meanwhile(core: Core) -> None:
    ref = core.join()
    leave = core.leave()
    assert core.told(ref, ref, "phx_reply", UNMATCHED) == [TopicLeft(T, ref)]
    assert core.told(ref, leave, "phx_reply", OK) == []
    assert core.is_clean


def test_a_crash_during_a_leave_is_its_answer(core: Core) -> None:
    ref = core.joined()
    core.leave()
    assert core.told(ref, ref, "phx_error", {}) == [TopicLeft(T, ref)]
    assert core.is_clean


@pytest.mark.parametrize("leaves", [True, False])
def test_without_a_phx_close_a_replaced_join_is_over_at_the_second_heartbeat(
    beating: Core, leaves: bool
) -> None:
    """Before 1.5.10 Phoenix sends none."""

    def broadcast() -> str | None:
        beating.protocol.receive(Message(None, None, T, "shout", {}), beating.now)
        [event] = beating.protocol.events
        beating.events()
        assert isinstance(event, Message)
        return event.join_ref

    old = beating.joined()
    under_way = beat(beating)
    if leaves:
        beating.leave()
    new = beating.join()
    beating.told(new, new, "phx_reply", OK)
    assert answer(beating, under_way) == []
    assert answer(beating, beat(beating)) == []
    assert broadcast() == old
    assert answer(beating, beat(beating)) == []
    assert broadcast() is None
    assert not beating.protocol.former
    assert not beating.protocol.refs
    assert beating.status() is JoinState.JOINED
    assert beating.told(old, old, "phx_close", {}) == []


def test_heartbeats_end_no_leave(beating: Core) -> None:
    beating.joined()
    beating.protocol.leave(T, beating.now, timeout=1_000.0)
    beating.protocol.join(JoinTopic(T, {}, timeout=1_000.0), beating.now)
    beating.sent()
    for _ in range(3):
        assert answer(beating, beat(beating)) == []
    assert len(beating.protocol.former) == 1


def test_replaced_joins_without_a_phx_close_are_bounded(core: Core) -> None:
    for _ in range(MOST_FORMER + 50):
        core.joined()
    assert len(core.protocol.former) == MOST_FORMER
    assert not core.protocol.refs
    assert core.status() is JoinState.JOINED


def test_note_24_an_awaited_push_of_a_left_channel_fails(core: Core) -> None:
    ref = core.joined()
    push = core.push(ref)
    leave = core.leave()
    expected = [failed(push, ref, ChannelEnded("left")), TopicLeft(T, ref)]
    assert core.told(ref, leave, "phx_reply", OK) == expected


def test_an_end_of_another_topic_with_our_join_ref_is_nobody_s(core: Core) -> None:
    ref = core.joined()
    core.join()
    for event in ("phx_close", "phx_error"):
        assert core.told(ref, ref, event, {}, "room:2") == []
    assert core.protocol.former


# version 1 (note 52)


def test_note_52_v1_answers_by_ref_and_pushes_without_join_ref(v1: Core) -> None:
    ref = v1.join()
    assert v1.told(None, ref, "phx_reply", OK) == [TopicJoinSucceeded(T, {}, ref)]
    push = v1.push(ref)
    assert v1.told(None, push, "phx_reply", OK) == [reply(push)]
    assert v1.told(None, None, "new", {"n": 1}) == [MessageReceived(T, "new", {"n": 1})]


@pytest.mark.parametrize("with_ref", [False, True])
def test_note_52_v1_ends_belong_to_the_topic(v1: Core, with_ref: bool) -> None:
    for event, end in (
        ("phx_close", TopicLeft),
        ("phx_error", lambda topic, ref: TopicJoinClosed(topic, ChannelCrashed({}), ref)),
    ):
        ref = v1.join()
        v1.told(None, ref, "phx_reply", OK)
        assert v1.told(None, ref if with_ref else None, event, {}) == [end(T, ref)]
        assert v1.is_clean


@pytest.mark.parametrize("with_ref", [False, True])
def test_note_52_v1_a_join_over_a_join(v1: Core, with_ref: bool) -> None:
    old, new = v1.join(), ""
    v1.told(None, old, "phx_reply", OK)
    new = v1.join()
    assert v1.told(None, new, "phx_reply", OK) == [TopicJoinSucceeded(T, {}, new)]
    assert v1.told(None, old if with_ref else None, "phx_close", {}) == []
    assert v1.status() is JoinState.JOINED
    # The next one is the new join's.
    assert v1.told(None, None, "phx_close", {}) == [TopicLeft(T, new)]


def test_note_52_v1_leave_and_join_in_one_go(v1: Core) -> None:
    old = v1.join()
    v1.told(None, old, "phx_reply", OK)
    v1.leave()
    new = v1.join()
    both = [TopicLeft(T, old), TopicJoinSucceeded(T, {}, new)]
    assert v1.told(None, new, "phx_reply", OK) == both
    assert v1.told(None, None, "phx_close", {}) == []
    assert v1.status() is JoinState.JOINED


def test_note_52_v1_an_end_of_a_topic_that_nobody_joined(v1: Core) -> None:
    assert v1.dropped(None, None, "phx_close", {})
    assert v1.dropped(None, "3", "phx_error", {})


# the end of the connection


def test_awaited_pushes_fail_with_the_connection(core: Core) -> None:
    old = core.joined()
    left = core.push(old)
    core.leave()
    new = core.join()
    other = core.joined("room:2")
    pushes = [(left, old, T), (core.push(new), new, T)]
    pushes.append((core.push(other, topic="room:2"), other, "room:2"))
    core.protocol.close(ClosedByPeer(1001))
    reason = Disconnected(ClosedByPeer(1001))
    assert sorted(core.events(), key=repr) == sorted(
        (failed(push, join_ref, reason, topic) for push, join_ref, topic in pushes), key=repr
    )
    assert core.is_clean


def test_nothing_is_due_after_the_connection(beating: Core) -> None:
    beating.join()
    beating.protocol.close(ClosedByClient())
    assert beating.protocol.next_deadline() is None
    assert not beating.at(beating.now + 1000)
    assert not beating.events()


# joins that are not answered


def test_a_join_times_out_and_is_left(core: Core) -> None:
    ref = core.join()
    assert core.protocol.next_deadline() == core.now + JOIN_TIMEOUT
    assert not core.at(core.now + JOIN_TIMEOUT - 0.001)
    assert core.at(core.now + 0.001) == [Message(ref, "2", T, "phx_leave", {})]
    assert core.events() == [TopicJoinFailed(T, JoinTimeout(), ref)]
    assert core.protocol.next_deadline() is None
    assert core.is_clean


def test_a_late_answer_to_a_join_that_timed_out_joins_nothing(core: Core) -> None:
    ref = core.join()
    [leave] = core.at(core.now + JOIN_TIMEOUT)
    core.events()
    assert core.told(ref, ref, "phx_reply", OK) == []
    assert core.told(ref, leave.ref, "phx_reply", OK) == []
    assert core.told(ref, None, "new", {}) == []
    assert core.told(ref, ref, "phx_close", {}) == []
    assert core.is_clean


def test_a_join_after_a_timeout_is_not_ended_by_the_old_one_s_answers(core: Core) -> None:
    old = core.join()
    [leave] = core.at(core.now + JOIN_TIMEOUT)
    new = core.join()
    core.events()
    for message in (
        Message(old, old, T, "phx_reply", OK),
        Message(old, leave.ref, T, "phx_reply", OK),
        Message(old, old, T, "phx_close", {}),
    ):
        core.protocol.receive(message, core.now)
    assert core.events() == []
    assert core.told(new, new, "phx_reply", OK) == [TopicJoinSucceeded(T, {}, new)]


def test_each_join_has_its_own_deadline(core: Core) -> None:
    first = core.join("room:1")
    core.now += 4
    second = core.join("room:2")
    core.now += 4
    core.join("room:3")
    core.told(second, second, "phx_reply", OK, "room:2")
    start = core.now - 8
    assert core.protocol.next_deadline() == start + JOIN_TIMEOUT
    core.at(start + JOIN_TIMEOUT)
    assert core.events() == [TopicJoinFailed("room:1", JoinTimeout(), first)]
    assert core.protocol.next_deadline() == start + 8 + JOIN_TIMEOUT


def test_joins_that_time_out_together(core: Core) -> None:
    refs = [core.join(f"room:{n}") for n in range(3)]
    assert len(core.at(core.now + 2 * JOIN_TIMEOUT)) == 3
    assert core.events() == [
        TopicJoinFailed(f"room:{n}", JoinTimeout(), ref) for n, ref in enumerate(refs)
    ]


@pytest.mark.parametrize("end", ["answer", "leave", "replace", "error"])
def test_an_answered_or_abandoned_join_does_not_time_out(core: Core, end: str) -> None:
    ref = core.join()
    start = core.now
    core.now += 1
    if end == "answer":
        core.told(ref, ref, "phx_reply", OK)
    elif end == "error":
        core.told(ref, ref, "phx_error", {})
    elif end == "leave":
        core.leave()
    else:
        new = core.join()
    core.events()
    assert not core.at(start + JOIN_TIMEOUT)
    assert not core.events()
    core.at(core.now + 1)
    if end == "replace":
        assert core.events() == [TopicJoinFailed(T, JoinTimeout(), new)]
    elif end == "leave":
        assert core.events() == [TopicLeft(T, ref)]
    assert core.protocol.next_deadline() is None


# heartbeats


def answer(core: Core, ref: str | None) -> list[Event]:
    """The server answers a heartbeat (note 9)."""
    return core.told(None, ref, "phx_reply", OK, "phoenix")


def beat(core: Core, now: float | None = None) -> str:
    """The heartbeat that is due is sent, and written; returns its ref."""
    due = core.protocol.next_deadline()
    assert due is not None
    [sent] = core.at(due if now is None else now)
    assert (sent.join_ref, sent.topic, sent.event, sent.payload) == (
        None,
        "phoenix",
        "heartbeat",
        {},
    )
    core.protocol.heartbeat_written(core.now)
    return str(sent.ref)


def test_heartbeats_are_due_once_an_interval(beating: Core) -> None:
    start = beating.now
    for n in range(1, 5):
        assert beating.protocol.next_deadline() == start + n * INTERVAL
        assert not beating.at(start + n * INTERVAL - 0.001)
        assert answer(beating, beat(beating)) == []
        assert not beating.protocol.heartbeat_failed


def test_without_an_interval_there_are_no_heartbeats(core: Core) -> None:
    assert core.protocol.next_deadline() is None
    assert not core.at(core.now + 1e9)


def test_note_9_a_heartbeat_s_reply_is_matched_by_its_ref(beating: Core) -> None:
    ref = beat(beating)
    other = beating.next_ref()
    assert beating.dropped(None, other, "phx_reply", OK, "phoenix")
    assert beating.dropped(None, ref, "phx_reply", OK)
    assert beating.protocol.heartbeats.unanswered is not None
    assert answer(beating, ref) == []
    assert beating.protocol.heartbeats.unanswered is None
    # A second answer is nobody's, and no reply to a push.
    assert beating.dropped(None, ref, "phx_reply", OK, "phoenix")


@pytest.mark.parametrize("payload", [{}, None, "pong", {"status": "error", "response": {}}])
def test_a_heartbeat_is_answered_by_whatever_reply_has_its_ref(beating: Core, payload: Any) -> None:
    """As in phoenix.js: servers that are not Phoenix leave the status out."""
    ref = beat(beating)
    assert beating.told(None, ref, "phx_reply", payload, "phoenix") == []
    assert beating.protocol.heartbeats.unanswered is None


def test_the_round_trip_is_measured_from_the_writing(beating: Core) -> None:
    [sent] = beating.at(beating.now + INTERVAL)
    beating.now += 2
    beating.protocol.heartbeat_written(beating.now)
    beating.now += 0.25
    assert beating.protocol.heartbeat_rtt is None
    answer(beating, sent.ref)
    assert beating.protocol.heartbeat_rtt == 0.25


def test_a_heartbeat_unanswered_when_the_next_is_due_is_a_timeout(beating: Core) -> None:
    beat(beating)
    written = beating.now
    assert beating.protocol.next_deadline() == written + INTERVAL
    assert not beating.at(written + INTERVAL - 0.001)
    assert not beating.protocol.heartbeat_failed
    assert not beating.at(written + INTERVAL)
    assert beating.protocol.heartbeat_failed
    assert beating.protocol.next_deadline() is None


def test_messages_are_no_answer_to_a_heartbeat(beating: Core) -> None:
    ref = beating.joined()
    beat(beating)
    beating.now += INTERVAL - 1
    beating.told(ref, None, "new", {})
    beating.at(beating.now + 1)
    assert beating.protocol.heartbeat_failed


def test_the_clock_of_a_heartbeat_starts_when_it_is_written(beating: Core) -> None:
    beating.at(beating.now + INTERVAL)
    beating.now += 20
    beating.protocol.heartbeat_written(beating.now)
    assert beating.protocol.next_deadline() == beating.now + INTERVAL
    beating.at(beating.now + INTERVAL - 0.001)
    assert not beating.protocol.heartbeat_failed


def test_a_heartbeat_that_cannot_be_written_is_a_timeout_too(beating: Core) -> None:
    beating.at(beating.now + INTERVAL)
    beating.at(beating.now + INTERVAL)
    assert beating.protocol.heartbeat_failed


def test_progress_in_a_transfer_counts_as_life(beating: Core) -> None:
    beat(beating)
    start = beating.now
    beating.at(start + INTERVAL, progress=start + 20)
    assert not beating.protocol.heartbeat_failed
    assert beating.protocol.next_deadline() == start + 20 + INTERVAL
    beating.at(start + 20 + INTERVAL, progress=start + 20)
    assert beating.protocol.heartbeat_failed


def test_note_12_an_outstanding_join_excuses_the_server(beating: Core) -> None:
    beat(beating)
    start = beating.now
    beating.now += INTERVAL - 1
    beating.join()
    beating.at(start + INTERVAL)
    assert not beating.protocol.heartbeat_failed


def test_note_12_not_longer_than_its_own_timeout(beating: Core) -> None:
    beat(beating)
    start = beating.now
    beating.now += INTERVAL - 1
    beating.join()
    beating.at(start + INTERVAL)
    beating.at(start + INTERVAL - 1 + JOIN_TIMEOUT)
    assert beating.protocol.heartbeat_failed


def test_note_12_after_the_join_s_answer_the_server_has_an_interval(beating: Core) -> None:
    beat(beating)
    start = beating.now
    beating.now += INTERVAL - 1
    ref = beating.join()
    beating.at(start + INTERVAL)
    beating.now = start + INTERVAL + 2
    beating.told(ref, ref, "phx_reply", OK)
    last = beating.now + INTERVAL
    while not beating.protocol.heartbeat_failed:
        due = beating.protocol.next_deadline()
        assert due is not None
        assert beating.now < due <= last
        beating.at(due)
    assert beating.now == last


def test_note_12_heartbeats_go_on_after_a_slow_join() -> None:
    core = Core(interval=1.0)
    ref = core.join()
    heartbeat = beat(core)
    core.at(core.now + 1.0)
    core.now += 0.5
    core.told(ref, ref, "phx_reply", OK)
    answer(core, heartbeat)
    due = core.protocol.next_deadline()
    assert due is not None
    assert due <= core.now + 1.0


@pytest.mark.parametrize("then", ["leave", "join"])
def test_note_12_a_join_that_is_left_or_replaced_still_blocks_the_server(then: str) -> None:
    core = Core(interval=1.0)
    core.join()
    if then == "leave":
        core.leave()
    else:
        core.join()
    beat(core)
    for _ in range(5):
        due = core.protocol.next_deadline()
        assert due is not None
        if due >= 1000.0 + JOIN_TIMEOUT:
            break
        core.at(due)
    assert not core.protocol.heartbeat_failed


def test_note_12_joins_that_are_tried_again_do_not_excuse_a_dead_server_for_ever() -> None:
    core = Core(interval=10.0)
    beat(core)
    start = core.now
    while not core.protocol.heartbeat_failed:
        # Of several topics, one is always being joined.
        core.now += 4.0
        core.join(f"room:{core.now}")
        core.at(core.now)
        assert core.now <= start + 10.0 + JOIN_TIMEOUT + 4.0


# no growth


def test_what_is_remembered_of_answered_joins_is_bounded(core: Core) -> None:
    for n in range(LATE_CLOSES + 50):
        topic = f"room:{n}"
        ref = core.joined(topic)
        core.told(ref, core.leave(topic), "phx_reply", OK, topic)
        core.told(ref, ref, "phx_close", {}, topic)
    assert core.is_clean
    assert len(core.protocol.former.over) == LATE_CLOSES


def test_a_join_replaced_a_thousand_times_leaves_one(core: Core) -> None:
    refs = [core.join() for _ in range(1000)]
    for ref in refs:
        core.told(ref, ref, "phx_reply", OK)
        core.told(ref, ref, "phx_close", {})
    assert core.is_clean


def test_an_awaited_push_with_a_ref_made_by_hand_hurts_nothing(core: Core) -> None:
    ref, other = core.joined(), core.joined("room:2")
    for topic, join_ref in ((T, ref), (T, ref), ("room:2", other)):
        push = PushMessage(topic, "hello", {}, "by hand", join_ref, awaited=True)
        core.protocol.push(push, core.now)
    ends = [
        *core.told(ref, ref, "phx_close", {}),
        *core.told(other, other, "phx_close", {}, "room:2"),
    ]
    assert [type(end) for end in ends].count(TopicLeft) == 2
    assert core.is_clean


# any message at any time

REFS = st.sampled_from([None, "1", "2", "3", "4", "", "x", "0"])
MESSAGES = st.builds(
    Message,
    REFS,
    REFS,
    st.sampled_from([T, "room:2", "phoenix", ""]),
    st.sampled_from(["phx_reply", "phx_error", "phx_close", "phx_join", "new", ""]),
    st.sampled_from([{}, OK, UNMATCHED, None, b"", {"status": None}, [1]]),
)


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=30), st.booleans())
def test_any_messages_raise_nothing_and_lead_to_events_or_none(
    messages: list[Message], v1: bool
) -> None:
    core = Core(interval=INTERVAL, v1=v1)
    ref = core.join()
    core.push(ref)
    core.join("room:2")
    core.leave("room:2")
    for message in messages:
        before = len(core.protocol.events)
        if not core.protocol.receive(message, core.now):
            assert len(core.protocol.events) == before
        core.now += 1
        core.protocol.handle_timer(core.now)
    core.protocol.close(ClosedByClient())
    assert core.is_clean


# the table of transitions, walked against a plain model


class Expected:
    """What a plain model knows of one join."""

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.state = JoinState.JOINING
        self.leave_ref: str | None = None
        self.asked = True  # The server has not answered the join.
        self.overdue = False


def join_ref_of(event: Any) -> str | None:
    """The join that an event is about."""
    told: Any = event.ref if isinstance(event, PushFailed) else event
    join_ref: str | None = told.join_ref
    return join_ref


class Joins(RuleBasedStateMachine):
    """Joins, leaves and replacements of two topics, with a server that answers in any order."""

    @initialize(v1=st.booleans())
    def begin(self, v1: bool) -> None:
        self.core = Core(v1=v1)
        self.joins: list[tuple[str, Expected]] = []
        self.pushes: dict[str, Expected] = {}

    def current(self, topic: str) -> Expected | None:
        """The topic's join, if it has one: the last that was asked for, until it ends."""
        mine = [join for t, join in self.joins if t == topic]
        return mine[-1] if mine and mine[-1].state is not JoinState.ENDED else None

    def apply(self, join: Expected, given: Any, topic: str) -> list[tuple[str, str]]:
        """What the table says, in the model; returns the events that must come: kind and join.

        What is told of a join comes behind the end of those that were left before it.
        """
        state, outcome = JOIN_TRANSITIONS.get((join.state, given), (join.state, None))
        told: list[tuple[str, str]] = []
        if outcome is not None:
            mine = [j for t, j in self.joins if t == topic]
            for earlier in mine[: mine.index(join)]:
                if earlier.state is JoinState.LEAVING:
                    told += self.apply(earlier, "overtaken", topic)
        ends = given == "overtaken" or state is JoinState.ENDED is not join.state
        join.state = state
        lost = [r for r, j in self.pushes.items() if j is join] if ends else []
        for ref in lost:
            del self.pushes[ref]
        kinds = {
            "succeeded": ["TopicJoinSucceeded"],
            "failed": ["TopicJoinFailed"],
            "crashed": ["TopicJoinClosed"],
            "left": ["TopicLeft"],
            None: [],
        }
        return told + [(kind, join.ref) for kind in ["PushFailed"] * len(lost) + kinds[outcome]]

    def expect(self, told: list[tuple[str, str]], topic: str) -> None:
        events: list[Any] = self.core.events()
        assert [(type(event).__name__, join_ref_of(event)) for event in events] == told
        assert all(event.topic == topic for event in events)

    @rule(topic=st.sampled_from("ab"))
    def join(self, topic: str) -> None:
        old = self.current(topic)
        self.core.protocol.join(JoinTopic(topic), self.core.now)
        [sent] = self.core.sent()
        kinds: list[str] = []
        if old is not None and old.state is not JoinState.LEAVING:
            kinds = ["PushFailed" for r in list(self.pushes) if self.pushes[r] is old]
            self.pushes = {r: j for r, j in self.pushes.items() if j is not old}
            self.apply(old, "replace", topic)
        assert [type(event).__name__ for event in self.core.events()] == kinds
        self.joins.append((topic, Expected(str(sent.ref))))

    @rule(topic=st.sampled_from("ab"))
    def leave(self, topic: str) -> None:
        join = self.current(topic)
        self.core.protocol.leave(topic, self.core.now)
        sent = self.core.sent()
        if join is None or join.state is JoinState.LEAVING:
            assert not sent
            return
        [leave] = sent
        assert leave.join_ref == join.ref
        join.leave_ref = leave.ref
        self.apply(join, "leave", topic)
        self.expect([], topic)

    @rule(topic=st.sampled_from("ab"))
    def push(self, topic: str) -> None:
        join = self.current(topic)
        if join is not None:
            ref = self.core.push(join.ref, topic=topic)
            self.pushes[ref] = join
            assert not self.core.events()

    @precondition(lambda self: self.joins)
    @rule(data=st.data(), ok=st.booleans())
    def answer_a_join(self, data: st.DataObject, ok: bool) -> None:
        topic, join = data.draw(st.sampled_from(self.joins))
        told: list[tuple[str, str]] = []
        if join.asked and join.state is not JoinState.ENDED:
            told = self.apply(join, "ok" if ok else "refused", topic)
        join.asked = False
        self.core.protocol.receive(
            Message(None, join.ref, topic, "phx_reply", OK if ok else UNMATCHED), self.core.now
        )
        self.expect(told, topic)

    @precondition(lambda self: self.joins)
    @rule(data=st.data())
    def answer_a_leave(self, data: st.DataObject) -> None:
        topic, join = data.draw(st.sampled_from(self.joins))
        if join.leave_ref is None:
            return
        told = self.apply(join, "left", topic)
        message = Message(join.ref, join.leave_ref, topic, "phx_reply", OK)
        join.leave_ref = None
        self.core.protocol.receive(message, self.core.now)
        self.expect(told, topic)

    @precondition(lambda self: self.joins)
    @rule(data=st.data(), event=st.sampled_from(["close", "error"]))
    def end(self, data: st.DataObject, event: str) -> None:
        topic, join = data.draw(st.sampled_from(self.joins))
        told = self.apply(join, event, topic)
        message = Message(join.ref, join.ref, topic, f"phx_{event}", {})
        self.core.protocol.receive(message, self.core.now)
        self.expect(told, topic)

    @precondition(lambda self: self.pushes)
    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.pushes)))
        join = self.pushes.pop(ref)
        topic = next(t for t, j in self.joins if j is join)
        self.core.protocol.receive(Message(join.ref, ref, topic, "phx_reply", OK), self.core.now)
        [event] = self.core.events()
        assert isinstance(event, ReplyReceived)
        assert event.ref == ref

    @rule()
    def time_out(self) -> None:
        self.core.at(self.core.now + JOIN_TIMEOUT)
        kinds: list[str] = []
        for topic, join in self.joins:
            join.overdue = True
            if join.state is JoinState.JOINING:
                kinds += [kind for kind, _ in self.apply(join, "timeout", topic)]
            elif join.state is JoinState.LEAVING:
                kinds += [kind for kind, _ in self.apply(join, "close", topic)]
        assert sorted(type(event).__name__ for event in self.core.events()) == sorted(kinds)

    @invariant()
    def the_core_knows_what_the_model_knows(self) -> None:
        core = self.core.protocol
        known = {t: (join.ref, join.state) for t in "ab" if (join := self.current(t)) is not None}
        assert {t: (c.join_ref, c.state) for t, c in core.channels.items()} == known
        former = {
            join.ref
            for topic, join in self.joins
            if join.state is not JoinState.ENDED and join is not self.current(topic)
        }
        assert core.former.keys() == former
        outstanding = [
            join.ref
            for _, join in self.joins
            if join.asked and not join.overdue and join.state is not JoinState.ENDED
        ]
        assert list(core._joining) == outstanding
        waited_for = set(self.pushes)
        for _, join in self.joins:
            if join.state is not JoinState.ENDED:
                waited_for |= {join.ref} if join.asked else set()
                waited_for |= {join.leave_ref} if join.leave_ref is not None else set()
        assert core.refs.keys() == waited_for
        assert len(core.former.over) <= LATE_CLOSES

    def teardown(self) -> None:
        if hasattr(self, "core"):
            self.core.protocol.close(ClosedByClient())
            assert {type(event) for event in self.core.events()} <= {PushFailed}
            assert self.core.is_clean


Joins.TestCase.settings = settings(stateful_step_count=40, deadline=None)
TestJoins = Joins.TestCase


def test_every_transition_leads_somewhere_and_ends_at_the_end() -> None:
    for (state, _), (next_state, outcome) in JOIN_TRANSITIONS.items():
        assert state is not JoinState.ENDED
        assert next_state is not state
        # A join whose owner was told of its end, or of its replacement, is told of no other.
        assert not (state is JoinState.REPLACED and outcome)
    reached = {next_state for next_state, _ in JOIN_TRANSITIONS.values()}
    assert reached == set(JoinState) - {JoinState.JOINING}
