"""The callbacks of a client, with Slipstream's defaults."""

from __future__ import annotations

from typing import Any

from slipstream_actor.actors.calls import From
from slipstream_actor.client.returns import CallbackResult, CallResult
from slipstream_actor.protocol.message import Ref, Reply
from slipstream_actor.protocol.reasons import ClosedByClient, ConnectFailed
from slipstream_actor.socket.socket import Socket
from slipstream_actor.telemetry.log import log_of

__all__ = ["CALLBACK_NAMES", "Defaults"]


class Defaults:
    """What a client does that defines no callback of its own."""

    def terminate(self, reason: Any, socket: Socket, /) -> Socket | None:
        """End, for `reason`; what it returns is ignored. The connection is closed afterwards."""
        return None

    def handle_continue(self, term: Any, socket: Socket, /) -> CallbackResult:
        """Go on after a `Next(then=term)`."""
        raise not_handled(self, "handle_continue", term)

    def handle_info(self, message: Any, socket: Socket, /) -> CallbackResult:
        """Handle what `ref.tell(message)` sent, a timer's message, or `"timeout"`."""
        return socket

    def handle_cast(self, message: Any, socket: Socket, /) -> CallbackResult:
        """Handle what `cast(ref, message)` sent."""
        raise not_handled(self, "handle_cast", message)

    def handle_call(self, message: Any, from_: From, socket: Socket, /) -> CallResult:
        """Handle `call(ref, message)` or `ref.ask(message)`: return `Answer`, `Next` or `Stop`.

        After `Next`, answer with `reply(from_, value)`, whenever it is time.
        """
        raise not_handled(self, "handle_call", message)

    def handle_connect(self, socket: Socket, /) -> CallbackResult:
        """The connection is open: a good place to join."""
        return socket

    def handle_disconnect(self, reason: Any, socket: Socket, /) -> CallbackResult:
        """The connection ended, or an attempt failed. By default: reconnect.

        Not after our own `disconnect`, and not for an error in the configuration, which retrying
        cannot mend. `socket.reconnect_counter` is the number of the attempt that failed, 0 for
        one that `connect` made, and for a connection that ended.
        """
        if isinstance(reason, ClosedByClient) or socket.channel_config is None:
            return socket
        if isinstance(reason, ConnectFailed) and not reason.retryable:
            return socket
        return socket.reconnect()

    def handle_join(self, topic: str, response: Any, socket: Socket, /) -> CallbackResult:
        """`topic` is joined."""
        return socket

    def handle_message(
        self, topic: str, event: str, payload: Any, socket: Socket, /
    ) -> CallbackResult:
        """The server pushed or broadcast `event`."""
        return socket

    def handle_presence_join(
        self, topic: str, key: str, current: Any, new: Any, socket: Socket, /
    ) -> CallbackResult:
        """`key` came into `topic`, or has one more meta there; `track_presence` asks for this.

        `current` is its presence before, `None` if it was not there; `new` has the metas that came.
        """
        return socket

    def handle_presence_leave(
        self, topic: str, key: str, current: Any, left: Any, socket: Socket, /
    ) -> CallbackResult:
        """`key` left `topic`, or has a meta less there; `track_presence` asks for this.

        `current` is its presence afterwards, gone if that has no metas; `left` has those that went.
        """
        return socket

    def handle_presence_sync(self, topic: str, socket: Socket, /) -> CallbackResult:
        """`socket.presences(topic)` is up to date, after a state or a diff of the server."""
        return socket

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket, /) -> CallbackResult:
        """A push, whose `Ref` it is, was replied to."""
        return socket

    def handle_push_failed(
        self, ref: Ref, topic: str, event: str, reason: Any, socket: Socket, /
    ) -> CallbackResult:
        """A push that asked for an outcome has failed, for `reason`. By default: log it.

        `PushTimeout`, `ChannelEnded`, `Disconnected`, `BufferOverflow` or `BufferExpired`. With
        the last two it was not sent; with the others nobody knows what the server has made of it.
        """
        if (log := log_of(socket.socket_pid)) is not None:
            log.push_failed(topic, event, reason)
        return socket

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket, /) -> CallbackResult:
        """A join was refused, timed out or crashed. By default: rejoin."""
        return socket.rejoin(topic) if topic in socket.joins else socket

    def handle_leave(self, topic: str, socket: Socket, /) -> CallbackResult:
        """`topic` was left, or closed by the server."""
        return socket


def not_handled(client: Any, callback: str, message: Any) -> NotImplementedError:
    """Return the error for a message that a client has no callback for: with its type, never with
    what it holds, since the error is logged."""
    name, kind = type(client).__name__, type(message).__name__
    return NotImplementedError(f"{name}.{callback} for a message of type {kind}")


CALLBACK_NAMES = ("init", *(name for name in vars(Defaults) if not name.startswith("_")))
