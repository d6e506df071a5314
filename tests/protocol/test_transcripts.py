"""Every recorded conversation drives the protocol core.

Each conversation holds what the client sent, which our commands must reproduce, and what the
server answered, which must lead to the events that the protocol notes describe.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import JoinTopic
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
from slipstream_actor.protocol.message import Message, Reply
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    Disconnected,
    JoinRefused,
)
from tests.support.transcripts import Dropped, Replay, Silent, names, races, replay

GOOD, BAD, LOBBY, A, B, X = (
    "test:good",
    "test:bad",
    "rooms:lobby",
    "bench:a",
    "bench:b",
    "control:x",
)
FLAG = "🏴‍☠️".encode()
LONG = "bench:" + "x" * 249
LONGER = "bench:" + "x" * 250
LEFT = ChannelEnded("left")
CRASH = ChannelCrashed({"reason": "channel_crash"})
OLD_CRASH = ChannelCrashed({})


def joined(topic: str, ref: str, response: Any = None) -> Event:
    return TopicJoinSucceeded(topic, response or {}, ref)


def refused(topic: str, ref: str, response: Any) -> Event:
    return TopicJoinFailed(topic, JoinRefused(response), ref)


def crashed(topic: str, ref: str, reason: ChannelCrashed = CRASH) -> Event:
    return TopicJoinClosed(topic, reason, ref)


def left(topic: str, ref: str) -> Event:
    return TopicLeft(topic, ref)


def got(topic: str, event: str, payload: Any) -> Event:
    return MessageReceived(topic, event, payload)


def reply(topic: str, ref: str, response: Any = None, status: str = "ok") -> Event:
    return ReplyReceived(topic, ref, Reply(status, {} if response is None else response))


def unmatched(topic: str, ref: str) -> Event:
    return reply(topic, ref, {"reason": "unmatched topic"}, "error")


def failed(topic: str, event: str, ref: str, reason: Any = LEFT) -> Event:
    """A push that will get no reply. Every push of a replay is an awaited one."""
    return PushFailed(topic, event, ref, reason)


def closed(topic: str, event: str, ref: str, code: int = 1000) -> Event:
    return failed(topic, event, ref, Disconnected(ClosedByPeer(code)))


PONG = {"pong": "pong"}
FAILURE = {"failure?": True}
EVERYONE = {"hello": "everyone!"}
NO_TOPIC = {"reason": "unmatched topic"}
CONTROL = [joined(X, "7")]
ALICE = {"phx_ref": "GOq5IpVF-MvOhWux", "online_at": 1}
TYPING = {"phx_ref": "GOq5Iq00nL3OhWvB", "phx_ref_prev": "GOq5IpVF-MvOhWux", "typing": True}


def alice(meta: dict[str, Any]) -> dict[str, Any]:
    return {"alice": {"metas": [meta]}}


def diff(joins: dict[str, Any], leaves: dict[str, Any]) -> Event:
    return got("presence:r1", "presence_diff", {"joins": joins, "leaves": leaves})


EVENTS: dict[str, list[Event]] = {
    # joins: notes 5, 6, 11, 13, 15
    "join_ok": [joined(GOOD, "1")],
    "join_ok_distinct_ref": [
        joined(GOOD, "7"),
        reply(GOOD, "9", PONG),
        failed(GOOD, "ping", "10"),
    ],
    "join_reply_payload": [joined(A, "1", {"hello": "world", "n": 1})],
    "join_push_after_join": [joined(A, "1"), got(A, "after_join", {"first": 1})],
    "join_error": [
        refused(BAD, "1", {"bad": "join"}),
        failed(BAD, "ping", "2"),
        unmatched(BAD, "2"),
        reply(BAD, "3"),
    ],
    "join_crash": [
        refused("test:other", "1", {"reason": "join crashed"}),
        failed("test:other", "ping", "2"),
        unmatched("test:other", "2"),
    ],
    "join_unmatched_topic": [
        refused("foo:bar", "1", NO_TOPIC),
        refused("", "2", NO_TOPIC),
        refused("rooms:other", "3", NO_TOPIC),
    ],
    "join_too_many_channels": [
        *(joined(f"bench:{n}", str(n)) for n in range(100)),
        *(
            refused(f"bench:{n}", str(n), {"reason": "too many channels joined"})
            for n in (100, 101)
        ),
        left("bench:0", "0"),
        joined("bench:300", "300"),
    ],
    # leaves: notes 8, 22, 23
    "leave": [joined(GOOD, "1"), left(GOOD, "1")],
    "leave_no_join_ref": [joined(GOOD, "1"), reply(GOOD, "2"), left(GOOD, "1")],
    "leave_not_joined": [reply(GOOD, "2"), reply("nonexistent", "3")],
    "leave_twice": [joined(GOOD, "1"), left(GOOD, "1"), reply(GOOD, "3")],
    "leave_twice_pipelined": [joined(GOOD, "1"), left(GOOD, "1")],
    "leave_and_rejoin": [
        joined(GOOD, "1"),
        left(GOOD, "1"),
        joined(GOOD, "3"),
        reply(GOOD, "4", PONG),
        failed(GOOD, "ping", "5"),
    ],
    # duplicate joins: note 14
    "duplicate_join": [
        joined(GOOD, "1"),
        joined(GOOD, "2"),
        failed(GOOD, "ping", "3"),
        reply(GOOD, "4", PONG),
    ],
    "duplicate_join_distinct_refs": [joined(GOOD, "7"), joined(GOOD, "17")],
    # pushes: notes 7, 8, 17, 18, 19
    "push_reply_ok": [joined(GOOD, "1"), reply(GOOD, "2", PONG)],
    "push_reply_error": [joined(GOOD, "1"), reply(GOOD, "2", FAILURE, "error")],
    "push_reply_empty": [joined(GOOD, "1"), reply(GOOD, "2")],
    "push_noreply": [joined(GOOD, "1"), closed(GOOD, "quicksand", "2")],
    "push_never_replied": [joined(A, "1"), reply(A, "3"), closed(A, "never", "2")],
    "push_server_push": [
        joined(GOOD, "1"),
        got(GOOD, "foo", {"bar": "baz"}),
        closed(GOOD, "push to me", "2"),
    ],
    "push_then_reply_order": [joined(A, "1"), got(A, "pushed", {"a": 1}), reply(A, "2", {"a": 1})],
    "push_pipelined_behind_join": [joined(GOOD, "1"), reply(GOOD, "2", PONG), reply(GOOD, "3")],
    "push_pipelined_behind_refused_join": [
        failed(BAD, "ping", "2"),
        refused(BAD, "1", {"bad": "join"}),
    ],
    "push_pipelined_order": [
        joined(A, "1"),
        reply(A, "3", {"i": 3}),
        reply(A, "4", {"i": 4}),
        reply(A, "2", {"ms": 150}),
    ],
    "push_before_join": [
        failed(GOOD, "ping", "2"),
        unmatched(GOOD, "2"),
        unmatched("nonexistent", "3"),
    ],
    "push_after_leave": [
        joined(GOOD, "1"),
        left(GOOD, "1"),
        failed(GOOD, "ping", "3"),
        unmatched(GOOD, "3"),
    ],
    "push_duplicate_ref": [joined(GOOD, "1"), reply(GOOD, "2", PONG), reply(GOOD, "2")],
    "push_no_join_ref": [
        joined(GOOD, "1"),
        reply(GOOD, "2", PONG),
        got(GOOD, "foo", {"bar": "baz"}),
    ],
    "push_stale_join_ref": [
        joined(GOOD, "1"),
        failed(GOOD, "ping", "2"),
        joined(GOOD, "3"),
        failed(GOOD, "ping", "4"),
        reply(GOOD, "5", PONG),
    ],
    "push_unknown_event": [
        joined(GOOD, "1"),
        failed(GOOD, "no such event", "2", ChannelEnded(CRASH)),
        crashed(GOOD, "1"),
        failed(GOOD, "ping", "3"),
        unmatched(GOOD, "3"),
    ],
    "push_racing_crash": [
        joined(GOOD, "1"),
        failed(GOOD, "raise", "2", ChannelEnded(CRASH)),
        failed(GOOD, "ping", "3", ChannelEnded(CRASH)),
        failed(GOOD, "ping", "4", ChannelEnded(CRASH)),
        crashed(GOOD, "1"),
    ],
    "push_racing_leave": [joined(GOOD, "1"), failed(GOOD, "ping", "3"), left(GOOD, "1")],
    "push_block_channel": [
        joined(A, "1"),
        joined(B, "2"),
        reply(B, "4"),
        reply(A, "3", {"ms": 300}),
        reply(A, "6"),
    ],
    "push_binary_echo": [
        joined(A, "1"),
        reply(A, "2", bytes(range(256))),
        reply(A, "3", b"bad", "error"),
    ],
    "push_binary_reply_binary": [
        joined(GOOD, "1"),
        reply(GOOD, "2", b"\2\3"),
        reply(GOOD, "3", b"\2\3"),
        reply(GOOD, "4"),
        reply(GOOD, "5", FAILURE, "error"),
    ],
    # the ends of channels: notes 3, 4, 18, 20
    "channel_raise": [
        joined(GOOD, "1"),
        failed(GOOD, "raise", "2", ChannelEnded(CRASH)),
        crashed(GOOD, "1"),
        failed(GOOD, "ping", "3"),
        unmatched(GOOD, "3"),
        reply(GOOD, "4"),
    ],
    "channel_raise_and_rejoin": [
        joined(GOOD, "1"),
        failed(GOOD, "raise", "2", ChannelEnded(CRASH)),
        crashed(GOOD, "1"),
        joined(GOOD, "3"),
        reply(GOOD, "4", PONG),
    ],
    "channel_raise_other_channel_lives": [
        joined(GOOD, "1"),
        joined(LOBBY, "2"),
        failed(GOOD, "raise", "3", ChannelEnded(CRASH)),
        crashed(GOOD, "1"),
        reply(LOBBY, "4", PONG),
    ],
    "channel_stop_normal": [
        joined(GOOD, "1"),
        failed(GOOD, "stop", "2"),
        left(GOOD, "1"),
        failed(GOOD, "ping", "3"),
        unmatched(GOOD, "3"),
    ],
    "channel_stop_normal_with_reply": [
        *CONTROL,
        reply(X, "9", {"bye": 1}),
        left(X, "7"),
        failed(X, "stop_with", "10"),
        unmatched(X, "10"),
    ],
    "channel_stop_shutdown": [
        *CONTROL,
        failed(X, "stop_with", "9"),
        left(X, "7"),
        failed(X, "stop_with", "10"),
        unmatched(X, "10"),
    ],
    **{
        name: [
            *CONTROL,
            failed(X, "stop_with", "9", ChannelEnded(CRASH)),
            crashed(X, "7"),
            failed(X, "stop_with", "10"),
            unmatched(X, "10"),
        ]
        for name in ("channel_stop_boom", "channel_killed")
    },
    "unencodable_push": [
        joined(X, "1"),
        failed(X, "unencodable", "2", ChannelEnded(CRASH)),
        crashed(X, "1"),
    ],
    # broadcasts: note 1
    "broadcast/a": [
        joined(GOOD, "1"),
        got(GOOD, "broadcast event", EVERYONE),
        closed(GOOD, "broadcast", "2"),
    ],
    "broadcast/b": [joined(GOOD, "5"), got(GOOD, "broadcast event", EVERYONE)],
    "broadcast_from/a": [joined(A, "1"), reply(A, "2"), got(A, "shout", {"x": 2}), reply(A, "3")],
    "broadcast_from/b": [joined(A, "5"), got(A, "shout", {"x": 1}), got(A, "shout", {"x": 2})],
    "broadcast_intercepted/a": [
        joined("intercept:a", "1"),
        reply("intercept:a", "2"),
        got("intercept:a", "shout", {"intercepted": True, "x": 1}),
    ],
    "broadcast_intercepted/b": [
        joined("intercept:a", "5"),
        got("intercept:a", "shout", {"intercepted": True, "x": 1}),
    ],
    "broadcast_binary/a": [
        joined(GOOD, "1"),
        got(GOOD, "broadcast event", FLAG),
        closed(GOOD, "binary broadcast", "2"),
    ],
    "broadcast_binary/b": [joined(GOOD, "5"), got(GOOD, "broadcast event", FLAG)],
    "broadcast_binary_to_v1/v2": [
        joined(GOOD, "1"),
        got(GOOD, "broadcast event", FLAG),
        failed(GOOD, "binary broadcast", "2", ChannelEnded(CRASH)),
        crashed(GOOD, "1"),
    ],
    "broadcast_binary_to_v1/v1": [joined(GOOD, "1")],
    "flood_small": [
        joined(A, "1"),
        *(got(A, "tick", {"i": n, "pad": "xxx"}) for n in range(1, 6)),
        got(A, "flood_done", {"n": 5}),
        reply(A, "2", {"n": 5}),
        *(got(A, "tick", n.to_bytes(4, "big") + b"xxx") for n in range(1, 4)),
        got(A, "flood_done", {"n": 3}),
        reply(A, "3", {"n": 3}),
        reply(A, "6", {"count": 2}),
        closed(A, "sink", "4"),
        closed(A, "sink", "5"),
    ],
    # binary frames: notes 25, 26
    "binary_join": [
        joined(GOOD, "1"),
        reply(GOOD, "2", b"\2\3"),
        reply("phoenix", "3"),
        reply(GOOD, "4"),
        left(GOOD, "1"),
    ],
    "binary_push_unjoined": [failed(GOOD, "ping", "2"), unmatched(GOOD, "2")],
    "binary_header_limits": [
        joined(LONG, "1"),
        reply(LONG, "2", b"255-byte topic"),
        joined(LONGER, "9"),
        failed(LONGER, "bbig", "10", ChannelEnded(CRASH)),
        crashed(LONGER, "9"),
        failed(LONGER, "echo", "11"),
        unmatched(LONGER, "11"),
    ],
    # the end of the connection: notes 32, 33
    "disconnect_broadcast/a": [joined(GOOD, "1"), joined(LOBBY, "2")],
    "disconnect_broadcast/no-channels": [],
    "disconnect_broadcast/ctl": [joined(X, "1"), reply(X, "2")],
    "disconnect_self": [joined(X, "1"), closed(X, "disconnect_user", "2", 1001)],
    "kill_transport": [
        joined(X, "1"),
        failed(X, "kill_transport", "2", Disconnected(ClosedByClient())),
    ],
    "crash_transport": [
        joined(X, "1"),
        failed(X, "crash_transport", "2", Disconnected(ClosedByClient())),
    ],
    # presence: note 50
    "presence_single": [
        joined("presence:r1", "1"),
        diff(alice(ALICE), {}),
        got("presence:r1", "presence_state", alice(ALICE)),
        reply("presence:r1", "2"),
        diff(alice(TYPING), alice(ALICE)),
        got("presence:r1", "presence_state", alice(TYPING)),
        reply("presence:r1", "3"),
        reply("presence:r1", "4"),
        diff({}, alice(TYPING)),
        got("presence:r1", "presence_state", {}),
        reply("presence:r1", "5"),
    ],
    # heartbeats: notes 2, 9
    "phoenix_topic_other_event": [
        unmatched("phoenix", "1"),
        refused("phoenix", "1", NO_TOPIC),
    ],
    "ws_ping_pong": [],
    # version 1: notes 28, 52
    "v1_basics": [
        joined(GOOD, "2"),
        reply(GOOD, "3", PONG),
        reply(GOOD, "4", FAILURE, "error"),
        reply(GOOD, "5"),
        got(GOOD, "foo", {"bar": "baz"}),
        got(GOOD, "broadcast event", EVERYONE),
        failed(GOOD, "ping", "9"),
        failed(GOOD, "push to me", "6"),
        failed(GOOD, "broadcast", "7"),
        failed(GOOD, "ping", "8"),
        left(GOOD, "2"),
        unmatched(GOOD, "11"),
    ],
    "v1_binary": [joined(GOOD, "1")],
    "v1_errors": [
        refused(BAD, "1", {"bad": "join"}),
        refused("test:other", "2", {"reason": "join crashed"}),
        refused("foo:bar", "3", NO_TOPIC),
        joined(GOOD, "4"),
        failed(GOOD, "raise", "5", ChannelEnded(CRASH)),
        crashed(GOOD, "4"),
        joined(GOOD, "6"),
        joined(GOOD, "7"),
        failed(GOOD, "stop", "8"),
        left(GOOD, "7"),
    ],
    "vsn_missing": [joined(GOOD, "2")],
}
"""What becomes of a conversation; a connection of several is named after a slash."""

OLD_EVENTS: dict[str, list[Event]] = {
    # The same as above, but for what 1.8 does otherwise: notes 4, 7, 8 and 32.
    "channel_raise": [
        joined(GOOD, "1"),
        failed(GOOD, "raise", "2", ChannelEnded(OLD_CRASH)),
        crashed(GOOD, "1", OLD_CRASH),
        failed(GOOD, "ping", "3"),
        unmatched(GOOD, "3"),
        reply(GOOD, "4"),
    ],
    "duplicate_join": [
        joined(GOOD, "1"),
        joined(GOOD, "2"),
        failed(GOOD, "ping", "3"),
        reply(GOOD, "3", PONG),
        reply(GOOD, "4", PONG),
    ],
    "leave_and_rejoin": [*EVENTS["leave_and_rejoin"], reply(GOOD, "5", PONG)],
    "leave_no_join_ref": [joined(GOOD, "1")],
    "push_stale_join_ref": [
        joined(GOOD, "1"),
        failed(GOOD, "ping", "2"),
        reply(GOOD, "2", PONG),
        joined(GOOD, "3"),
        failed(GOOD, "ping", "4"),
        reply(GOOD, "4", PONG),
        reply(GOOD, "5", PONG),
    ],
    **{
        name: EVENTS[name]
        for name in (
            "disconnect_broadcast/a",
            "disconnect_broadcast/ctl",
            "join_too_many_channels",
            "join_unmatched_topic",
            "leave",
            "push_no_join_ref",
        )
    },
}

NOT_OURS = {
    "binary_join": 2,
    "channel_raise": 1,
    "compressed_frame_unnegotiated": 1,
    "compressed_traffic": 3,
    "duplicate_join_same_ref": 1,
    "heartbeat": 4,
    "invalid_utf8_text": 1,
    "join_error": 1,
    "leave_no_join_ref": 1,
    "leave_not_joined": 2,
    "leave_twice": 1,
    "leave_twice_pipelined": 1,
    "phoenix_topic_other_event": 1,
    "push_before_join": 1,
    "push_duplicate_ref": 1,
    "push_no_join_ref": 2,
    "push_null_ref": 3,
    "text_ping_frames": 1,
    "unicode": 3,
    "v1_basics": 1,
    "v1_binary": 1,
    "vsn_missing_v2_frames": 1,
}
"""How many frames of a conversation our client does not send: malformed ones, stale leaves, …"""

NO_CONVERSATION = r"race_.*|longpoll"
CONVERSATIONS = [
    (name, version)
    for version in ("1.8", "1.7")
    for name in names(version)
    if not re.fullmatch(NO_CONVERSATION, name)
]


def connections(name: str, version: str) -> dict[str, Replay]:
    """The websocket connections of a conversation, by the name that the tables have."""
    return {f"{name}/{c}" if c else name: r for c, r in replay(name, version).items()}


def events(of: Replay) -> list[Any]:
    return [outcome for outcome in of.outcomes if not isinstance(outcome, Silent | Dropped)]


def told_once(answers: list[Event], pushed: set[str]) -> list[Event]:
    """What of the server's answers is told: of our pushes the first outcome, of all else none."""
    told: list[Event] = []
    settled: set[str] = set()
    for event in answers:
        if isinstance(event, ReplyReceived | PushFailed):
            first = event.ref in pushed - settled
            settled.add(str(event.ref))
            if not first:
                continue
        told.append(event)
    return told


