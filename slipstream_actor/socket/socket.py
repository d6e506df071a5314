"""The `Socket`: an immutable token of a connection and its joins, with all that one can ask for.

Each method checks nothing and does nothing by itself: it is documented here, and done elsewhere in
this room.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Unpack

from msgspec import UNSET

from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.configuration.arguments import require_seconds, require_text
from slipstream_actor.configuration.options import Options
from slipstream_actor.protocol.commands import CollectGarbage
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Ref, Reply
from slipstream_actor.protocol.presence import EMPTY, track
from slipstream_actor.socket import awaiting, connecting, joining, pushes, sending
from slipstream_actor.socket.errors import NotOwnerError
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.state import SocketState, changed, commit
from slipstream_actor.socket.telemetry import CLIENT

__all__ = ["Socket", "connect", "new_socket"]

NO_PARAMS: dict[str, Any] = {}


class Socket(SocketState, frozen=True):
    """A potential connection to a Phoenix server, as `Slipstream.Socket`.

    It never changes: every method returns a new socket, and a callback returns the one to go on
    with. Made by `new_socket()` or `connect()`; owned by the actor or thread that made it.
    """

    # assigns

    def assign(
        self, key: str | Mapping[str, Any] = EMPTY, value: Any = UNSET, /, **assigns: Any
    ) -> Socket:
        """Return the socket with `key` set to `value`, or with every keyword (or mapping) set."""
        if isinstance(key, Mapping):
            added = {**key, **assigns}
        elif value is UNSET:
            raise TypeError("assign takes a key and a value, or keywords")
        else:
            added = {key: value, **assigns}
        return changed(self, "assign", assigns=MappingProxyType({**self.assigns, **added}))

    def update(self, key: str, function: Callable[[Any], Any]) -> Socket:
        """Return the socket with `key` set to `function(old value)`; `KeyError` if absent."""
        return changed(
            self,
            "update",
            assigns=MappingProxyType({**self.assigns, key: function(self.assigns[key])}),
        )

    # the connection

    def connect(self, uri: Any, **options: Unpack[Options]) -> Socket:
        """Ask for a connection; `ChannelConnected` or `ChannelConnectFailed` follows.

        Keeps the assigns; replaces a connection that there is. The options are those of
        `Configuration`. Raises `ConfigurationError`.
        """
        return connecting.connect(self, uri, options)

    def reconnect(self) -> Socket:
        """Ask to connect again with the same configuration, after the delay that is its turn.

        The delays are `reconnect_after_msec`'s, each with a random part of `reconnect_jitter_msec`;
        a connection starts the count anew. Topics that were joined or asked for are joined again
        when it is there, after `handle_connect`, unless `rejoin_on_reconnect` is off. Without
        effect while connected or on the way. Raises `NotConfiguredError`, and `ConfigurationError`
        for a callable that returns no milliseconds. A plain thread, which has no loop to be called
        back in, connects at its next `await_connect`.
        """
        return connecting.reconnect(self)

    def disconnect(self) -> Socket:
        """Ask to close the connection; `ChannelClosed` with `ClosedByClient` follows.

        Also ends an attempt to connect, and cancels a `reconnect` that is scheduled. Nobody
        reconnects by itself afterwards. Without a connection there is nothing to do.
        """
        return connecting.disconnect(self)

    def collect_garbage(self) -> Socket:
        """Release the connection's idle buffers."""
        require_here(self.socket_pid)
        if self._link is not None:
            connecting.tell(self._link.connection, CollectGarbage())
        return self

    # topics

    def join(self, topic: str, params: Any = NO_PARAMS) -> Socket:
        """Ask to join `topic`; `TopicJoinSucceeded` or `TopicJoinFailed` follows.

        `params` may be a callable, or a mapping with callables as values: they are called at each
        join, in the owner's thread, and when one raises the join has failed with `ParamsFailed`.
        While not connected the join is recorded as requested, and sent on connect. Without effect
        when the topic is joined or has been asked for. Raises `SerializerError` for params that
        are no JSON.
        """
        return joining.join(self, topic, params)

    def rejoin(self, topic: str, params: Any = UNSET) -> Socket:
        """Ask to join `topic` again, after the delay that is its turn.

        The delays are `rejoin_after_msec`'s; a join starts the count anew. Without `params` those
        of the last join are used. Without effect while joined or asked for. Raises
        `NeverJoinedError`, and `ConfigurationError` for a callable that returns no milliseconds.
        """
        return joining.rejoin(self, topic, params)

    def leave(self, topic: str) -> Socket:
        """Ask to leave `topic`; `TopicLeft` follows. Without effect when it is not joined.

        A join that has not been answered is left too; one that was only recorded, or that waits
        for the next connection, is forgotten.
        """
        return joining.leave(self, topic)

    def push(
        self,
        topic: str,
        event: str,
        payload: Any = NO_PARAMS,
        send_timeout: float | None = 5.0,
        *,
        reply_timeout: float | None = None,
        buffer: bool | None = None,
    ) -> Ref:
        """Push `event` with `payload` (JSON, or `bytes` for a binary frame) and return its `Ref`.

        The reply, if the channel makes one, comes to `handle_reply` or is awaited with
        `await_reply`. Waits, up to `send_timeout` seconds (`None`: for ever), while more than
        `max_send_buffer_bytes` wait to be sent, and for nothing else.

        With `reply_timeout` (seconds; the option `reply_timeout_msec` otherwise) the push ends in
        exactly one of a reply, an error raised here, or `handle_push_failed`: when that time has
        passed, or as soon as the topic or the connection ends. A push with neither is
        fire-and-forget.

        With `buffer` (the option `buffer_pushes` otherwise) a push for a topic that is being
        joined, or is coming back, is kept and sent once, after the join, in order; it asks for an
        outcome too, by default within 10 s of being sent. What is kept is bounded by
        `buffer_max_pushes`, `buffer_max_bytes` and `buffer_max_age_msec`.

        Raises `NotConnectedError`, `NotJoinedError`, `SendBufferFullError`, `SerializerError`: the
        push was not sent then.
        """
        require_text("topic", topic)
        require_text("event", event)
        push = pushes.push_observed if "push" in CLIENT else pushes.push
        return push(self, topic, event, payload, send_timeout, reply_timeout, buffer)

    def ping(self, timeout: float | None = 5.0) -> float:
        """Send a heartbeat of our own and return the seconds until its answer.

        Raises `NotConnectedError`, and `AwaitTimeoutError` after `timeout` seconds.
        """
        require_owner(self, "ping")
        timeout = require_seconds("timeout", timeout)
        started = time.monotonic()
        connection = self.channel_pid
        if connection is None:
            raise sending.not_sent(self, "phoenix", "heartbeat")
        ref = Ref(self.socket_pid.actor_inbox.next_ref(), "phoenix", None)
        sending.send(self, connection, ref, "heartbeat", {}, crowded=True)
        awaiting.await_reply(self, ref, timeout)
        return time.monotonic() - started

    # presence: see `presence`

    def track_presence(
        self,
        topic: str,
        state_event: str = "presence_state",
        diff_event: str = "presence_diff",
    ) -> Socket:
        """Keep who is in `topic`, as phoenix.js's `Presence` does; ask before the topic is joined.

        The two events then lead to `handle_presence_join`, `handle_presence_leave` and
        `handle_presence_sync`, and neither to `handle_message` nor to `await_message`. Outlives
        the connection. Without effect when the topic is tracked by these events already; with
        others it begins anew. Raises `NotOwnerError` for the socket of a plain thread, which has
        no callbacks: there, give what `await_message` returns to `Presence.sync_state`.
        """
        require_here(self.socket_pid)
        if isinstance(self.socket_pid, ThreadRef):
            raise NotOwnerError(
                "track_presence: a plain thread has no callbacks; give the payload of"
                f" await_message({topic!r}, {state_event!r}) to Presence.sync_state"
            )
        events = require_text("state_event", state_event), require_text("diff_event", diff_event)
        tracked = track(self._presences, require_text("topic", topic), *events)
        return (
            self
            if tracked is self._presences
            else changed(self, "track_presence", _presences=tracked)
        )

    # awaits: see `awaiting`

    def await_connect(self, timeout: float | None = 5.0) -> Socket:
        """Wait for the connection, up to `timeout` seconds (`None`: for ever).

        Raises `ConnectFailedError` and `AwaitTimeoutError`.
        """
        return commit(self, "await_connect", awaiting.await_connect(self, timeout))

    def await_disconnect(self, timeout: float | None = 5.0) -> Socket:
        """Wait until the connection is closed. Raises `AwaitTimeoutError`."""
        return commit(self, "await_disconnect", awaiting.await_disconnect(self, timeout))

    def await_join(self, topic: str, timeout: float | None = 5.0) -> Socket:
        """Wait until `topic` is joined.

        Raises `JoinFailedError`, `NeverJoinedError`, `NotConnectedError`, `AwaitTimeoutError`.
        """
        return commit(self, "await_join", awaiting.await_join(self, topic, timeout))

    def await_leave(self, topic: str, timeout: float | None = 5.0) -> Socket:
        """Wait until `topic` is left. Raises as `await_join` does, but for `JoinFailedError`."""
        return commit(self, "await_leave", awaiting.await_leave(self, topic, timeout))

    def await_reply(self, ref: Ref | str, timeout: float | None = 5.0) -> Reply:
        """Wait for the reply to a push, of any status.

        Raises `NotJoinedError` (with the `reason`) as soon as the join that the push belongs to is
        over, `NotConnectedError` when the connection is, `SendBufferFullError` when a buffered
        push had to make room, and `AwaitTimeoutError`, also when the push's `reply_timeout` or its
        time in the buffer has passed.
        """
        return awaiting.await_reply(self, ref, timeout)

    def await_message(
        self,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        timeout: float | None = 5.0,
    ) -> MessageReceived:
        """Wait for a message whose topic, event and payload match (see `matching.matches`).

        Passes over what `track_presence` takes. Raises `NotConnectedError` when the connection
        ends first, and `AwaitTimeoutError`.
        """
        return awaiting.await_message(self, topic, event, payload, timeout)


def new_socket() -> Socket:
    """Return a socket that belongs to the actor or thread that calls, without a connection."""
    return Socket(socket_pid=current(), metadata=MappingProxyType({"socket_id": uuid.uuid4().hex}))


def connect(uri: Any, **options: Unpack[Options]) -> Socket:
    """Return a new socket and ask for its connection: see `Socket.connect`."""
    return new_socket().connect(uri, **options)
