"""The matrix of faults by commands: what a client is told to do, and in which state, as the fault
comes. What happens in a cell is in `command_cell.py`, the tests of it in `test_command_matrix.py`.

    make fault-matrix

runs all of it, beside the matrix of faults by moments.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from slipstream_actor import Socket
from tests.integration.fault_matrix import FAULTS, Fault

State: TypeAlias = Literal["connecting", "joining", "joined", "closed", "waiting", "disconnected"]
Where: TypeAlias = Literal["here", "other", "away"]

TOPIC = "room:one"
ANOTHER = "room:two"
ONCE = {"reset", "half-close, server to client", "half-close, client to server"}
"""Faults that are over at once."""

WHOLE = os.environ.get("SLIPSTREAM_FAULT_MATRIX") == "whole"
SAMPLE = 7
"""Without that, one cell of so many; each fault and each command is among them."""


@dataclass(frozen=True)
class Command:
    """A column. `give` tells the client, in its thread; it is given the URI of another server.

    Afterwards the client is to be joined to `topics`, behind the proxy or at the other server, or
    to stay away; and to have been told of so many leaves. `disconnects`: attempts that it ended.
    """

    state: State
    name: str
    give: Callable[[Socket, str], Socket]
    where: Where = "here"
    topics: frozenset[str] = frozenset({TOPIC})
    leaves: int = 0
    forgets: bool = False
    disconnects: int = 0

    def __str__(self) -> str:
        return f"{self.state}: {self.name}"


NOWHERE: frozenset[str] = frozenset()
BOTH = frozenset({TOPIC, ANOTHER})


def disconnect(socket: Socket, _: str) -> Socket:
    return socket.disconnect()


def disconnect_and_return(socket: Socket, _: str) -> Socket:
    return socket.disconnect().reconnect(delay=0)


def disconnect_and_join(socket: Socket, _: str) -> Socket:
    return socket.disconnect().join(ANOTHER, timeout=0.5).reconnect(delay=0.02)


def reconnect(socket: Socket, _: str) -> Socket:
    return socket.reconnect(delay=0)


def reconnect_later(socket: Socket, _: str) -> Socket:
    return socket.reconnect(delay=0.05)


def connect_other(socket: Socket, other: str) -> Socket:
    return socket.connect(other, close_timeout_msec=150).join(TOPIC, timeout=5)


def leave(socket: Socket, _: str) -> Socket:
    return socket.leave(TOPIC, timeout=0.2)


def leave_and_return(socket: Socket, _: str) -> Socket:
    return socket.leave(TOPIC, timeout=0.2).reconnect(delay=0)


def leave_and_join(socket: Socket, _: str) -> Socket:
    return socket.leave(TOPIC, timeout=0.2).join(TOPIC, timeout=0.3)


def leave_and_rejoin(socket: Socket, _: str) -> Socket:
    return socket.leave(TOPIC, timeout=0.2).rejoin(TOPIC, {}, delay=0.02)


def leave_and_join_anew(socket: Socket, _: str) -> Socket:
    left = socket.leave(TOPIC, timeout=5).disconnect()
    return left.join(TOPIC, timeout=0.3).reconnect(delay=0)


def join_another(socket: Socket, _: str) -> Socket:
    return socket.join(ANOTHER, timeout=0.2)


def rejoin(socket: Socket, _: str) -> Socket:
    return socket.rejoin(TOPIC, delay=0)


def rejoin_later(socket: Socket, _: str) -> Socket:
    return socket.rejoin(TOPIC, delay=0.05)


def forget(socket: Socket, _: str) -> Socket:
    return socket.forget(TOPIC)


COMMANDS = [
    Command("connecting", "disconnect", disconnect, "away", NOWHERE, disconnects=1),
    Command("connecting", "disconnect, reconnect(delay=0)", disconnect_and_return),
    Command("connecting", "reconnect(delay=0)", reconnect),
    Command("connecting", "leave(timeout)", leave, topics=NOWHERE, leaves=1),
    Command("connecting", "leave, join(timeout)", leave_and_join, leaves=1),
    Command("connecting", "connect(other)", connect_other, "other"),
    Command("joining", "disconnect", disconnect, "away", NOWHERE, disconnects=1),
    Command("joining", "disconnect, join, reconnect(delay)", disconnect_and_join, topics=BOTH),
    Command("joining", "reconnect(delay=0)", reconnect),
    Command("joining", "leave(timeout)", leave, topics=NOWHERE, leaves=1),
    Command("joining", "leave, join(timeout)", leave_and_join, leaves=1),
    Command("joining", "connect(other)", connect_other, "other"),
    Command("joined", "disconnect", disconnect, "away", NOWHERE, disconnects=1),
    Command("joined", "disconnect, reconnect(delay=0)", disconnect_and_return),
    Command("joined", "disconnect, join, reconnect(delay)", disconnect_and_join, topics=BOTH),
    Command("joined", "reconnect(delay=0)", reconnect),
    Command("joined", "reconnect(delay)", reconnect_later),
    Command("joined", "leave(timeout)", leave, topics=NOWHERE, leaves=1),
    Command("joined", "leave(timeout), forget", leave, topics=NOWHERE, leaves=1, forgets=True),
    Command("joined", "leave, join(timeout)", leave_and_join, leaves=1),
    Command("joined", "leave, rejoin(delay)", leave_and_rejoin, leaves=1),
    Command("joined", "leave, disconnect, join, reconnect", leave_and_join_anew, leaves=1),
    Command("joining", "leave, disconnect, join, reconnect", leave_and_join_anew, leaves=1),
    Command("joined", "join(another, timeout)", join_another, topics=BOTH),
    Command("joined", "connect(other)", connect_other, "other"),
    Command("closed", "rejoin(delay=0)", rejoin),
    Command("closed", "rejoin(delay)", rejoin_later),
    Command("closed", "forget", forget, topics=NOWHERE, forgets=True),
    Command("closed", "disconnect", disconnect, "away", NOWHERE, disconnects=1),
    Command("waiting", "disconnect", disconnect, "away", NOWHERE),
    Command("waiting", "reconnect(delay=0)", reconnect),
    Command("waiting", "reconnect(delay)", reconnect_later),
    Command("waiting", "leave, reconnect(delay=0)", leave_and_return, topics=NOWHERE, leaves=1),
    Command("waiting", "connect(other)", connect_other, "other"),
    Command("disconnected", "reconnect(delay=0)", reconnect),
    Command("disconnected", "connect(other)", connect_other, "other"),
]


def is_sampled(row: Fault, column: int) -> bool:
    """Whether a cell is among those that run each time."""
    return WHOLE or (FAULTS.index(row) + column) % SAMPLE == 0
