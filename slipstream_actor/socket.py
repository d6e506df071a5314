"""The `Socket`: an immutable token of a connection and its joins, and how events change it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET
from msgspec.structs import replace
from pykka import ActorDeadError, ActorRef

from slipstream_actor import awaiting
from slipstream_actor.commands import (
    CloseConnection,
    CollectGarbage,
    JoinTopic,
    LeaveTopic,
    PushMessage,
)
from slipstream_actor.configuration import Configuration
from slipstream_actor.connection import Connection
from slipstream_actor.errors import (
    NeverJoinedError,
    NotConfiguredError,
    NotConnectedError,
    NotJoinedError,
)
from slipstream_actor.events import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    Event,
    MessageReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.forks import require_here
from slipstream_actor.mailbox import Mailbox, Timer
from slipstream_actor.matching import ANY
from slipstream_actor.message import Message, Ref, Reply
from slipstream_actor.process import current
from slipstream_actor.reasons import ClosedByClient, JoinRefused
from slipstream_actor.shutdown import rest

__all__ = ["Join", "ReconnectDue", "RejoinDue", "Socket", "apply_event", "connect", "new_socket"]

JoinStatus: TypeAlias = Literal["requested", "joined", "closed"]
S = TypeVar("S", bound="Socket")

EMPTY: Mapping[str, Any] = MappingProxyType({})
NO_PARAMS: dict[str, Any] = {}


class Join(msgspec.Struct, frozen=True):
    """What the socket knows of one topic.

    `response` is the server's last answer to the join. `join_ref` is the ref of the join that the
    server knows of, `None` while it has not been asked, and when the join is over.
    """

    topic: str
    params: Any = msgspec.field(default_factory=dict)
    status: JoinStatus = "requested"
    rejoin_counter: int = 0
    response: Any = None
    join_ref: str | None = None

    def __repr__(self) -> str:
        # Params may hold tokens.
        return f"<Join {self.topic!r} status={self.status!r} join_ref={self.join_ref!r}>"


class Link(msgspec.Struct, frozen=True, eq=False):
    """The socket's way to a connection: about to be, being, or having been made."""

    status: Literal["scheduled", "connecting", "connected"]
    connection: Any = None
    timer: Timer | None = None


class ReconnectDue(msgspec.Struct, frozen=True, eq=False):
    """The delay of a `reconnect` is over; void when the socket has another link by now."""

    link: Any


