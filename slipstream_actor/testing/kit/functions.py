"""The functions of the test kit: those of the `SocketTest` that the calling thread is in.

Outside of one the thread is a server of its own. Each does, waits and raises as the method of
`SocketTest` that it is named after.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from pykka import ActorRef

from slipstream_actor.client.client import ClientActor
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Ref, Reply
from slipstream_actor.supervision.handle import ClientHandle
from slipstream_actor.testing.kit.kit import GOING_AWAY, NOTHING, OK, REFUSED, current_test
from slipstream_actor.testing.kit.requests import (
    DisconnectRequest,
    JoinRequest,
    LeaveRequest,
    PushRequest,
)

__all__ = [
    "accept_connect",
    "assert_disconnect",
    "assert_join",
    "assert_leave",
    "assert_push",
    "connect_and_assert_join",
    "disconnect",
    "override",
    "push",
    "refuse_connect",
    "refute_disconnect",
    "refute_join",
    "refute_leave",
    "refute_push",
    "reply",
    "serve",
    "serve_joins",
]

C = TypeVar("C", bound=ClientActor)

# Failures are reported where a test asserts, not here.
__unittest = True


def accept_connect(client: Any, *, response_headers: Mapping[str, str] | None = None) -> None:
    """Tell a client that it is connected, to this test."""
    current_test().accept_connect(client, response_headers=response_headers)


def refuse_connect(client: Any, reason: Any = REFUSED) -> None:
    """Have a client's attempt to connect fail: its `handle_disconnect(reason)`."""
    current_test().refuse_connect(client, reason)


def connect_and_assert_join(
    client: Any,
    topic: Any = ANY,
    params: Any = ANY,
    reply: Reply = OK,
    *,
    timeout: float | None = None,
) -> JoinRequest:
    """`accept_connect`, and `assert_join` of that client."""
    __tracebackhide__ = True
    return current_test().connect_and_assert_join(client, topic, params, reply, timeout=timeout)


def assert_join(
    topic: Any = ANY,
    params: Any = ANY,
    reply: Reply = OK,
    *,
    client: Any = None,
    timeout: float | None = None,
) -> JoinRequest:
    """Assert that a client asks to join, and answer it: any status but "ok" refuses."""
    __tracebackhide__ = True
    return current_test().assert_join(topic, params, reply, client=client, timeout=timeout)


def refute_join(
    topic: Any = ANY, params: Any = ANY, *, client: Any = None, timeout: float | None = None
) -> None:
    """Assert that no client asks to join so."""
    __tracebackhide__ = True
    current_test().refute_join(topic, params, client=client, timeout=timeout)


def assert_leave(
    topic: Any = ANY, *, client: Any = None, timeout: float | None = None
) -> LeaveRequest:
    """Assert that a client asks to leave, and have it left: its `handle_leave`."""
    __tracebackhide__ = True
    return current_test().assert_leave(topic, client=client, timeout=timeout)


def refute_leave(topic: Any = ANY, *, client: Any = None, timeout: float | None = None) -> None:
    """Assert that no client asks to leave so."""
    __tracebackhide__ = True
    current_test().refute_leave(topic, client=client, timeout=timeout)


def assert_push(
    topic: Any = ANY,
    event: Any = ANY,
    payload: Any = ANY,
    *,
    client: Any = None,
    timeout: float | None = None,
) -> PushRequest:
    """Assert that a client pushes, and return the push; `reply` answers it."""
    __tracebackhide__ = True
    return current_test().assert_push(topic, event, payload, client=client, timeout=timeout)


def refute_push(
    topic: Any = ANY,
    event: Any = ANY,
    payload: Any = ANY,
    *,
    client: Any = None,
    timeout: float | None = None,
) -> None:
    """Assert that no client pushes so."""
    __tracebackhide__ = True
    current_test().refute_push(topic, event, payload, client=client, timeout=timeout)


def assert_disconnect(client: Any = None, *, timeout: float | None = None) -> DisconnectRequest:
    """Assert that a client closes its connection, and tell it that it is closed."""
    __tracebackhide__ = True
    return current_test().assert_disconnect(client=client, timeout=timeout)


def refute_disconnect(client: Any = None, *, timeout: float | None = None) -> None:
    """Assert that no client closes its connection."""
    __tracebackhide__ = True
    current_test().refute_disconnect(client=client, timeout=timeout)


def push(client: Any, topic: str, event: str, payload: Any = NOTHING) -> None:
    """Push `event` to a client: its `handle_message`, or an `await_message` of its own."""
    current_test().push(client, topic, event, payload)


def reply(client: Any, ref: Ref | PushRequest | str, reply: Reply = OK) -> None:
    """Reply to a push: `ref` is what `assert_push` returned, or its `ref`."""
    current_test().reply(client, ref, reply)


def disconnect(client: Any, reason: Any = GOING_AWAY) -> None:
    """Close a client's connection: its `handle_disconnect(reason)`."""
    current_test().disconnect(client, reason)


def serve(topic: Any = ANY, event: Any = ANY, answer: Any = OK, *, client: Any = None) -> None:
    """Reply to every push and `request` of `event` on `topic`, from now on, by itself."""
    current_test().serve(topic, event, answer, client=client)


def serve_joins(topic: Any = ANY, answer: Any = OK, *, client: Any = None) -> None:
    """Answer every join of `topic`, from now on, by itself."""
    current_test().serve_joins(topic, answer, client=client)


def override(
    handle: ClientHandle[C], *args: Any, **kwargs: Any
) -> AbstractContextManager[ActorRef[C]]:
    """Have a client of this test in the place of a handle's own, within the block."""
    return current_test().override(handle, *args, **kwargs)
