"""One cell of the matrix of commands for a plain thread: it has connected, or is about to, the
fault comes, and the thread ends what it has opened. That takes no time that depends on the network,
and leaves nothing; and when the fault is healed, the next script has a network that works.
"""

from __future__ import annotations

import contextlib
import gc
import time
import warnings
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from slipstream_actor import (
    Connection,
    NotConnectedError,
    NotJoinedError,
    SlipstreamError,
    Socket,
    connect,
)
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.integration.command_cell import MOMENTS, OPTIONS, GatedServer
from tests.integration.command_matrix import TOPIC, State
from tests.integration.fault_cell import STOP_WITHIN
from tests.integration.fault_matrix import Fault
from tests.support.clients import PATIENCE, eventually


class OnPurpose(Exception):
    """A block ends with it."""


class Script:
    """A plain thread's socket, in a state."""

    def __init__(self, uri: str, state: State, server: GatedServer) -> None:
        self.socket: Socket | None = connect(uri, **OPTIONS)
        if state == "connecting":
            assert server.reached.wait(PATIENCE)
            return
        self.socket = self.socket.await_connect(PATIENCE).join(TOPIC).await_join(TOPIC, PATIENCE)

    def taken(self) -> Socket:
        """Return the socket, which from then on is the caller's alone."""
        socket, self.socket = self.socket, None
        assert socket is not None
        return socket


def close(script: Script) -> None:
    script.taken().close(STOP_WITHIN)


def push_and_close(script: Script) -> None:
    """A push on the way changes nothing."""
    socket = script.taken()
    with contextlib.suppress(NotConnectedError, NotJoinedError):
        socket.push(TOPIC, "say", reply_timeout=60)
    socket.close(STOP_WITHIN)
    with pytest.raises(SlipstreamError):
        socket.push(TOPIC, "say")


def leave_block(script: Script) -> None:
    """What the block raises is never replaced."""
    with pytest.raises(OnPurpose), script.taken():
        raise OnPurpose


def reconnect_in_block(script: Script) -> None:
    """The connection that is asked for in the block ends with it too."""
    with script.taken() as socket:
        again = socket.reconnect(delay=0)
    assert not again.connected
    assert again.status == "disconnected"


def look_at_messages(script: Script) -> None:
    """The iterator ends, or raises as `await_message` does."""
    with script.taken() as socket, contextlib.suppress(NotConnectedError, NotJoinedError):
        assert list(socket.messages(timeout=0.05)) == []


def await_a_reply(script: Script) -> None:
    """It comes, or the wait has its end."""
    with script.taken() as socket, contextlib.suppress(SlipstreamError):
        socket.await_reply(socket.push(TOPIC, "say"), timeout=0.1)


def give_up(script: Script) -> None:
    """Nobody has the socket any more: that is told, unless the fault has ended the connection."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        script.taken()
        gc.collect()
    if caught:
        [warning] = caught
        assert str(warning.message).startswith("the last socket")
    else:
        assert not pykka.ActorRegistry.get_by_class(Connection)


SCRIPTS: list[tuple[State, str, Callable[[Script], None]]] = [
    ("connecting", "close", close),
    ("connecting", "with, an exception", leave_block),
    ("connecting", "with, reconnect(delay=0)", reconnect_in_block),
    ("connecting", "given up", give_up),
    ("joined", "push, close", push_and_close),
    ("joined", "with, an exception", leave_block),
    ("joined", "with, reconnect(delay=0)", reconnect_in_block),
    ("joined", "with, messages", look_at_messages),
    ("joined", "with, await_reply", await_a_reply),
    ("joined", "given up", give_up),
]


def run(state: State, end: Callable[[Script], None], fault: Fault) -> None:
    """Go through a cell, and assert what it is to show."""
    server = GatedServer(state)
    with server, FaultProxy(server.uri) as proxy:
        try:
            script = Script(proxy.uri, state, server)
            fault.apply(proxy, MOMENTS.get(state, "idle"))
            begun = time.monotonic()
            end(script)
            took = time.monotonic() - begun
        finally:
            server.gate.set()
        assert took < STOP_WITHIN, f"{took:.2f} s"
        proxy.heal()
        eventually(lambda: not proxy.connections, "the end of every connection")
        check_that_it_works(server, proxy)


def check_that_it_works(server: PhoenixServer, proxy: FaultProxy) -> None:
    """Another script has its answer."""

    def answered() -> Any:
        with contextlib.suppress(SlipstreamError), connect(proxy.uri, **OPTIONS) as socket:
            joined = socket.await_connect(1.0).join(TOPIC).await_join(TOPIC, 1.0)
            return joined.await_reply(joined.push(TOPIC, "say"), 1.0).ok

    eventually(answered, "an answer after the fault")
    eventually(lambda: not server.connections, "the end of the last connection")