class RejoinDue(msgspec.Struct, frozen=True, eq=False):
    """The delay of a `rejoin` is over; void when the socket has another join by now."""

    join: Join


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

    def __repr__(self) -> str:
        # The configuration holds tokens; assigns are what Slipstream shows too.
        return f"<Socket assigns={dict(self.assigns)!r}>"

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

    def connect(self, uri: Any, **options: Any) -> Socket:
        """Ask for a connection; `ChannelConnected` or `ChannelConnectFailed` follows.

        Keeps the assigns; replaces a connection that there is. The options are in the README's
        table. Raises `ConfigurationError`.
        """
        require_here(self.socket_pid)
        config = Configuration.validate(uri, options)
        self._drop_link()
        joins = MappingProxyType({topic: closed(join) for topic, join in self.joins.items()})
        return replace(self, channel_config=config, joins=joins)._open("connect")

    def reconnect(self) -> Socket:
        """Ask to connect again with the same configuration, after the delay that is its turn.

        The delays are `reconnect_after_msec`'s; a connection starts the count anew. Without effect
        while connected or on the way. Raises `NotConfiguredError`. A plain thread, which has no
        loop to be called back in, connects at its next `await_connect`.
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
        delay = at_or_last(config.reconnect_after_msec, self.reconnect_counter)
        mailbox = self.socket_pid.actor_inbox
        mailbox.discard(link.connection if link is not None else None)
        timer = mailbox.send_after(delay / 1000, None)
        link = Link("scheduled", timer=timer)
        timer.message = ReconnectDue(link)
        joins = MappingProxyType({topic: closed(join) for topic, join in self.joins.items()})
        return self._changed(
            "reconnect", _link=link, joins=joins, reconnect_counter=self.reconnect_counter + 1
        )

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
            return replace(self, _link=None)
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
        `NeverJoinedError`.
        """
        require_here(self.socket_pid)
        join = self.joins.get(require_text("topic", topic))
        if join is None:
            raise NeverJoinedError(f"rejoin: {topic!r} was never joined")
        if join.status != "closed":
            return self
        awaiting.require_owner(self, "rejoin")
        again = Join(
            topic,
            join.params if params is UNSET else params,
            rejoin_counter=join.rejoin_counter + 1,
            response=join.response,
        )
        config = self.channel_config
        delay = at_or_last(config.rejoin_after_msec, join.rejoin_counter) if config else 0
        self.socket_pid.actor_inbox.send_after(delay / 1000, RejoinDue(again))
        return self._changed("rejoin", joins=self._joins_with(again))

    def leave(self, topic: str) -> Socket:
        """Ask to leave `topic`; `TopicLeft` follows. Without effect when it is not joined.

        A join that has not been answered is left too, and one that was only recorded is forgotten.
        """
        require_here(self.socket_pid)
        join = self.joins.get(require_text("topic", topic))
        if join is None or join.status == "closed":
            return self
        joins = self._joins_with(replace(join, status="closed"))
        if join.join_ref is None:
            return self._changed("leave", joins=joins)  # Only the socket knows of it.
        if self._link is not None:
            tell(self._link.connection, LeaveTopic(topic))
        return replace(self, joins=joins)

    def push(
        self, topic: str, event: str, payload: Any = NO_PARAMS, send_timeout: float = 5.0
    ) -> Ref:
        """Push `event` with `payload` (JSON, or `bytes` for a binary frame) and return its `Ref`.

        The reply, if the channel makes one, comes to `handle_reply` or is awaited with
        `await_reply`. `send_timeout` is for the time when the send buffer is bounded: it is not
        yet, and a push never waits.

        Raises `NotConnectedError`, `NotJoinedError`, `SerializerError`.
        """
        require_text("event", event)
        if not self.connected:
            require_here(self.socket_pid)
            rest(self.socket_pid)
            raise not_sent(topic, event)
        join = self.joins.get(topic)
        if join is None or join.status != "joined":
            raise NotJoinedError(f"push: {topic!r} is not joined; {event!r} was not sent")
        return self._push(topic, event, payload, join.join_ref)

    def ping(self, timeout: float | None = 5.0) -> float:
        """Send a heartbeat of our own and return the seconds until its answer.

        Raises `NotConnectedError`, and `AwaitTimeoutError` after `timeout` seconds.
        """
        awaiting.require_owner(self, "ping")
        started = time.monotonic()
        awaiting.await_reply(self, self._push("phoenix", "heartbeat", {}, None), timeout)
        return time.monotonic() - started

    def _push(self, topic: str, event: str, payload: Any, join_ref: str | None) -> Ref:
        connection = self.channel_pid
        if connection is None:
            raise not_sent(topic, event)
        number = self.socket_pid.actor_inbox.next_ref()
        ref = Ref(number, topic, join_ref)
        data = self._encode(Message(join_ref, number, topic, event, payload))
        try:
            connection.tell(PushMessage(topic, event, payload, number, join_ref, data))
        except ActorDeadError:
            rest(self.socket_pid)
            raise not_sent(topic, event) from None
        return ref

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
        over, `NotConnectedError` when the connection is, and `AwaitTimeoutError`.
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

        Raises `NotConnectedError` when the connection ends first, and `AwaitTimeoutError`.
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
        connection = None if config.test_mode else Connection.open(self.socket_pid, config)
        return self._changed(method, _link=Link("connecting", connection))

    def _drop_link(self) -> None:
        """Let go of the connection that there is: what it still says is nobody's."""
        link = self._link
        if link is None:
            return
        if link.timer is not None:
            link.timer.cancel()
        if link.connection is not None:
            tell(link.connection, CloseConnection())
            if current() is self.socket_pid:
                self.socket_pid.actor_inbox.discard(link.connection)

    def _request(self, join: Join, method: str) -> Socket:
        """Ask for a join: now if connected, else it is recorded."""
        connection = self.channel_pid
        inbox = self.socket_pid.actor_inbox
        ref = inbox.next_ref() if connection is not None else None
        if self.channel_config is not None:
            # Encoded again where it is sent; here it is only to fail where the mistake is.
            self._encode(Message(ref, ref, join.topic, "phx_join", join.params))
        if connection is not None and tell(connection, JoinTopic(join.topic, join.params, ref)):
            join = replace(join, join_ref=ref)
        return self._changed(method, joins=self._joins_with(join))

    def _send_requested(self) -> Socket:
        """Send the joins that were recorded before the connection came."""
        socket = self
        for join in self.joins.values():
            if join.status == "requested" and join.join_ref is None and socket.connected:
                socket = socket._request(join, "join")
        return socket

    def _joins_with(self, join: Join) -> Mapping[str, Join]:
        return MappingProxyType({**self.joins, join.topic: join})

    def _encode(self, message: Message) -> str | bytes:
        assert self.channel_config is not None
        assert self.channel_config.serializer is not None
        return self.channel_config.serializer.encode(message)


