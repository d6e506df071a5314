"""A burst is handed over message by message: what a callback changes counts for the next."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from slipstream_actor import (
    CallbackReturnError,
    ClientActor,
    MessageReceived,
    Ref,
    Reply,
    ReplyReceived,
    Socket,
    connect,
    telemetry,
    wait,
)
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.protocol.message import Message, PartlyDecoded
from tests.support.clients import PATIENCE

URI = "ws://test.invalid/socket/websocket"
TOPIC = "room:a"

Act = Callable[[Any, Socket], Any]
Start = Callable[..., tuple[Any, "queue.SimpleQueue[Any]"]]


class Noting(ClientActor):
    """Notes what it is told, and does at the first message what `act` says."""

    def init(self, log: queue.SimpleQueue[Any], act: Act) -> Socket:
        self.log, self.act = log, act
        return connect(URI, test_mode=True)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        self.log.put((event, payload))
        self.seen = socket.assigns.get("by")
        return self.act(self, socket) if event == "first" else None

    def handle_reply(self, ref: Ref, answer: Reply, socket: Socket) -> None:
        self.log.put((str(ref), answer.response))

    def handle_info(self, message: Any, socket: Socket) -> None:
        self.log.put((message, self.seen))


@pytest.fixture
def start() -> Iterator[Start]:
    refs = []

    def started(act: Act = lambda *_: None) -> tuple[Any, queue.SimpleQueue[Any]]:
        log: queue.SimpleQueue[Any] = queue.SimpleQueue()
        ref = Noting.start(log, act)
        refs.append(ref)
        return ref, log

    yield started
    for ref in refs:
        ref.stop(timeout=PATIENCE)


def tell(ref: Any, *events: Any) -> None:
    ref.tell(Burst(None, events))


def said(*names: str) -> list[Message]:
    return [Message("1", None, TOPIC, name, {}) for name in names]


def noted(ref: Any, log: queue.SimpleQueue[Any]) -> list[Any]:
    """Return what was noted before a message that is sent now."""
    ref.tell("mark")
    names = []
    while (entry := log.get(timeout=PATIENCE))[0] != "mark":
        names.append(entry[0])
    return names


def test_events_of_all_kinds_come_in_their_order(start: Start) -> None:
    ref, log = start()
    reply = ReplyReceived(TOPIC, Ref("7", TOPIC, "1"), Reply("ok", {}))
    late = PartlyDecoded("1", None, TOPIC, "late", msgspec.Raw(b"[1]"))
    by_hand = MessageReceived(TOPIC, "by hand", {})
    tell(ref, *said("a", "b"), reply, *said("c"), late, late, by_hand, *said("d", "e"))
    assert noted(ref, log) == ["a", "b", "7", "c", "late", "late", "by hand", "d", "e"]


def test_a_socket_that_is_returned_is_the_next_ones(start: Start) -> None:
    ref, log = start(lambda me, socket: socket.assign(by="return"))
    tell(ref, *said("zeroth", "first", "second"))
    assert noted(ref, log) == ["zeroth", "first", "second"]
    assert ref.proxy().seen.get(timeout=PATIENCE) == "return"


def test_a_socket_that_is_assigned_is_the_next_ones(start: Start) -> None:
    ref, log = start(lambda me, socket: setattr(me, "socket", socket.assign(by="assignment")))
    tell(ref, *said("zeroth", "first", "second"))
    assert noted(ref, log) == ["zeroth", "first", "second"]
    assert ref.proxy().seen.get(timeout=PATIENCE) == "assignment"


def test_the_same_socket_is_no_change(start: Start) -> None:
    ref, log = start(lambda me, socket: socket)
    tell(ref, *said("first", "second"))
    assert noted(ref, log) == ["first", "second"]


def test_a_socket_that_is_lost_ends_the_client_before_the_next(start: Start) -> None:
    ref, log = start(lambda me, socket: socket.join(TOPIC) and None)
    tell(ref, *said("zeroth", "first", "second"))
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert "handle_message" in str(reason)
    assert [log.get(timeout=PATIENCE)[0] for _ in range(2)] == ["zeroth", "first"]
    assert log.empty()


def test_nothing_is_handed_over_behind_a_stop_from_outside(start: Start) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(*_: Any) -> None:
        reached.set()
        assert go_on.wait(PATIENCE)

    ref, log = start(hold)
    tell(ref, *said("first", "second"))
    assert reached.wait(PATIENCE)
    stopped = ref.stop(block=False)
    go_on.set()
    assert stopped.get(timeout=PATIENCE) is True
    assert log.get(timeout=PATIENCE)[0] == "first"
    assert log.empty()


def test_who_listens_from_the_first_on_is_told_of_the_second(start: Start) -> None:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    name = ("slipstream", "client", "handle_message", "start")

    def listen(*_: Any) -> None:
        telemetry.attach("bursts", name, lambda *_: told.put("told"))

    ref, log = start(listen)
    try:
        tell(ref, *said("first", "second", "third"))
        assert noted(ref, log) == ["first", "second", "third"]
    finally:
        telemetry.detach("bursts")
    assert told.qsize() == 2
