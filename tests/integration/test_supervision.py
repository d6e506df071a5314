"""Supervised clients over real sockets, and the end of a program that has some."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from slipstream_actor import (
    Answer,
    ChildSpec,
    ClientActor,
    Socket,
    call,
    connect,
    monitor,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.testing import Channel, PhoenixServer
from tests.actors.test_monitor import take_down
from tests.support.clients import PATIENCE, eventually
from tests.support.raw_server import CLOSE, RawServer, serve
from tests.support.supervision import restarted, supervising

TOPIC = "rooms:lobby"


class Room(Channel):
    """Lets everybody in."""


class Fragile(ClientActor):
    """Joins, and crashes when the server says so."""

    def init(self, uri: str) -> Socket:
        return connect(uri)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(TOPIC)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        if event == "crash":
            raise RuntimeError(payload)
        return socket

    def handle_info(self, message: Any, socket: Socket) -> Any:
        raise message

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Answer:
        return Answer((message, socket.joined(TOPIC)))


def test_a_client_that_crashes_in_a_callback_is_back() -> None:
    with PhoenixServer({TOPIC: Room}) as server:
        with supervising([ChildSpec(Fragile, server.uri, name="room")]):
            wait_until_joined("room", TOPIC)
            assert call("room", 1) == (1, True)
            old: Any = whereis("room")
            monitor(old)
            server.broadcast(TOPIC, "crash", {"on": "purpose"})
            assert str(take_down(old).reason) == "{'on': 'purpose'}"
            assert restarted("room", old)
            wait_until_joined("room", TOPIC)
            assert call("room", 2) == (2, True)
            eventually(lambda: server.connections == 1, "the old connection's end")
        eventually(lambda: server.connections == 0, "the new connection's end")


def test_the_connection_of_a_client_that_crashed_gets_a_close_frame() -> None:
    with RawServer(serve) as server, supervising([ChildSpec(Fragile, server.uri, name="room")]):
        for _ in range(3):
            wait_until_joined("room", TOPIC)
            old: Any = whereis("room")
            assert server.next_frame(event="phx_join").message[1] == "1"
            old.tell(RuntimeError())
            assert server.next_frame(opcode=CLOSE).code == 1000
            assert isinstance(wait(old, PATIENCE), RuntimeError)
            assert restarted("room", old)


EXIT = """
import sys, threading
from slipstream_actor import ChildSpec, ClientActor, Supervisor, connect

class Child(ClientActor):
    def init(self, uri, key):
        self.key = key
        return connect(uri).await_connect()

    def handle_info(self, message, socket):
        started.set()
        threading.Event().wait()

    def terminate(self, reason, socket):
        print(self.key, reason, flush=True)

uri, stuck = sys.argv[1:]
started = threading.Event()
children = [ChildSpec(Child, uri, key, id=key) for key in ("a", "b")]
inner = ChildSpec(Supervisor, [ChildSpec(Child, uri, "c")], id="inner")
outer = Supervisor.start([*children, inner])
if stuck:
    [child] = [c for c in Supervisor.which_children(outer) if c.id == stuck]
    child.ref.tell("wait for ever")
    started.wait()
sys.exit(3)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that leaves its supervisors to its end."""
    command = [sys.executable, "-c", EXIT, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


def test_at_the_end_of_the_program_supervisors_end_their_children(server: PhoenixServer) -> None:
    program = run(server.uri, "")
    assert program.stdout.split("\n") == ["c shutdown", "b shutdown", "a shutdown", ""]
    assert (program.stderr, program.returncode) == ("", 3)
    eventually(lambda: server.connections == 0)


def test_a_child_that_is_stuck_costs_the_others_nothing(server: PhoenixServer) -> None:
    program = run(server.uri, "b")
    assert program.stdout.split("\n") == ["c shutdown", "a normal", ""]
    assert (program.stderr, program.returncode) == ("", 3)
    eventually(lambda: server.connections == 0)
