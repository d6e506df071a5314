"""`trace`: a readable line for each message in and out, with its duration, within bounds."""

from __future__ import annotations

import io
import re
import sys
import threading
from typing import Any

import pytest
from pykka._envelope import Envelope

from slipstream_actor import (
    Answer,
    ClientActor,
    NotJoinedError,
    Reply,
    Socket,
    call,
    cast,
    debug,
    new_socket,
    request,
)
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.client.pending_request import PendingRequest
from slipstream_actor.debug.observer import Observer
from slipstream_actor.debug.tracing import LONGEST, Lines, Pace
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, Recorder, eventually, recording
from tests.support.planted import get_stuck, leaked, planted

TOPIC = "bench:a"
MASKS = (
    (r"^\d\d:\d\d:\d\d\.\d{3} ", ""),
    (r"Traced-\d+ ", ""),
    (r"\d+\.\d\d ms", "N ms"),
    (r"ActorRef.*>", "ref"),
)


class Traced(Recorder):
    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Answer(message)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        self.note("cast", message)

    def ask(self) -> Any:
        return self.socket.await_reply(self.socket.push(TOPIC, "echo", {"n": 2}))


def masked(line: str) -> str:
    for pattern, mask in MASKS:
        line = re.sub(pattern, mask, line)
    return line


def has(lines: list[str], *expected: str) -> None:
    """Wait until the lines are these, in this order."""
    found: list[str] = []

    def are_there() -> bool:
        found[:] = map(masked, list(lines))
        return found == list(expected)

    try:
        eventually(are_there, "the lines")
    except AssertionError:
        assert found == list(expected)


def test_a_line_for_each_message(server: PhoenixServer) -> None:
    lines: list[str] = []
    with recording(server.uri, Traced) as (ref, log):
        log.take("connect")
        debug.trace(ref, True, lines.append)
        ref.proxy().do(lambda s: s.join(TOPIC, {"name": "al"})).get()
        log.take("join")
        has(
            lines,
            f"out {TOPIC} phx_join (1, 1) {{'name': …}}",
            "in  method do() (took N ms)",
            f"in  {TOPIC} TopicJoinSucceeded ok {{}} (took N ms)",
        )
        lines.clear()
        ref.proxy().do(lambda s: s.push(TOPIC, "echo", {"n": 1})).get()
        log.take("reply")
        has(
            lines,
            f"out {TOPIC} echo (1, 2) {{'n': 1}}",
            "in  method do() (took N ms)",
            f"in  {TOPIC} echo ok {{'n': 1}} (after N ms, took N ms)",
        )
        lines.clear()
        server.broadcast(TOPIC, "news", {"body": "hello", "token": "s3cret"})
        log.take("message")
        has(lines, f"in  {TOPIC} news {{'body': 'hello', 'token': …}} (took N ms)")


def test_what_is_awaited_asked_and_told(server: PhoenixServer) -> None:
    lines: list[str] = []
    with recording(server.uri, Traced) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join(TOPIC)).get()
        log.take("join")
        debug.trace(ref, True, lines.append)
        assert ref.proxy().ask().get().ok
        has(
            lines,
            f"out {TOPIC} echo (1, 2) {{'n': 2}}",
            f"in  {TOPIC} echo ok {{'n': 2}} (after N ms, awaited)",
            "in  method ask() (took N ms)",
        )
        lines.clear()
        assert request(ref, TOPIC, "echo", {"n": 3}).get(timeout=PATIENCE).ok
        has(
            lines,
            f"out {TOPIC} echo (1, 3) {{'n': 3}}",
            f"in  {TOPIC} echo ok {{'n': 3}} (request, after N ms)",
        )
        lines.clear()
        cast(ref, {"a": 1})
        call(ref, "x")
        ref.tell("message")
        has(
            lines,
            "in  cast (took N ms)",
            "in  call (took N ms)",
            "in  info str (took N ms)",
        )


def test_it_goes_on_across_connections_and_says_how_they_end(proxy: FaultProxy) -> None:
    lines: list[str] = []
    with recording(proxy.uri, Traced, reconnect_after_msec=[60_000]) as (ref, log):
        log.take("connect")
        debug.trace(ref, True, lines.append)
        proxy.cut()
        log.take("disconnect")
        has(lines, "in  ChannelClosed it ended without a close frame (1006) (took N ms)")


def test_a_request_that_fails_says_so(server: PhoenixServer) -> None:
    lines: list[str] = []
    with recording(server.uri, Traced) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join(TOPIC)).get()
        log.take("join")
        debug.trace(ref, True, lines.append)
        with pytest.raises(NotJoinedError):
            request(ref, TOPIC, "crash", {}).get(timeout=PATIENCE)
        fails = f"in  {TOPIC} crash NotJoinedError (request, after N ms)"
        eventually(lambda: fails in map(masked, list(lines)), "the failure")


def test_off_and_another_one(server: PhoenixServer) -> None:
    first: list[str] = []
    stream = io.StringIO()
    with recording(server.uri, Traced) as (ref, log):
        log.take("connect")
        debug.trace(ref, True, first.append)
        debug.trace(ref, True, stream)
        ref.tell("one")
        eventually(lambda: "info str" in stream.getvalue(), "the line")
        assert first == []
        assert stream.getvalue().endswith(" ms)\n")
        debug.trace(ref, False)
        assert not {"put", "get"} & vars(ref.actor_inbox).keys()
        ref.tell("two")
        log.take("info", "two")
        assert stream.getvalue().count("\n") == 1


