"""The last messages of a client and what has happened, kept for whoever asks by `debug.serve`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor.debug import happenings as module
from slipstream_actor.debug import recent
from slipstream_actor.debug.happenings import EVENTS, HANDLER, MOST, happenings
from slipstream_actor.debug.recent import recent_messages
from slipstream_actor.telemetry import detach, execute
from slipstream_actor.telemetry.events import names
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import Recorder, eventually, recording
from tests.support.programs import run

TOPIC = "bench:a"


@pytest.fixture(autouse=True)
def nothing_has_happened() -> Iterator[None]:
    yield
    detach(HANDLER)
    module._kept.clear()


def test_the_events_are_events() -> None:
    assert set(EVENTS) <= set(names())


def test_messages_are_kept_from_the_first_look_on(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        ref.tell("before")
        log.take("info", "before")
        assert recent_messages(ref) == []
        ref.proxy().do(lambda s: s.join(TOPIC)).get()
        log.take("join")
        ref.proxy().do(lambda s: s.push(TOPIC, "echo", {"n": 1})).get()
        log.take("reply")

        def lines() -> list[tuple[Any, ...]]:
            keys = ("direction", "what", "said", "payload")
            return [tuple(m[key] for key in keys) for m in recent_messages(ref)]

        wanted = [
            ("out", f"{TOPIC} phx_join", "", None),
            ("in", "method do()", "", None),
            ("in", f"{TOPIC} TopicJoinSucceeded", "ok", None),
            ("out", f"{TOPIC} echo", "", None),
            ("in", "method do()", "", None),
            ("in", f"{TOPIC} echo", "ok", None),
        ]
        eventually(lambda: lines() == wanted, "the messages")
        messages = recent_messages(ref)
        assert [m["number"] for m in messages] == list(range(1, 7))
        assert messages[-1]["how"].startswith("after ")


def test_what_is_in_them_is_kept_where_it_is_asked_for(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        recent_messages(ref)
        server.broadcast(TOPIC, "early", {})
        ref.proxy().do(lambda s: s).get()
        (before,) = eventually(lambda: recent_messages(ref, payloads=True), "the call")
        assert (before["what"], before["payload"]) == ("method do()", None)
        ref.proxy().do(lambda s: s.join(TOPIC, {"name": "al"})).get()
        log.take("join")
        joined = eventually(lambda: recent_messages(ref, payloads=True)[3:], "the join")
        assert joined[0]["payload"] == "{}"
        assert {m["payload"] for m in recent_messages(ref)} == {None}


def test_who_asks_no_more_is_told_no_more(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "PATIENCE", 0.0)
    with recording(server.uri) as (ref, log):
        log.take("connect")
        recent_messages(ref)
        inbox: Any = ref.actor_inbox
        assert inbox.observer is not None
        ref.tell("one")
        eventually(lambda: inbox.observer is None, "the end")


def test_so_many_are_kept(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        recent_messages(ref)
        for n in range(recent.MOST + 10):
            ref.tell(n)
        eventually(
            lambda: [m["number"] for m in recent_messages(ref)][-1:] == [recent.MOST + 10],
            "the last",
        )
        assert len(recent_messages(ref)) == recent.MOST


def told() -> list[tuple[str, str | None, bool]]:
    return [(h["what"], h["topic"], h["bad"]) for h in happenings()]


def test_what_happens_to_a_client(proxy: FaultProxy) -> None:
    assert happenings() == []
    with recording(proxy.uri, reconnect_after_msec=[60_000]) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join(TOPIC).join("nowhere:x")).get()
        log.take("join")
        log.take("topic_close", "nowhere:x")
        ref.proxy().do(lambda s: s.leave(TOPIC)).get()
        log.take("leave")
        proxy.cut()
        log.take("disconnect")
        whose = {h["client"] for h in happenings()}
        assert whose <= {str(ref), "Recorder"}
    wanted = [
        ("started", None, False),
        ("connecting", None, False),
        ("connected", None, False),
        ("joining", TOPIC, False),
        ("joined", TOPIC, False),
        ("not joined", "nowhere:x", True),
        ("topic closed", "nowhere:x", True),
        ("left", TOPIC, False),
        ("disconnected", None, True),
        ("reconnect", None, False),
        ("ended", None, False),
    ]
    assert set(wanted) <= set(told())
    assert [happening["number"] for happening in happenings()] == sorted(
        happening["number"] for happening in happenings()
    )


def test_what_happens_to_a_connection() -> None:
    """The text of each is made of what its event tells."""
    assert happenings() == []
    facts: dict[str, Any] = {"connection_id": "c1", "configuration": None}
    prefix = ("slipstream", "connection")
    execute((*prefix, "backpressure", "paused"), {"undelivered": 5000}, facts)
    execute((*prefix, "backpressure", "resumed"), {"duration": 1.25}, facts)
    execute((*prefix, "heartbeat", "exception"), {}, facts)
    assert [(h["what"], h["client"], h["text"]) for h in happenings()] == [
        ("reading paused", "connection c1", "5000 messages wait"),
        ("reading resumed", "connection c1", "after 1.2 s"),
        ("heartbeat unanswered", "connection c1", ""),
    ]
    for _ in range(MOST):
        execute((*prefix, "heartbeat", "exception"), {}, facts)
    assert len(happenings()) == MOST


def test_a_client_that_crashes(server: PhoenixServer) -> None:
    class Crashing(Recorder):
        def handle_info(self, message: Any, socket: Any) -> None:
            raise ValueError("s3cret")

    assert happenings() == []
    with recording(server.uri, Crashing) as (ref, log):
        log.take("connect")
        ref.tell("x")
        log.take("terminate")
    assert ("ended", "ValueError") in [(h["what"], h["text"]) for h in happenings()]
    assert "s3cret" not in str(happenings())


def test_of_a_child_nothing_is_its_parents() -> None:
    outcome = run("""
import os
from slipstream_actor import ClientActor, connect
from slipstream_actor.debug.happenings import happenings
class Client(ClientActor):
    def init(self):
        return connect("ws://test.invalid/socket/websocket", test_mode=True)
happenings()
Client.start()
assert happenings()
if pid := os.fork():
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
else:
    code = 1
    try:
        assert happenings() == [], happenings()
        Client.start()
        assert happenings()
        code = 0
    finally:
        os._exit(code)
""")
    assert outcome.code == 0, outcome.errors