@pytest.mark.parametrize(("name", "version"), CONVERSATIONS)
def test_what_we_send_is_what_was_accepted_there(name: str, version: str) -> None:
    # The comparison is made in the replay; here, that nothing was passed over.
    for done in replay(name, version).values():
        assert done.raw == (1 if name.startswith("malformed_") else NOT_OURS.get(name, 0))


@pytest.mark.parametrize(("name", "version"), CONVERSATIONS)
def test_the_server_s_answers_lead_to_the_events_of_the_notes(name: str, version: str) -> None:
    table = EVENTS if version == "1.8" else OLD_EVENTS
    for conn, done in connections(name, version).items():
        if conn in table:
            assert events(done) == told_once(table[conn], done.pushed)


def test_every_entry_of_the_tables_is_played() -> None:
    for version, table in (("1.8", EVENTS), ("1.7", OLD_EVENTS)):
        played = {c for n, v in CONVERSATIONS if v == version for c in connections(n, v)}
        assert table.keys() <= played


@pytest.mark.parametrize(("name", "version"), CONVERSATIONS)
def test_every_push_has_a_fate_and_nothing_is_left(name: str, version: str) -> None:
    for done in replay(name, version).values():
        told = {e.ref for e in done.outcomes if isinstance(e, ReplyReceived | PushFailed)}
        assert done.pushed <= told
        assert not done.protocol.refs
        assert not done.protocol.channels
        assert not done.protocol.former