def new_socket() -> Socket:
    """Return a socket that belongs to the actor or thread that calls, without a connection."""
    return Socket(socket_pid=current(), metadata=MappingProxyType({"socket_id": uuid.uuid4().hex}))


def connect(uri: Any, **options: Any) -> Socket:
    """Return a new socket and ask for its connection: see `Socket.connect`."""
    return new_socket().connect(uri, **options)


def apply_event(socket: Socket, event: Event) -> Socket:
    """Return the socket as `event` leaves it.

    An event of a join that is no longer the topic's changes nothing; one without a join_ref, as a
    test sends it, is taken at its word.
    """
    change = CHANGES.get(type(event))
    return socket if change is None else change(socket, event)


def apply_connected(socket: Socket, event: ChannelConnected) -> Socket:
    link = socket._link
    if link is None or link.status != "connected" or link.connection is not event.channel_pid:
        link = Link("connected", event.channel_pid)
    return replace(socket, _link=link, response_headers=event.response_headers, reconnect_counter=0)


def apply_closed(socket: Socket, _: ChannelClosed | ChannelConnectFailed) -> Socket:
    joins = {topic: closed(join) for topic, join in socket.joins.items()}
    return replace(socket, _link=None, joins=MappingProxyType(joins))


def apply_joined(socket: Socket, event: TopicJoinSucceeded) -> Socket:
    join = socket.joins.get(event.topic) or Join(event.topic)
    if is_stale(join, event.join_ref) or (event.join_ref is not None and join.status == "closed"):
        return socket
    join = replace(
        join,
        status="joined",
        rejoin_counter=0,
        response=event.response,
        join_ref=event.join_ref or join.join_ref,
    )
    return replace(socket, joins=socket._joins_with(join))


def apply_ended(socket: Socket, event: TopicJoinFailed | TopicJoinClosed | TopicLeft) -> Socket:
    join = socket.joins.get(event.topic)
    if join is None or is_stale(join, event.join_ref):
        return socket
    refusal = event.reason if isinstance(event, TopicJoinFailed) else None
    response = refusal.response if isinstance(refusal, JoinRefused) else join.response
    join = replace(join, status="closed", response=response, join_ref=None)
    return replace(socket, joins=socket._joins_with(join))


def as_it_counts(socket: Socket, event: Event, source: Any) -> Event:
    """Return what an event means after what we have asked for meanwhile.

    The end of a connection that we were closing is our own; the end of a join that we were leaving
    is its leave.
    """
    if type(event) in CONNECTION_ENDS:
        if getattr(getattr(source, "actor_inbox", None), "close_requested", False):
            return ChannelClosed(ClosedByClient())
    elif isinstance(event, (TopicJoinClosed, TopicJoinFailed)):
        join = socket.joins.get(event.topic)
        leaving = join is not None and join.status == "closed" and join.join_ref is not None
        if join is not None and leaving and join.join_ref == event.join_ref:
            return TopicLeft(event.topic, event.join_ref)
    return event


CONNECTION_ENDS = (ChannelClosed, ChannelConnectFailed)

# The types of the arguments follow from the keys.
CHANGES: dict[type, Callable[[Socket, Any], Socket]] = {
    ChannelConnected: apply_connected,
    ChannelConnectFailed: apply_closed,
    ChannelClosed: apply_closed,
    TopicJoinSucceeded: apply_joined,
    TopicJoinFailed: apply_ended,
    TopicJoinClosed: apply_ended,
    TopicLeft: apply_ended,
}


def is_stale(join: Join, join_ref: str | None) -> bool:
    """Whether `join_ref` is that of another join than the socket's."""
    return join_ref is not None and join_ref != join.join_ref


def closed(join: Join) -> Join:
    """Return what is left of a join without its connection; what was never sent stays asked for."""
    if join.status == "closed" and join.join_ref is None:
        return join
    if join.status == "requested" and join.join_ref is None:
        return join
    return replace(join, status="closed", join_ref=None)


def at_or_last(delays: tuple[int, ...], turn: int) -> int:
    """Return the delay of a turn; the last one repeats (Slipstream's `retry_time`)."""
    return delays[min(turn, len(delays) - 1)]


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


def not_sent(topic: str, event: str) -> NotConnectedError:
    """Return the error of a push without a connection."""
    return NotConnectedError(f"push: not connected; {event!r} on {topic!r} was not sent")


def require_text(name: str, value: Any) -> str:
    """Return `value` if it is a string; `TypeError` names it otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value
