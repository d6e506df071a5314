"""The types that users of a socket see: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, assert_type

from pykka import ActorRef

from slipstream_actor import (
    ANY,
    ConfigurationError,
    ConnectFailed,
    ConnectFailedError,
    Connection,
    Join,
    JoinFailedError,
    MessageReceived,
    NotConnectedError,
    Options,
    Ref,
    Reply,
    ReplyError,
    Socket,
    connect,
    new_socket,
)


def is_big(n: int) -> bool:
    """A predicate among what is matched."""
    return n > 1


def a_script(uri: str) -> None:
    """Every step of a conversation."""
    assert_type(new_socket(), Socket)
    socket = connect(uri, params={"id": "alice"}, heartbeat_interval_msec=0)
    assert_type(socket, Socket)
    options: Options = {"reconnect_after_msec": [10, 100], "rejoin_after_msec": lambda n: n * 10}
    given: dict[str, Any] = {"headers": {"x-team": "kitchen"}}
    assert_type(socket.connect(uri, **options), Socket)
    assert_type(connect(uri, **given), Socket)
    connect(uri, heartbeat_intervall_msec=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(socket.await_connect(timeout=None), Socket)
    assert_type(socket.join("rooms:lobby", None).await_join("rooms:lobby", 1.5), Socket)
    ref = socket.push("rooms:lobby", "event", b"bytes", None, reply_timeout=1, buffer=True)
    assert_type(ref, Ref)
    assert_type(socket.await_reply(ref), Reply)
    assert_type(socket.await_reply(ref).unwrap(), Any)
    message = socket.await_message("rooms:lobby", ANY, {"n": is_big}, timeout=2)
    assert_type(message, MessageReceived)
    assert_type(message.topic, str)
    assert_type(message.payload, Any)
    assert_type(socket.leave("rooms:lobby").await_leave("rooms:lobby"), Socket)
    assert_type(socket.ping(), float)
    assert_type(socket.collect_garbage(), Socket)
    assert_type(socket.disconnect().await_disconnect(), Socket)


def what_it_knows(socket: Socket) -> None:
    """Fields and predicates."""
    assert_type(socket.assigns, Mapping[str, Any])
    assert_type(socket.joins, Mapping[str, Join])
    assert_type(socket.joins["rooms:lobby"].status, Literal["requested", "joined", "closed"])
    assert_type(socket.join_status("x"), Literal["requested", "joined", "closed"] | None)
    assert_type(socket.joined("x"), bool)
    assert_type(socket.connected, bool)
    assert_type(socket.channel_pid, ActorRef[Connection] | None)
    assert_type(socket.reconnect_counter, int)
    assert_type(socket.response_headers, Mapping[str, str] | None)
    assert_type(socket.update("n", lambda n: n + 1), Socket)


def what_is_raised(socket: Socket) -> None:
    """What errors know."""
    try:
        socket.connect("ws://…")
    except ConfigurationError as error:
        assert_type(error.option, str)
    except ConnectFailedError as error:
        assert_type(error.socket, Any)
        assert_type(error.reason, Any)
    except JoinFailedError as error:
        assert_type(error.topic, str)
    except NotConnectedError as error:
        assert_type(error.socket, Any)
    except ReplyError as error:
        assert_type(error.reply, Reply)
        assert_type(error.status, str)


def what_reasons_know(reason: object) -> None:
    """Reasons are matched on."""
    match reason:
        case ConnectFailed(kind="upgrade", status=status):
            assert_type(status, int | None)
        case ConnectFailed():
            assert_type(reason.headers, Mapping[str, str])
            assert_type(reason.retryable, bool)
        case _:
            pass
