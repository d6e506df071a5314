"""What a connection tells, as far as no socket is needed for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from slipstream_actor import telemetry
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.connection.telemetry import CONNECTION, ConnectionTelemetry
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.reasons import ClosedByClient, HeartbeatTimeout
from tests.support.telemetry_recorder import observing

PREFIX = ("slipstream", "connection")
CONFIG = Configuration.validate("ws://localhost/socket/websocket", {})


def talker() -> ConnectionTelemetry:
    states = iter(range(100))
    state: Any = lambda: next(states)  # noqa: E731 - a snapshot of something
    return ConnectionTelemetry(CONFIG, state)


def test_what_handling_a_message_raises_is_told_and_passes_through() -> None:
    error = LookupError("no")

    def crash(connection: Any, message: Any) -> None:
        raise error

    with observing((*PREFIX, "handle")) as told, pytest.raises(LookupError) as raised:
        talker().handle(crash, "the connection", "the message")
    assert raised.value is error
    start, failed = told.all
    assert failed.name == "connection.handle.exception"
    assert failed.metadata["reason"] is error
    assert failed.metadata["raw_message"] == "the message"
    assert failed.metadata["span_id"] == start.metadata["span_id"]


def test_what_was_told_belongs_to_the_message_that_is_handled() -> None:
    talks = talker()

    def handle(connection: Any, message: Any) -> str:
        assert talks.told is not None
        talks.told += ["an event", Message("1", None, "room", "said", {"n": 1})]
        return "returned"

    with observing((*PREFIX, "handle")) as told:
        assert talks.handle(handle, None, "one") == "returned"
        assert talks.handle(lambda *_: None, None, "two") is None
    ends = told.named("connection.handle.stop")
    assert [end.metadata["events"] for end in ends] == [
        ("an event", MessageReceived("room", "said", {"n": 1})),
        (),
    ]
    assert [(e.metadata["start_state"], e.metadata["end_state"]) for e in ends] == [(0, 1), (2, 3)]
    assert talks.told is None


def test_a_heartbeat_that_another_takes_the_place_of_ends_with_that() -> None:
    """While reading stands still nobody can know whether one was answered."""
    talks = talker()
    beats = SimpleNamespace(unanswered=None)
    protocol: Any = SimpleNamespace(heartbeats=beats, heartbeat_failed=False, heartbeat_rtt=None)
    with observing((*PREFIX, "heartbeat")) as told:
        for heartbeat, rtt in ((None, None), ("a", None), ("a", None), ("b", None), (None, 0.25)):
            beats.unanswered, protocol.heartbeat_rtt = heartbeat, rtt
            talks.heartbeat(protocol)
        for heartbeat, failed in (("c", False), ("d", False), ("d", True), (None, True)):
            beats.unanswered, protocol.heartbeat_failed = heartbeat, failed
            talks.heartbeat(protocol)
    ends = [each.name.removeprefix("connection.heartbeat.") for each in told.all]
    assert ends == ["start", "stop", "start", "exception"]
    assert told.all[1].measurements["duration"] == 0.25
    assert told.all[-1].metadata["reason"] == HeartbeatTimeout()


def test_who_attaches_later_hears_of_no_beginning() -> None:
    talks = talker()
    talks.begin()
    with observing((*PREFIX, "connect")) as told:
        talks.conclude(ClosedByClient(), None)
    assert not told.all


def test_ids_are_one_connections() -> None:
    one, other = talker(), talker()
    assert one.ids == one.ids != other.ids


def test_what_is_wanted_is_what_is_attached() -> None:
    before = set(CONNECTION)
    telemetry.attach("a", (*PREFIX, "traffic"), print)
    assert before | {"traffic"} == CONNECTION
    telemetry.detach("a")
    assert before == CONNECTION