def test_standard_error_is_the_default(
    capsys: pytest.CaptureFixture[str], server: PhoenixServer
) -> None:
    with recording(server.uri, Traced) as (ref, log):
        log.take("connect")
        debug.trace(ref, True)
        ref.tell("one")
        shown = ""

        def comes() -> bool:
            nonlocal shown
            shown += capsys.readouterr().err
            return "info str" in shown

        eventually(comes, "the line")
        debug.trace(ref, False)
    assert sys.stderr is not None


@pytest.mark.parametrize("error", [OSError("full"), SystemExit(3)])
def test_an_out_that_fails_ends_the_trace(
    error: BaseException, server: PhoenixServer, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing else: it is called in the client's thread, between two messages."""

    def fail(line: str) -> None:
        raise error

    with recording(server.uri, Traced) as (ref, log):
        log.take("connect")
        debug.trace(ref, True, fail)
        ref.tell("one")
        eventually(lambda: not {"put"} & vars(ref.actor_inbox).keys(), "the end of the trace")
        ref.tell("two")
        log.take("info", "two")
    assert "is told no more" in caplog.text


def test_the_outcome_of_a_request_is_told_while_the_trace_is_on(server: PhoenixServer) -> None:
    """It goes past the client, behind the end of the trace too."""
    lines: list[str] = []
    concluded = threading.Event()
    with recording(server.uri, Traced) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join(TOPIC)).get()
        log.take("join")
        debug.trace(ref, True, lines.append)
        asked = request(ref, TOPIC, "ignored", {}, timeout=PATIENCE)
        has(lines, f"out {TOPIC} ignored (1, 2) {{}}")
        debug.trace(ref, False)
        asked.cancel()
        asked.add_done_callback(lambda _: concluded.set())
        assert concluded.wait(PATIENCE)
        assert len(lines) == 1


def test_an_out_that_fails_at_the_outcome_of_a_request_ends_the_trace(
    server: PhoenixServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(line: str) -> None:
        if "(request, " in line:
            raise OSError("full")

    with recording(server.uri, Traced) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join(TOPIC)).get()
        log.take("join")
        debug.trace(ref, True, fail)
        assert request(ref, TOPIC, "echo", {}).get(timeout=PATIENCE).ok
        eventually(lambda: not {"put"} & vars(ref.actor_inbox).keys(), "the end of the trace")
    assert "is told no more" in caplog.text


def test_a_request_that_is_sent_anew_has_one_outcome() -> None:
    """Its first join was over before it was sent."""
    lines: list[str] = []

    class Ref:
        label = "Client"

    observer, asked = Observer(Inbox()), PendingRequest(TOPIC, "echo", {}, None)
    observer.listeners = (Lines(Ref(), lines.append),)
    for join_ref in ("1", "3"):
        asked.handed = join_ref
        push = PushMessage(TOPIC, "echo", {}, "2", join_ref, "", awaited=True, request=asked)
        observer.send(lambda _: None, Envelope(push))
    asked.conclude(Reply("ok", {}))
    assert ["(request, " in line for line in lines] == [False, False, True]


def test_no_secret_is_in_a_trace() -> None:
    """Not of what goes in and out, and what is under a name that is no secret's is not one."""
    lines: list[str] = []
    with planted() as ref:
        debug.trace(ref, True, lines.append)
        get_stuck(ref)
        ref._actor_weakref().go_on.set()
        eventually(lambda: any("info dict" in line for line in lines), "what was told")
        ref.proxy().do_again().get()
        eventually(lambda: any("do_again" in line for line in lines), "the joins")
    text = "\n".join(lines)
    assert leaked(text) == []
    for part in ("news", "shout", "answer", "<12 bytes>", "phx_join", "cast"):
        assert part in text, text


# bounds


def test_more_than_so_many_lines_a_second_are_counted() -> None:
    pace = Pace(most=2)
    assert [pace.lets(10.0), pace.lets(10.5)] == [0, 0]
    assert [pace.lets(10.9), pace.lets(10.99)] == [None, None]
    assert pace.lets(11.0) == 2
    assert pace.lets(11.1) == 0


def test_a_line_is_bounded() -> None:
    lines: list[str] = []

    class Ref:
        label = "Client"

    told = Lines(Ref(), lines.append)
    told.handled(MessageReceived("t" * 5000, "e" * 5000, {"x" * 300: ["y" * 5000] * 50}), 1.0)
    assert len(lines) == 1
    assert len(lines[0]) <= LONGEST
    assert "\n" not in lines[0]


def test_wrong_arguments() -> None:
    class Quiet(ClientActor):
        pass

    ref = Quiet.start()
    wrong: Any = 1
    with pytest.raises(TypeError, match="out must be"):
        debug.trace(ref, True, wrong)
    with pytest.raises(TypeError, match="is no client"):
        debug.trace(new_socket().socket_pid, True)
    ref.stop()