@pytest.mark.parametrize(("name", "version"), CONVERSATIONS)
def test_a_conversation_of_ours_drops_nothing(name: str, version: str) -> None:
    for done in replay(name, version).values():
        dropped = [o.event for o in done.outcomes if isinstance(o, Dropped)]
        failed = [o for o in done.outcomes if isinstance(o, PushFailed)]
        # What the server says of a push that has failed is its second outcome.
        assert done.raw or dropped == ["phx_reply"] * len(dropped)
        assert done.raw or len(dropped) <= len(failed)


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        # Numbers for refs, a reply without one, null for a topic: nothing that we ask for.
        ("heartbeat", ["phx_reply", "phx_reply", None]),
        ("malformed_null_topic", [None]),
        ("duplicate_join_same_ref", ["phx_reply", "phx_reply"]),
        ("unicode", ["phx_reply", "событие"]),
    ],
)
def test_answers_to_what_we_never_send_are_dropped(name: str, dropped: list[str | None]) -> None:
    [done] = replay(name).values()
    assert [o.event for o in done.outcomes if isinstance(o, Dropped)] == dropped


def test_note_21_a_null_ref_is_a_message_whatever_its_event() -> None:
    [done] = replay("push_null_ref").values()
    answer = got(GOOD, "phx_reply", {"response": PONG, "status": "ok"})
    assert events(done) == [joined(GOOD, "1"), answer, answer]


