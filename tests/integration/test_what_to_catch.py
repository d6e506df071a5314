"""The page that says what a view has to catch, by call: each row of its table, tried."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import slipstream_actor
from slipstream_actor import (
    Answer,
    ClientActor,
    Ignore,
    SlipstreamError,
    Socket,
    Stop,
    call,
    cast,
    connect,
    get_state,
    invoke,
    request,
    subscribe,
    wait,
    wait_until_joined,
)
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE

PAGE = Path(__file__).parents[2] / "docs/reference/errors.md"
TOPIC = "rooms:lobby"
# Of its events "quicksand" is never replied to, and "error tuple" with an error.
GOOD = "test:good"
SOON = 0.02


class Burnt(Exception):
    """A view's own."""


class Simmering(threading.Event):
    """How long a method takes, and whether it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = threading.Event()


class Kitchen(ClientActor):
    """Does what it is told, in whatever callback."""

    def init(self, uri: str, then: Any = None, **options: Any) -> Any:
        if isinstance(then, Exception):
            raise then
        return then or connect(uri, **options).join(TOPIC).join(GOOD)

    def handle_call(self, message: Any, *_: Any) -> Any:
        return Answer(self.method(message))

    def method(self, message: Any) -> Any:
        if isinstance(message, Simmering):
            message.has_begun.set()
            message.wait(PATIENCE)
        elif isinstance(message, Exception):
            raise message
        return message


class Case:
    """A client that is joined, one that has ended, and one that simmers."""

    def __init__(self, uri: str) -> None:
        self.uri, self.go_on = uri, Simmering()
        self.lives: Any = Kitchen.start(uri, name="pantry")
        wait_until_joined(self.lives, TOPIC, timeout=PATIENCE)
        wait_until_joined(self.lives, GOOD, timeout=PATIENCE)
        self.ended: Any = Kitchen.start(uri, name="cellar")
        self.older_proxy = self.ended.proxy()
        self.ended.stop()
        self.simmers: Any = Kitchen.start(uri)
        self.simmers.proxy().method(self.go_on)
        assert self.go_on.has_begun.wait(PATIENCE)

    @property
    def socket(self) -> Socket:
        """The socket of the client that lives, in this thread."""
        socket: Socket = get_state(self.lives).socket
        return socket

    def full(self) -> None:
        """Push more than a send buffer takes, behind a client whose buffer takes nothing."""
        ref: Any = Kitchen.start(self.uri, max_send_buffer_bytes=1)
        wait_until_joined(ref, TOPIC, timeout=PATIENCE)
        socket = get_state(ref).socket
        room = socket.channel_pid.actor_inbox.room
        room.add(10)
        try:
            socket.push(TOPIC, "new:msg", {}, send_timeout=SOON)
        finally:
            ref.stop()

    def cut_off(self) -> None:
        """Ask what is not replied to, and close the connection behind it."""
        asked = request(self.lives, GOOD, "quicksand")
        connection: Any = self.socket.channel_pid
        connection.tell(CloseConnection())
        asked.get(timeout=PATIENCE)

    def one_too_many(self) -> None:
        """Ask twice where once is allowed."""
        ref: Any = Kitchen.start(self.uri, max_requests=1)
        try:
            first = request(ref, GOOD, "quicksand")
            request(ref, GOOD, "ping").get(timeout=PATIENCE)
        finally:
            first.cancel()
            ref.stop()

    def crash_subscribed(self) -> None:
        """Iterate over what a client says that crashes."""
        ref: Any = Kitchen.start(self.uri)
        subscription = subscribe(ref)
        cast(ref, "not understood")
        for _ in subscription:
            raise AssertionError

    def close(self) -> None:
        self.go_on.set()
        for ref in (self.lives, self.simmers):
            ref.stop(timeout=PATIENCE)


def pushed_offline(case: Case) -> None:
    with connect("ws://test.invalid/socket", test_mode=True) as socket:
        socket.push(TOPIC, "new:msg")


ENDED = "the client has ended, or ends before it answers"
LATE = "there is no answer in time"
CALL, ASK, METHOD = (
    "call(client, message)",
    "ref.ask(message, timeout=…)",
    "proxy.method().get(timeout=…)",
)
REQUEST, INVOKE = "request(client, …).get()", "invoke(client, method).get(timeout=…)"
PUSH, START = "socket.push(…) from any thread", "Kitchen.start(…)"
ROWS: dict[tuple[str, str], Callable[[Case], Any]] = {
    (CALL, ENDED): lambda case: call(case.ended, 1),
    (CALL, "nobody has the name"): lambda case: call("attic", 1),
    (CALL, LATE): lambda case: call(case.simmers, 1, timeout=SOON),
    (CALL, "handle_call raises, which ends the client"): lambda case: call(case.lives, Burnt()),
    ("cast(client, message)", "whatever has become of the client"): lambda case: cast("cellar", 1),
    (ASK, ENDED): lambda case: case.ended.ask(1, timeout=PATIENCE),
    (ASK, LATE): lambda case: case.simmers.ask(1, timeout=SOON),
    (ASK, "handle_call raises; the client lives on"): lambda case: case.lives.ask(Burnt()),
    ("ref.proxy()", "the client has ended"): lambda case: case.ended.proxy(),
    (METHOD, ENDED): lambda case: case.older_proxy.method(1).get(timeout=PATIENCE),
    (METHOD, LATE): lambda case: case.simmers.proxy().method(1).get(timeout=SOON),
    (METHOD, "the method raises; the client lives on"): (
        lambda case: case.lives.proxy().method(Burnt()).get(timeout=PATIENCE)
    ),
    (REQUEST, "the client has ended"): lambda case: request("cellar", TOPIC, "ping").get(),
    (REQUEST, "it is not connected or joined in time, or there is no reply in time"): (
        lambda case: request(case.lives, GOOD, "quicksand", timeout=SOON).get()
    ),
    (REQUEST, "nobody wants the topic, or its channel ends before the reply"): (
        lambda case: request(case.lives, "attic", "ping").get()
    ),
    (REQUEST, "the connection ends before the reply"): lambda case: case.cut_off(),
    (REQUEST, "max_requests are under way"): lambda case: case.one_too_many(),
    ("request(client, …).get().unwrap()", 'the reply has another status than "ok"'): (
        lambda case: request(case.lives, GOOD, "error tuple").get().unwrap()
    ),
    ("request(client, …)", "the payload cannot be encoded"): (
        lambda case: request(case.lives, GOOD, "ping", {"client": object()})
    ),
    (INVOKE, ENDED): lambda case: invoke("cellar", Kitchen.method, 1).get(timeout=PATIENCE),
    (INVOKE, LATE): lambda case: invoke(case.simmers, Kitchen.method, 1).get(timeout=SOON),
    (INVOKE, "the method raises; the client lives on"): (
        lambda case: invoke(case.lives, Kitchen.method, Burnt()).get(timeout=PATIENCE)
    ),
    ("subscribe(client)", "the client has ended"): lambda case: subscribe("cellar"),
    ("for message in subscription", "the client ends, and not normally"): (
        lambda case: case.crash_subscribed()
    ),
    ("get_state(client)", "the client has ended"): lambda case: get_state("cellar"),
    ("get_state(client)", "a callback runs for longer: it is named"): (
        lambda case: get_state(case.simmers, timeout=SOON)
    ),
    ("wait_until_joined(client, topic)", "the client has ended, or ends first"): (
        lambda case: wait_until_joined("cellar", TOPIC)
    ),
    (
        "wait_until_joined(client, topic)",
        "it is not joined in time: refused, not connected, never asked for",
    ): lambda case: wait_until_joined(case.lives, "attic", timeout=SOON),
    ("wait(client, timeout=…)", "the client lives on"): lambda case: wait(case.lives, SOON),
    (PUSH, "there is no connection"): pushed_offline,
    (PUSH, "the topic is not joined"): lambda case: case.socket.push("attic", "new:msg"),
    (PUSH, "the payload cannot be encoded"): (
        lambda case: case.socket.push(TOPIC, "new:msg", {"client": object()})
    ),
    (PUSH, "the send buffer has no room in time"): lambda case: case.full(),
    ("other methods of a client's socket from another thread", "always"): (
        lambda case: case.socket.join("attic")
    ),
    (START, "init returns Stop(reason)"): lambda case: Kitchen.start(case.uri, Stop("shutdown")),
    (START, "init returns Ignore()"): lambda case: Kitchen.start(case.uri, Ignore()),
    (START, "a living client has the name"): lambda case: Kitchen.start(case.uri, name="pantry"),
    (START, "init raises"): lambda case: Kitchen.start(case.uri, Burnt()),
}


def table() -> dict[tuple[str, str], str]:
    """Return what the page says is raised, by call and occasion."""
    section = PAGE.read_text(encoding="utf-8").partition("## What a view has to catch")[2]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    plain = [[cell.replace("`", "") for cell in row] for row in rows]
    return {(asked, when): raises for asked, when, raises in plain if asked != "call"}


@pytest.fixture
def case(server: PhoenixServer) -> Iterator[Case]:
    case = Case(server.uri)
    yield case
    case.close()


def test_the_page_has_these_rows() -> None:
    assert table().keys() == ROWS.keys()


@pytest.mark.parametrize("row", ROWS, ids=": ".join)
def test_the_page_is_right(case: Case, row: tuple[str, str]) -> None:
    raises = table()[row]
    if raises == "nothing":
        ROWS[row](case)
        return
    kind = Burnt if raises == "what it raised" else getattr(slipstream_actor, raises)
    with pytest.raises(Exception) as raised:
        ROWS[row](case)
    assert type(raised.value) is kind
    assert kind is Burnt or issubclass(kind, SlipstreamError)
    if "which ends the client" in row[1]:
        assert isinstance(wait(case.lives, PATIENCE), Burnt)
    elif "lives on" in row[1]:
        assert case.lives.is_alive()


def test_one_try_catches_them_all(case: Case) -> None:
    for row, attempt in ROWS.items():
        if table()[row] not in ("nothing", "what it raised"):
            with suppress(SlipstreamError):
                attempt(case)
