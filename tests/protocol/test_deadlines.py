"""Deadlines of pushes, and the clock that stands still while reading is paused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import (
    ChannelEnded,
    ClosedByPeer,
    Disconnected,
    JoinTimeout,
    PushFailed,
    PushTimeout,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.protocol.standstill import PUT_OFF
from tests.protocol.test_channels import INTERVAL, JOIN_TIMEOUT, OK, Core, T, failed, reply


def push(core: Core, join_ref: str, timeout: float, topic: str = T) -> str:
    """Push with a time for the reply; returns the ref."""
    ref = core.next_ref()
    command = PushMessage(topic, "hello", {}, ref, join_ref, awaited=True, reply_timeout=timeout)
    assert core.protocol.push(command, core.now)
    return ref


@pytest.fixture
def core() -> Core:
    return Core()


def test_a_push_without_its_reply_fails_when_its_time_has_passed(core: Core) -> None:
    join_ref = core.joined()
    late, sooner = push(core, join_ref, 5.0), push(core, join_ref, 2.0)
    assert core.protocol.next_deadline() == core.now + 2.0
    core.at(core.now + 1.9)
    assert core.events() == []
    core.at(core.now + 0.1)
    assert core.events() == [failed(sooner, join_ref, PushTimeout())]
    core.at(core.now + 3.0)
    assert core.events() == [failed(late, join_ref, PushTimeout())]
    assert core.protocol.next_deadline() is None
    assert core.protocol.refs == {}


def test_a_reply_in_time_ends_the_wait(core: Core) -> None:
    join_ref = core.joined()
    ref = push(core, join_ref, 5.0)
    assert core.told(join_ref, ref, "phx_reply", OK) == [reply(ref)]
    assert core.protocol.next_deadline() is None
    core.at(core.now + 6.0)
    assert core.events() == []


def test_a_push_has_one_outcome_however_late_its_reply(core: Core) -> None:
    join_ref = core.joined()
    ref = push(core, join_ref, 1.0)
    core.at(core.now + 1.0)
    assert core.events() == [failed(ref, join_ref, PushTimeout())]
    assert core.told(join_ref, ref, "phx_reply", OK) == []
    assert not core.taken


def test_the_end_of_a_topic_comes_before_the_deadline(core: Core) -> None:
    join_ref = core.joined()
    ref = push(core, join_ref, 1.0)
    assert failed(ref, join_ref, ChannelEnded("left")) in core.told(
        join_ref, join_ref, "phx_close", {}
    )
    core.at(core.now + 1.0)
    assert core.events() == []


def test_the_end_of_the_connection_too(core: Core) -> None:
    join_ref = core.joined()
    ref = push(core, join_ref, 1.0)
    core.protocol.close(ClosedByPeer(1001))
    assert core.events() == [failed(ref, join_ref, Disconnected(ClosedByPeer(1001)))]
    assert core.protocol.next_deadline() is None


def test_a_failed_push_is_not_replied_to_whatever_the_number(core: Core) -> None:
    join_ref = core.joined()
    refs = [push(core, join_ref, 1.0) for _ in range(20_000)]
    core.at(core.now + 1.0)
    core.events()
    for late in (*refs[:3], *refs[-3:]):
        assert core.dropped(join_ref, late, "phx_reply", OK)


def test_answered_pushes_leave_no_deadlines_behind(core: Core) -> None:
    join_ref = core.joined()
    for _ in range(10_000):
        ref = push(core, join_ref, 60.0)
        core.told(join_ref, ref, "phx_reply", OK)
    assert len(core.protocol._push_deadlines._heap) < 200


@given(st.lists(st.floats(0.1, 10), max_size=30), st.sets(st.integers(0, 29)))
def test_each_push_is_answered_or_fails_at_its_time(
    timeouts: list[float], answered: set[int]
) -> None:
    core = Core()
    join_ref = core.joined()
    start = core.now
    due = {push(core, join_ref, timeout): start + timeout for timeout in timeouts}
    for at in answered & set(range(len(due))):
        ref = list(due)[at]
        core.told(join_ref, ref, "phx_reply", OK)
    waiting = {ref: at for n, (ref, at) in enumerate(due.items()) if n not in answered}
    while (deadline := core.protocol.next_deadline()) is not None:
        assert deadline == min(waiting.values())
        core.at(deadline)
        told = {event.ref for event in core.events() if isinstance(event, PushFailed)}
        assert told == {ref for ref, at in waiting.items() if at <= deadline}
        waiting = {ref: at for ref, at in waiting.items() if at > deadline}
    assert not waiting


def test_a_leave_that_is_not_answered_counts_as_done(core: Core) -> None:
    ref = core.joined()
    core.leave()
    assert core.protocol.next_deadline() == core.now + JOIN_TIMEOUT
    core.at(core.now + JOIN_TIMEOUT - 0.1)
    assert core.events() == []
    core.at(core.now + 0.1)
    assert core.events() == [TopicLeft(T, ref)]
    assert core.is_clean
    assert core.protocol.next_deadline() is None
    # What the server says of it yet is nobody's surprise.
    assert core.told(ref, ref, "phx_close", {}) == []
    assert core.taken


def test_a_leave_that_is_answered_leaves_no_deadline(core: Core) -> None:
    first, second = core.joined(), core.joined("room:2")
    left = core.leave()
    core.told(first, left, "phx_reply", OK)
    core.leave("room:2")
    core.told(second, second, "phx_close", {}, "room:2")
    assert core.protocol.next_deadline() is None
    assert not core.protocol._leaving


def test_a_leave_behind_a_new_join_has_its_deadline_too(core: Core) -> None:
    old = core.joined()
    core.leave()
    new = core.join()
    core.at(core.now + JOIN_TIMEOUT)
    events = core.events()
    assert events[:1] == [TopicLeft(T, old)]
    assert [type(event) for event in events[1:]] == [TopicJoinFailed]
    assert new


# while reading is paused


def test_a_join_is_not_late_while_we_do_not_read(core: Core) -> None:
    ref = core.join()
    core.now += 4.0
    core.protocol.pause(core.now)
    assert core.protocol.next_deadline() is None
    core.at(core.now + 100.0)
    assert core.events() == []
    core.protocol.resume(core.now)
    assert core.protocol.next_deadline() == core.now + JOIN_TIMEOUT - 4.0
    core.at(core.now + JOIN_TIMEOUT - 4.0)
    assert core.events() == [TopicJoinFailed(T, JoinTimeout(), ref)]


def test_nor_is_a_leave(core: Core) -> None:
    ref = core.joined()
    core.leave()
    core.now += 1.0
    core.protocol.pause(core.now)
    core.at(core.now + 100.0)
    core.protocol.resume(core.now)
    core.at(core.now + JOIN_TIMEOUT - 1.1)
    assert core.events() == []
    core.at(core.now + 0.2)
    assert core.events() == [TopicLeft(T, ref)]


def test_nor_is_a_push(core: Core) -> None:
    join_ref = core.joined()
    before = push(core, join_ref, 5.0)
    core.protocol.pause(core.now)
    core.now += 100.0
    meanwhile = push(core, join_ref, 6.0)
    core.at(core.now + 100.0)
    core.protocol.resume(core.now)
    core.at(core.now + 4.9)
    assert core.events() == []
    core.at(core.now + 0.1)
    assert core.events() == [failed(before, join_ref, PushTimeout())]
    core.at(core.now + 1.0)
    assert core.events() == [failed(meanwhile, join_ref, PushTimeout())]


def test_nor_is_what_was_due_when_we_stopped_to_read(core: Core) -> None:
    """Whatever kept us from reading: its answer may be behind what there is no room for."""
    join_ref = core.joined()
    answered, unanswered = push(core, join_ref, 5.0), push(core, join_ref, 5.0)
    core.now += 6.0
    core.protocol.pause(core.now)
    core.at(core.now)
    assert core.events() == []
    core.now += 100.0
    core.protocol.resume(core.now)
    assert core.told(join_ref, answered, "phx_reply", OK) == [reply(answered)]
    core.at(core.now + 0.001)
    assert core.events() == [failed(unanswered, join_ref, PushTimeout())]


def test_a_join_that_is_asked_for_meanwhile_has_its_whole_time(core: Core) -> None:
    core.protocol.pause(core.now)
    core.now += 100.0
    core.join()
    core.now += 100.0
    core.protocol.resume(core.now)
    assert core.protocol.next_deadline() == core.now + JOIN_TIMEOUT


def test_heartbeats_go_on_and_nobody_is_blamed() -> None:
    core = Core(interval=INTERVAL)
    core.protocol.pause(core.now)
    refs = []
    for _ in range(4):
        [beat] = core.at(core.now + INTERVAL)
        assert beat.event == "heartbeat"
        refs.append(beat.ref)
        core.protocol.heartbeat_written(core.now)
    assert len(set(refs)) == 4
    assert not core.protocol.heartbeat_failed
    core.protocol.resume(core.now)
    # The answers that waited unread are nobody's but the last one's.
    for ref in refs[:-1]:
        assert core.told(None, ref, "phx_reply", OK, "phoenix") == []
    assert core.protocol.heartbeats.unanswered is not None
    assert core.told(None, refs[-1], "phx_reply", OK, "phoenix") == []
    assert core.protocol.heartbeats.unanswered is None


def test_a_heartbeat_from_before_the_pause_has_an_interval_after_it() -> None:
    core = Core(interval=INTERVAL)
    core.at(core.now + INTERVAL)
    core.protocol.heartbeat_written(core.now)
    core.protocol.pause(core.now)
    core.now += INTERVAL - 1
    core.protocol.resume(core.now)
    core.at(core.now + INTERVAL - 1)
    assert not core.protocol.heartbeat_failed
    core.at(core.now + 1)
    assert core.protocol.heartbeat_failed


def test_what_is_late_is_put_off_for_a_while_only(core: Core) -> None:
    """For who always has too much to read: whenever he looks at the deadlines he is pausing."""
    ref, asked_at = core.join(), core.now
    while not (events := core.events()):
        core.now += 1.0
        core.protocol.pause(core.now)
        core.at(core.now + 0.1)
        core.protocol.resume(core.now)
        assert core.now - asked_at < 1.1 * (JOIN_TIMEOUT + PUT_OFF) + 5.0
    assert events == [TopicJoinFailed(T, JoinTimeout(), ref)]
    assert core.now - asked_at > JOIN_TIMEOUT + PUT_OFF


def test_what_is_late_later_is_put_off_anew(core: Core) -> None:
    for number in range(3):
        ref = core.join(f"room:{number}")
        core.now += JOIN_TIMEOUT
        core.protocol.pause(core.now)
        core.at(core.now + 1.0)
        core.protocol.resume(core.now)
        events = core.told(ref, ref, "phx_reply", OK, f"room:{number}")
        assert [type(event) for event in events] == [TopicJoinSucceeded]
        core.at(core.now + PUT_OFF)


def test_a_resume_without_a_pause_is_nothing(core: Core) -> None:
    core.join()
    deadline = core.protocol.next_deadline()
    core.now += 5
    core.protocol.resume(core.now)
    assert core.protocol.next_deadline() == deadline
