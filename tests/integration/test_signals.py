"""Signals that come in the middle of everything that a script does with its socket and clients."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from slipstream_actor.testing import Channel, PhoenixServer
from tests.support.programs import run

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="there are no such signals here"
)

COUNT = 4_000


class Numbering(Channel):
    """Tells numbers, a few at a time."""

    def handle_in(self, event: str, payload: Any) -> Any:
        for n in range(payload["count"]):
            self.push("n", {"n": n})
        return "ok"


RAISING = """
import signal, sys, time
from slipstream_actor import *

class Alarm(Exception):
    pass

def ring(*_):
    raise Alarm

uri, count = sys.argv[1], int(sys.argv[2])
socket = connect(uri).join("numbers").await_join("numbers")
signal.signal(signal.SIGALRM, ring)
socket.push("numbers", "go", {"count": count})
numbers, alarms, end = [], 0, time.monotonic() + 30
while len(numbers) < count and time.monotonic() < end:
    message = None
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
        message = socket.await_message("numbers", "n", timeout=5)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Alarm:
        alarms += 1
    if message is not None:
        numbers.append(message.payload["n"])
signal.setitimer(signal.ITIMER_REAL, 0)
assert numbers == list(range(count)), (alarms, len(numbers))
inbox = socket.socket_pid.actor_inbox
assert inbox.taken is None
print("alarms" if alarms else "none", inbox.depth >= 1)
"""


def test_a_handler_that_raises_loses_no_message() -> None:
    with PhoenixServer({"numbers": Numbering}) as server:
        assert run(RAISING, server.uri, str(COUNT)) == (0, "alarms True\n", "")


USING = """
import gc, signal, sys, threading, time
from slipstream_actor import *
from slipstream_actor.actors.future import Future

class Quiet(ClientActor):
    def init(self):
        return None

    def handle_call(self, message, from_, socket):
        return Answer(message)

    def handle_cast(self, message, socket):
        return None

    handle_info = handle_cast

uri = sys.argv[1]
ref = Quiet.start(name="quiet")
socket = connect(uri, buffer_pushes=True).join("numbers").await_join("numbers")
numbers = set()

def number():
    ref = socket.push("numbers", "go", {"count": 0})
    assert ref not in numbers
    numbers.add(ref)

def watch():
    monitor(ref).cancel()

def complete():
    future = Future()
    future.add_done_callback(lambda _: None)
    future.set(1)
    assert future.get() == 1

uses = {
    "whereis": lambda: whereis("quiet"),
    "cast": lambda: cast("quiet", 1),
    "call": lambda: call("quiet", 1),
    "ask": lambda: ref.ask(1),
    "proxy": lambda: ref.proxy().socket.get(),
    "push": number,
    "monitor": watch,
    "future": complete,
    "get_state": lambda: get_state(ref),
}

class Garbage:
    def __init__(self):
        self.itself = self

    def __del__(self):
        whereis("quiet"), cast("quiet", 1), number(), watch(), complete()

def ring(*_):
    if not inside:
        inside.append(True)
        use()
        inside.clear()

inside = []
signal.signal(signal.SIGALRM, ring)
gc.set_threshold(50)
for name, use in uses.items():
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        use()
        Garbage()
    signal.setitimer(signal.ITIMER_REAL, 0)
print("all", len(numbers) > 100)
"""


def test_handlers_and_garbage_use_what_they_interrupt() -> None:
    with PhoenixServer({"numbers": Numbering}) as server:
        assert run(USING, server.uri) == (0, "all True\n", "")