@pytest.mark.parametrize("name", ["heartbeat", "push_block_channel", "ws_ping_pong", "v1_basics"])
def test_a_heartbeat_is_answered_in_silence(name: str) -> None:
    [done] = replay(name).values()
    assert Silent("phx_reply") in done.outcomes
    assert done.protocol.heartbeat_rtt == 0.0


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("join_params_not_a_map", {"params:p": [1, 2], "params:q": None, "params:r": "str"}),
        (
            "join_with_params",
            {"params:p": {"user_id": 12, "nested": {"a": [1, 2.5, None, True]}, "u": "é🏴"}},
        ),
    ],
)
def test_note_16_join_params_arrive_unchanged(name: str, params: dict[str, Any]) -> None:
    [done] = replay(name).values()
    assert {e.topic: e.response["join"] for e in events(done)} == params


# The order of these varies: each order that was seen is played.


def play_race(answers: list[Message], *, leave: bool) -> tuple[Protocol, list[Any]]:
    """Join, leave or not, join again, and only then hear of the last two."""
    refs = iter("123")
    core = Protocol(next_ref=lambda: next(refs))
    core.join(JoinTopic(GOOD), 0.0)
    core.receive(Message("1", "1", GOOD, "phx_reply", {"status": "ok", "response": {}}), 0.0)
    if leave:
        core.leave(GOOD, 0.0)
    core.join(JoinTopic(GOOD), 0.0)
    core.events.clear()
    for answer in answers:
        assert core.receive(answer, 0.0)
    return core, core.events


@pytest.mark.parametrize("answers", list(races("race_duplicate_join")))
def test_note_14_a_join_over_a_join(answers: list[Message]) -> None:
    core, told = play_race(answers, leave=False)
    assert told == [joined(GOOD, "2")]
    assert core.current_join_ref(GOOD) == "2"
    assert not core.former
    assert not core.refs


@pytest.mark.parametrize(
    "answers", [*races("race_leave_rejoin"), *races("race_leave_rejoin_one_segment")]
)
def test_note_23_a_leave_and_a_join_in_one_go(answers: list[Message]) -> None:
    core, told = play_race(answers, leave=True)
    assert sorted(told, key=repr) == [joined(GOOD, "3"), left(GOOD, "1")]
    assert core.current_join_ref(GOOD) == "3"
    assert not core.former
    assert not core.refs
