"""The `Socket`: an immutable token of a connection and its joins, with all that one can ask for.

The methods are documented here; what they do stands, as a rule, elsewhere in this room.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self, Unpack

from msgspec import UNSET

from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.configuration.arguments import require_seconds, require_text
from slipstream_actor.configuration.options import Options
from slipstream_actor.protocol.commands import CollectGarbage
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.matching import ANY, require_text_pattern
from slipstream_actor.protocol.message import OWN_TOPIC, Ref, Reply
from slipstream_actor.protocol.presence import EMPTY, track
from slipstream_actor.socket import (
    awaiting,
    awaiting_replies,
    closing,
    connecting,
    joining,
    messages,
    pushes,
    sending,
)
from slipstream_actor.socket.errors import NotOwnerError
from slipstream_actor.socket.here import await_here, push_here
from slipstream_actor.socket.lineage import Lineage
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.standing import shape_of_socket
from slipstream_actor.socket.state import SocketState, changed, open_channel
from slipstream_actor.socket.taking_back import ask_or_put_back, await_next, await_or_put_back
from slipstream_actor.socket.telemetry import CLIENT

__all__ = ["Socket", "connect", "new_socket"]

NO_PARAMS: dict[str, Any] = {}


class Socket(SocketState, frozen=True):
    """A potential connection to a Phoenix server, as `Slipstream.Socket`.

    It never changes: every method returns a new socket, and a callback returns the one to go on
    with. Made by `new_socket()` or `connect()`; owned by the actor or thread that made it.
    """

    def __repr__(self) -> str:
        return shape_of_socket(self)

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

        Keeps the assigns; replaces a connection that there is. After a former `connect` no topic is
        carried over, be it joined, lost or merely asked for: each is `"closed"`, and what was
        buffered for it fails with `Disconnected(ClosedByClient())`. The options are those of
        `Configuration`. Raises `ConfigurationError`.
        """
        return connecting.connect(self, uri, options)

    def reconnect(self, *, delay: float | None = None) -> Socket:
        """Ask to connect again with the same configuration, after the delay that is its turn.

        The delays are `reconnect_after_msec`'s, each with a random part of `reconnect_jitter_msec`,
        and no shorter than a server's `Retry-After` (`honor_retry_after`); a connection that has
        lasted for `stable_after_msec` starts the count anew. Topics that were joined or asked for
        are joined again when it is there, after `handle_connect`, unless `rejoin_on_reconnect` is
        off. Without effect while connected or on the way; after `disconnect` it is honoured.

        With a `delay` (seconds, 0 or more) it is made then, also in the middle of a backoff, and
        the count is kept; `delay=0` while connected closes the connection and comes back with its
        joins. A plain thread, which has no loop to be called back in, connects at its next
        `await_connect` without a `delay`, and by itself with one.

        Raises `NotConfiguredError`, and `ConfigurationError` for a callable that returns no
        milliseconds.
        """
        return connecting.reconnect(self, delay)

    def disconnect(self) -> Socket:
        """Ask to close the connection; `ChannelClosed` with `ClosedByClient` follows.

        From now on it is not `connected`, pushes raise, and a `join` is recorded for the next
        connection. Also ends an attempt to connect, and cancels a `reconnect` that is scheduled.
        Nobody reconnects by itself afterwards. Without a connection there is nothing to do.
        """
        return connecting.disconnect(self)

    def close(self, timeout: float | None = None) -> None:
        """End whatever connection descends from this socket, and wait for that; for plain threads.

        All sockets that come of one, by `join`, `connect` or any other method, have their
        connections in common: a backoff and a later `connect` end too. Waits up to `timeout`
        seconds (`None`: as long as a close takes, `close_timeout_msec` behind what is still to be
        written; so long too while `params` or an `auth_token` that is a callable runs, behind which
        it connects no more). Closing again does nothing. Raises `AwaitTimeoutError`, and
        `NotOwnerError` in another thread and in a callback, where it is `disconnect`.
        """
        closing.close(self, timeout)

    def __enter__(self) -> Self:
        """Enter a block at whose end whatever descends from this socket is closed: see `close`."""
        closing.require_plain_thread(self, "with")
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        """Close; an exception of the block is never replaced."""
        closing.leave_block(self, error)

    def collect_garbage(self) -> Socket:
        """Release the connection's idle buffers."""
        require_owner(self, "collect_garbage")
        if self._link is not None:
            sending.tell(self._link.connection, CollectGarbage())
        return self

    # topics

    def join(self, topic: str, params: Any = NO_PARAMS, *, timeout: float | None = None) -> Socket:
        """Ask to join `topic`; `TopicJoinSucceeded` or `TopicJoinFailed` follows.

        `params` may be a callable, or a mapping with callables as values: they are called at each
        join, in the owner's thread, and when one raises the join has failed with `ParamsFailed`.
        While not connected the join is recorded as requested, and sent on connect. Without effect
        when the topic is joined or has been asked for. `timeout`: seconds for the server's answer,
        in the place of `join_timeout_msec`. Raises `SerializerError` for params that are no JSON.
        """
        return ask_or_put_back(joining.join, self, topic, params, timeout)

    def rejoin(self, topic: str, params: Any = UNSET, *, delay: float | None = None) -> Socket:
        """Ask to join `topic` again, after the delay that is its turn.

        The delays are `rejoin_after_msec`'s, each with a random part of `rejoin_jitter_msec`; a
        join that has lasted for `stable_after_msec` starts the count anew. With a `delay` (seconds,
        0 or more) it is made then, also in the place of one that is scheduled. Until then the topic
        is `"closed"`, with a `rejoin_in`. Without `params` those of the last join are used, of
        which a `leave` leaves none. Without effect while joined or asked for. Raises
        `NeverJoinedError`, `SerializerError` for params that are no JSON, and `ConfigurationError`
        for a callable that returns no milliseconds.
        """
        return ask_or_put_back(joining.rejoin, self, topic, params, delay)

    def leave(self, topic: str, *, timeout: float | None = None) -> Socket:
        """Ask to leave `topic`; one `handle_leave` follows, before the callbacks of a later join.

        Without effect when it is not joined, asked for or coming back. Its params, which may hold
        tokens, are dropped at once: a later `rejoin` without `params` has none. `timeout`: seconds
        for the server's answer, in the place of `join_timeout_msec`, after which it counts as left.
        """
        return ask_or_put_back(joining.leave, self, topic, timeout)

    def forget(self, topic: str) -> Socket:
        """Drop what is known of a `topic` that is closed, and of who was in it.

        Raises `ValueError` while it is not, and `NeverJoinedError` when nothing is known of it.
        """
        return ask_or_put_back(joining.forget, self, topic)

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
        passed, or as soon as the topic or the connection ends. It is the whole time from this
        call, that in the buffer included; what was not sent by then is never sent. A push with
        neither is fire-and-forget.

        With `buffer` (the option `buffer_pushes` otherwise) a push for a topic that is being
        joined, or is coming back, is kept and sent once, after the join, in order; it asks for an
        outcome too, without a `reply_timeout` within 10 s of being sent. What is kept is bounded by
        `buffer_max_pushes`, `buffer_max_bytes` and `buffer_max_age_msec`.

        Raises `NotConnectedError`, `NotJoinedError`, `SendBufferFullError`, `SerializerError`: the
        push was not sent then.
        """
        if type(topic) is not str or type(event) is not str:
            require_text("topic", topic)
            require_text("event", event)
        if "push" in CLIENT:
            return pushes.push_observed(
                self, topic, event, payload, send_timeout, reply_timeout, buffer
            )
        if reply_timeout is None and buffer is None and event not in pushes.RESERVED:
            require_seconds("send_timeout", send_timeout)
            if (ref := push_here(self, topic, event, payload)) is not None:
                return ref
        return pushes.push(self, topic, event, payload, send_timeout, reply_timeout, buffer)

    def ping(self, timeout: float | None = 5.0) -> float:
        """Send a heartbeat of our own and return the seconds until its answer.

        Raises `NotConnectedError`, and `AwaitTimeoutError` after `timeout` seconds.
        """
        require_owner(self, "ping")
        timeout = require_seconds("timeout", timeout)
        started = time.monotonic()
        connection = open_channel(self)
        if connection is None:
            raise sending.not_sent(self, OWN_TOPIC, "heartbeat")
        ref = Ref(self.socket_pid.actor_inbox.next_ref(), OWN_TOPIC, None)
        sending.send(self, connection, ref, "heartbeat", {}, crowded=True)
        await_or_put_back(awaiting_replies.await_reply, self, ref, timeout)
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
        require_owner(self, "track_presence")
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

    # awaits: see `awaiting`, `awaiting_replies` and `messages`

    def await_connect(self, timeout: float | None = 5.0) -> Socket:
        """Wait for the connection, up to `timeout` seconds (`None`: for ever).

        Raises `ConnectFailedError` and `AwaitTimeoutError`; the latter at once where nobody tries
        to connect: `reconnect()` does, after a failure that of the error's `socket`.
        """
        return await_next(awaiting.await_connect, self, timeout)

    def await_disconnect(self, timeout: float | None = 5.0) -> Socket:
        """Wait until the connection is closed. Raises `AwaitTimeoutError`."""
        return await_next(awaiting.await_disconnect, self, timeout)

    def await_join(self, topic: str, timeout: float | None = 5.0) -> Socket:
        """Wait until `topic` is joined.

        Raises `JoinFailedError`, `NeverJoinedError`, `NotConnectedError`, `AwaitTimeoutError`.
        """
        return await_next(awaiting.await_join, self, topic, timeout)

    def await_leave(self, topic: str, timeout: float | None = 5.0) -> Socket:
        """Wait until `topic` is left; in a plain thread, until its join is over, crashed or not.

        Raises as `await_join` does, but for `JoinFailedError`.
        """
        return await_next(awaiting.await_leave, self, topic, timeout)

    def await_reply(self, ref: Ref | str, timeout: float | None = 5.0) -> Reply:
        """Wait for the reply to a push, of any status.

        A plain thread keeps a reply as long as somebody has the `Ref` that `push` returned.

        Raises `NotJoinedError` (with the `reason`) as soon as the join that the push belongs to is
        over, `NotConnectedError` when the connection is, `SendBufferFullError` when a buffered
        push had to make room, and `AwaitTimeoutError`, also when the push's `reply_timeout` or its
        time in the buffer has passed.
        """
        reply, spent = await_here(self, ref, timeout)
        if reply is not None:
            return reply
        return await_or_put_back(awaiting_replies.await_reply, self, ref, timeout, spent)

    def await_message(
        self,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        timeout: float | None = 5.0,
    ) -> MessageReceived:
        """Wait for a message whose topic, event and payload match (see `matching.matches`).

        Passes over what `track_presence` takes. Raises `NotConnectedError` when the connection
        ends first, `NotJoinedError` when the `topic` does, `AwaitTimeoutError`, and `TypeError` for
        what no topic or event can match.
        """
        return await_or_put_back(messages.await_message, self, topic, event, payload, timeout)

    def messages(
        self,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        timeout: float | None = None,
    ) -> Iterator[MessageReceived]:
        """Iterate over what `await_message` would return, one after the other; for plain threads.

        `timeout` is seconds for each message, and ends the iteration (`None`: waits for ever). The
        end of the topic or of the connection raises as `await_message` does.
        """
        require_owner(self, "messages")
        require_text_pattern("topic", topic)
        require_text_pattern("event", event)
        require_seconds("timeout", timeout)
        return messages.messages(self, topic, event, payload, timeout)


def new_socket() -> Socket:
    """Return a socket that belongs to the actor or thread that calls, without a connection."""
    owner = current()
    lineage = Lineage() if isinstance(owner, ThreadRef) else None
    metadata = MappingProxyType({"socket_id": uuid.uuid4().hex})
    return Socket(socket_pid=owner, metadata=metadata, _lineage=lineage)


def connect(uri: Any, **options: Unpack[Options]) -> Socket:
    """Return a new socket and ask for its connection: see `Socket.connect`."""
    return new_socket().connect(uri, **options)
