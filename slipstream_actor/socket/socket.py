"""The `Socket`: an immutable token of a connection and its joins, and how events change it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, Unpack

import msgspec
from msgspec import UNSET
from msgspec.structs import replace
from pykka import ActorDeadError, ActorRef

from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.inbox import Mailbox
from slipstream_actor.actors.process import Hold, ThreadRef, current
from slipstream_actor.configuration.arguments import require_text
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.options import Options
from slipstream_actor.configuration.params import evaluated, has_callables
from slipstream_actor.configuration.retry import delay
from slipstream_actor.connection.connection import Connection
from slipstream_actor.errors import NeverJoinedError, NotConfiguredError, NotOwnerError
from slipstream_actor.protocol.commands import (
    CloseConnection,
    CollectGarbage,
    JoinTopic,
    LeaveTopic,
)
from slipstream_actor.protocol.events import ChannelClosed, MessageReceived, TopicJoinFailed
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Message, Ref, Reply, no_fields
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient, ParamsFailed
from slipstream_actor.socket import awaiting, pushing
from slipstream_actor.socket.presences import Tracked, track
from slipstream_actor.socket.state import (
    Join,
    JoinStatus,
    Link,
    ReconnectDue,
    RejoinDue,
    without_connection,
)
from slipstream_actor.socket.telemetry import (
    CLIENT,
    Begun,
    begin_connect,
    begin_join,
    conclude,
    reconnecting,
)

__all__ = ["Socket", "connect", "new_socket", "tell"]

S = TypeVar("S", bound="Socket")

EMPTY: Mapping[str, Any] = MappingProxyType({})
NOTHING_BEGUN: Mapping[str | None, Begun] = MappingProxyType({})
NO_PARAMS: dict[str, Any] = {}


class Socket(msgspec.Struct, frozen=True):
    """A potential connection to a Phoenix server, as `Slipstream.Socket`.

    It never changes: every method returns a new socket, and a callback returns the one to go on
    with. Made by `new_socket()` or `connect()`; owned by the actor or thread that made it.
    """

    socket_pid: Any
    assigns: Mapping[str, Any] = EMPTY
    channel_config: Configuration | None = None
    joins: Mapping[str, Join] = EMPTY
    metadata: Mapping[str, Any] = EMPTY
    reconnect_counter: int = 0
    response_headers: Mapping[str, str] | None = None
    _link: Link | None = None
    # Topics that the last connection had, and that the next one is to join again.
    _rejoins: frozenset[str] = frozenset()
    # A plain dictionary, never changed: each message looks into it.
    _presences: dict[str, Tracked] = {}
    # What telemetry tells of when it ends: the attempt to connect (`None`), joins by topic.
    _begun: Mapping[str | None, Begun] = NOTHING_BEGUN

    def __repr__(self) -> str:
        # The configuration holds tokens; assigns are what Slipstream shows too.
        return f"<Socket assigns={dict(self.assigns)!r}>"

    __rich_repr__ = no_fields

    # what it knows

    @property
    def channel_pid(self) -> ActorRef[Connection] | None:
        """The connection's `ActorRef`; `None` when there is none that is connected and alive."""
        link = self._link
        if link is None or link.status != "connected" or link.connection is None:
            return None
        return link.connection if link.connection.is_alive() else None

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self.channel_pid is not None

    def join_status(self, topic: str) -> JoinStatus | None:
        """Return `"requested"`, `"joined"`, `"closed"`, or `None` if it was never asked for."""
        join = self.joins.get(topic)
        return join.status if join is not None else None

    def joined(self, topic: str) -> bool:
        """Whether `topic` is joined."""
        return self.join_status(topic) == "joined"

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
        return self._changed("assign", assigns=MappingProxyType({**self.assigns, **added}))

    def update(self, key: str, function: Callable[[Any], Any]) -> Socket:
        """Return the socket with `key` set to `function(old value)`; `KeyError` if absent."""
        return self._changed(
            "update", assigns=MappingProxyType({**self.assigns, key: function(self.assigns[key])})
        )

    # the connection

    def connect(self, uri: Any, **options: Unpack[Options]) -> Socket:
        """Ask for a connection; `ChannelConnected` or `ChannelConnectFailed` follows.

        Keeps the assigns; replaces a connection that there is. The options are those of
        `Configuration`. Raises `ConfigurationError`.
        """
        require_here(self.socket_pid)
        config = Configuration.validate(uri, options)
        self._drop_link()
        fresh = replace(without_connection(self), channel_config=config, _rejoins=frozenset())
        pushing.give_up_buffered(fresh, ChannelEnded("left"))
        return fresh._open("connect")

    def reconnect(self) -> Socket:
        """Ask to connect again with the same configuration, after the delay that is its turn.

        The delays are `reconnect_after_msec`'s, each with a random part of `reconnect_jitter_msec`;
        a connection starts the count anew. Topics that were joined or asked for are joined again
        when it is there, after `handle_connect`, unless `rejoin_on_reconnect` is off. Without
        effect while connected or on the way. Raises `NotConfiguredError`, and `ConfigurationError`
        for a callable that returns no milliseconds. A plain thread, which has no loop to be called
        back in, connects at its next `await_connect`.
        """
        require_here(self.socket_pid)
        config = self.channel_config
        if config is None:
            raise NotConfiguredError("reconnect: the socket has never been connected")
        link = self._link
        if self.connected or (link is not None and link.status == "connecting" and alive(link)):
            return self
        if link is not None and link.timer is not None and not link.timer.cancelled:
            return self
        awaiting.require_owner(self, "reconnect")
        attempt = self.reconnect_counter + 1
        seconds = delay(
            "reconnect_after_msec",
            config.reconnect_after_msec,
            attempt,
            config.reconnect_jitter_msec,
        )
        if link is not None:
            self._let_go(link.connection)
        timer = self.socket_pid.actor_inbox.send_after(seconds, None)
        link = Link("scheduled", timer=timer)
        timer.message = ReconnectDue(link)
        socket = replace(without_connection(self), _link=link, reconnect_counter=attempt)
        if socket._begun:
            socket = conclude(socket, ChannelClosed(ClosedByClient()))
        reconnecting(socket, attempt, seconds)
        return self._commit("reconnect", socket)

    def disconnect(self) -> Socket:
        """Ask to close the connection; `ChannelClosed` with `ClosedByClient` follows.

        Also ends an attempt to connect, and cancels a `reconnect` that is scheduled. Nobody
        reconnects by itself afterwards. Without a connection there is nothing to do.
        """
        require_here(self.socket_pid)
        link = self._link
        if link is None:
            return self
        if link.timer is not None:
            link.timer.cancel()
            return self._changed("disconnect", _link=None)
        if isinstance(inbox := getattr(link.connection, "actor_inbox", None), Mailbox):
            inbox.close_requested = True
        tell(link.connection, CloseConnection())
        return self

    def collect_garbage(self) -> Socket:
        """Release the connection's idle buffers."""
        require_here(self.socket_pid)
        if self._link is not None:
            tell(self._link.connection, CollectGarbage())
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
        require_here(self.socket_pid)
        join = self.joins.get(require_text("topic", topic))
        if join is not None and join.status != "closed" and join.join_ref is not None:
            return self
        counter = join.rejoin_counter if join is not None else 0
        return self._request(Join(topic, params, rejoin_counter=counter), "join")

    def rejoin(self, topic: str, params: Any = UNSET) -> Socket:
        """Ask to join `topic` again, after the delay that is its turn.

        The delays are `rejoin_after_msec`'s; a join starts the count anew. Without `params` those
        of the last join are used. Without effect while joined or asked for. Raises
        `NeverJoinedError`, and `ConfigurationError` for a callable that returns no milliseconds.
        """
        require_here(self.socket_pid)
        join = self.joins.get(require_text("topic", topic))
        if join is None:
            raise NeverJoinedError(f"rejoin: {topic!r} was never joined")
        if join.status != "closed":
            return self
        awaiting.require_owner(self, "rejoin")
        attempt = join.rejoin_counter + 1
        again = Join(
            topic,
            join.params if params is UNSET else params,
            rejoin_counter=attempt,
            response=join.response,
        )
        config = self.channel_config
        seconds = delay("rejoin_after_msec", config.rejoin_after_msec, attempt) if config else 0.0
        self.socket_pid.actor_inbox.send_after(seconds, RejoinDue(again))
        return self._changed("rejoin", joins=self._joins_with(again))

    def leave(self, topic: str) -> Socket:
        """Ask to leave `topic`; `TopicLeft` follows. Without effect when it is not joined.

        A join that has not been answered is left too; one that was only recorded, or that waits
        for the next connection, is forgotten.
        """
        require_here(self.socket_pid)
        join = self.joins.get(require_text("topic", topic))
        if join is None or not self._is_wanted(topic):
            return self
        joins = self._joins_with(replace(join, status="closed"))
        left = replace(self, joins=joins, _rejoins=self._rejoins - {topic})
        left = conclude(left)
        pushing.give_up_buffered(left, ChannelEnded("left"))
        if join.join_ref is None:
            return self._commit("leave", left)  # Only the socket knows of it.
        if self._link is not None:
            tell(self._link.connection, LeaveTopic(topic))
        return left

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
        require_text("event", event)
        push = pushing.push_observed if "push" in CLIENT else pushing.push
        return push(self, topic, event, payload, send_timeout, reply_timeout, buffer)

    def ping(self, timeout: float | None = 5.0) -> float:
        """Send a heartbeat of our own and return the seconds until its answer.

        Raises `NotConnectedError`, and `AwaitTimeoutError` after `timeout` seconds.
        """
        awaiting.require_owner(self, "ping")
        started = time.monotonic()
        connection = self.channel_pid
        if connection is None:
            raise pushing.not_sent(self, "phoenix", "heartbeat")
        ref = Ref(self.socket_pid.actor_inbox.next_ref(), "phoenix", None)
        pushing.send(self, connection, ref, "heartbeat", {}, crowded=True)
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
            else self._changed("track_presence", _presences=tracked)
        )

    def presences(self, topic: str) -> Mapping[str, Any]:
        """Return who is in `topic`: a read-only mapping of keys to presences.

        Empty before the first state has come, and when the topic is not tracked; while it is not
        joined, what it was last.
        """
        tracked = self._presences.get(topic)
        return tracked.presences if tracked is not None else EMPTY

    # awaits: see `awaiting`

    def await_connect(self, timeout: float | None = 5.0) -> Socket:
        """Wait for the connection, up to `timeout` seconds (`None`: for ever).

        Raises `ConnectFailedError` and `AwaitTimeoutError`.
        """
        return self._commit("await_connect", awaiting.await_connect(self, timeout))

    def await_disconnect(self, timeout: float | None = 5.0) -> Socket:
        """Wait until the connection is closed. Raises `AwaitTimeoutError`."""
        return self._commit("await_disconnect", awaiting.await_disconnect(self, timeout))

    def await_join(self, topic: str, timeout: float | None = 5.0) -> Socket:
        """Wait until `topic` is joined.

        Raises `JoinFailedError`, `NeverJoinedError`, `NotConnectedError`, `AwaitTimeoutError`.
        """
        return self._commit("await_join", awaiting.await_join(self, topic, timeout))

    def await_leave(self, topic: str, timeout: float | None = 5.0) -> Socket:
        """Wait until `topic` is left. Raises as `await_join` does, but for `JoinFailedError`."""
        return self._commit("await_leave", awaiting.await_leave(self, topic, timeout))

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

    # for the package

    def _changed(self, method: str, **changes: Any) -> Socket:
        return self._commit(method, replace(self, **changes))

    def _commit(self, method: str, socket: Socket) -> Socket:
        """Note that a callback which returns nothing now would lose `socket`."""
        if socket is not self:
            owner = current()
            if owner is self.socket_pid:
                owner.actor_inbox.uncommitted = method
        return socket

    def _open(self, method: str) -> Socket:
        """Start a connection for this socket, now."""
        config = self.channel_config
        assert config is not None
        if current() is self.socket_pid:
            events = isinstance(self.socket_pid, ThreadRef)
            self._fail_over(self.socket_pid.actor_inbox.discard_former(events=events))
        socket = begin_connect(self)
        connection = None if config.test_mode else Connection.open(self.socket_pid, config)
        hold = None
        if isinstance(self.socket_pid, ThreadRef) and connection is not None:
            hold = Hold(self.socket_pid, connection)
        link = Link("connecting", connection, hold=hold)
        return socket._changed(method, _link=link)

    def _drop_link(self) -> None:
        """Let go of the connection that there is: what it still says is nobody's."""
        link = self._link
        if link is None:
            return
        if link.timer is not None:
            link.timer.cancel()
        if link.connection is not None:
            tell(link.connection, CloseConnection())
            self._let_go(link.connection)

    def _let_go(self, connection: Any) -> None:
        """Drop what a connection has said, and fail what it has not answered."""
        if connection is None:
            return
        if current() is self.socket_pid:
            events = isinstance(self.socket_pid, ThreadRef)
            self._fail_over(self.socket_pid.actor_inbox.discard(connection, events=events))
        self._fail_over([connection])

    def _fail_over(self, connections: list[Any]) -> None:
        for connection in connections:
            pushing.fail_all_over(self.socket_pid, connection, ClosedByClient())

    def _request(self, join: Join, method: str) -> Socket:
        """Ask for a join: now if connected, else it is recorded."""
        connection = self.channel_pid
        inbox = self.socket_pid.actor_inbox
        ref = inbox.next_ref() if connection is not None else None
        params = join.params
        if has_callables(params):
            if connection is None:
                return begin_join(self, join)._changed(method, joins=self._joins_with(join))
            try:
                params = evaluated(params)
                self._encode(Message(ref, ref, join.topic, "phx_join", params))
            except Exception as error:
                socket = begin_join(self, join)
                failed = TopicJoinFailed(join.topic, ParamsFailed(error), ref)
                inbox.tell(Burst(connection, [failed]))
                join = replace(join, join_ref=ref)
                return socket._changed(method, joins=self._joins_with(join))
        elif self.channel_config is not None:
            # Encoded again where it is sent; here it is only to fail where the mistake is.
            self._encode(Message(ref, ref, join.topic, "phx_join", params))
        socket = begin_join(self, join)
        if connection is not None and tell(connection, JoinTopic(join.topic, params, ref)):
            join = replace(join, join_ref=ref)
        return socket._changed(method, joins=self._joins_with(join))

    def _send_requested(self) -> Socket:
        """Send the joins that were recorded before the connection came, and those that the last
        one had."""
        socket = self
        if not socket.connected:
            return socket
        for join in self.joins.values():
            if join.status == "requested" and join.join_ref is None:
                socket = socket._request(join, "join")
            elif join.status == "closed" and join.topic in self._rejoins:
                socket = socket._request(replace(join, status="requested"), "rejoin")
        return replace(socket, _rejoins=frozenset()) if socket._rejoins else socket

    def _is_wanted(self, topic: str) -> bool:
        """Whether `topic` is joined, being joined, or to be joined on the next connection."""
        join = self.joins.get(topic)
        return join is not None and (join.status != "closed" or topic in self._rejoins)

    def _joins_with(self, join: Join) -> Mapping[str, Join]:
        return MappingProxyType({**self.joins, join.topic: join})

    def _encode(self, message: Message) -> str | bytes:
        assert self.channel_config is not None
        assert self.channel_config.serializer is not None
        return self.channel_config.serializer.encode(message)


def new_socket() -> Socket:
    """Return a socket that belongs to the actor or thread that calls, without a connection."""
    return Socket(socket_pid=current(), metadata=MappingProxyType({"socket_id": uuid.uuid4().hex}))


def connect(uri: Any, **options: Unpack[Options]) -> Socket:
    """Return a new socket and ask for its connection: see `Socket.connect`."""
    return new_socket().connect(uri, **options)


def alive(link: Link) -> bool:
    """Whether the connection of a link is alive, or there is none to be, as in test mode."""
    return link.connection is None or link.connection.is_alive()


def tell(connection: Any, command: Any) -> bool:
    """Send a command to a connection; `False` when there is none that lives."""
    try:
        connection.tell(command)
    except (ActorDeadError, AttributeError):
        return False
    return True
