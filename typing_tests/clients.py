"""The types that users of a client see: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, assert_type

from pykka import ActorProxy, ActorRef

import slipstream_actor
from slipstream_actor import (
    Answer,
    Child,
    ChildSpec,
    ClientActor,
    ClientState,
    Connection,
    ConnectionState,
    Down,
    From,
    Ignore,
    Next,
    Presence,
    Ref,
    Reply,
    Socket,
    Stop,
    Supervisor,
    SupervisorState,
    Timer,
    call,
    cast,
    connect,
    get_state,
    monitor,
    on,
    reply,
    wait,
    wait_until_joined,
    whereis,
)


def shown(key: str, presence: Any) -> str:
    """What a list of presences has of each."""
    return f"{key}: {presence}"


class Chat(ClientActor, restart="transient"):
    """Every callback, as a user who annotates everything writes it."""

    def init(self, uri: str, room: str) -> Socket | Next | Stop | Ignore:
        if not room:
            return Ignore()
        return connect(uri).join(room)

    def terminate(self, reason: Any, socket: Socket) -> None:
        assert_type(socket.assigns["x"], Any)

    def handle_continue(self, term: Any, socket: Socket) -> Socket | None:
        return socket

    def handle_info(self, message: Any, socket: Socket) -> Socket | Next | Stop | None:
        if isinstance(message, Down):
            return Stop(message.reason, socket)
        return Next(socket, timeout=1.5, then="more")

    def handle_cast(self, message: Any, socket: Socket) -> Socket:
        return socket.assign(message=message)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Answer | Next | Stop:
        if message == "later":
            return Next(socket)
        return Answer(socket.joined("rooms:lobby"), socket, timeout=1)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join("rooms:lobby", {"token": "…"}).join("rooms:other", lambda: {"n": 1})

    def handle_disconnect(self, reason: Any, socket: Socket) -> Socket:
        return socket.reconnect()

    def handle_join(self, topic: str, response: Any, socket: Socket) -> Socket:
        ref = socket.push(topic, "event")
        return socket.assign("ref", ref).assign(other=1)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        assert_type(self.send_after(1, "tick"), Timer)
        assert_type(self.send_interval(0.5, "tick"), Timer)

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket) -> None:
        assert_type(ref.topic, str)
        assert_type(ref.join_ref, str | None)
        assert_type(reply.ok, bool)
        assert_type(reply.status, str)

    def handle_push_failed(
        self, ref: Ref, topic: str, event: str, reason: Any, socket: Socket
    ) -> Socket:
        return socket

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Socket:
        return socket.rejoin(topic)

    def handle_leave(self, topic: str, socket: Socket) -> Stop:
        return Stop("normal", socket)

    @on("rooms:*", "new:msg")
    @on("rooms:*", "old:msg")
    def said(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        return socket.track_presence(topic, state_event="state", diff_event="diff")

    def handle_presence_join(
        self, topic: str, key: str, current: Any, new: Any, socket: Socket
    ) -> None:
        assert_type(socket.presences(topic), Mapping[str, Any])

    def handle_presence_leave(
        self, topic: str, key: str, current: Any, left: Any, socket: Socket
    ) -> Socket:
        return socket

    def handle_presence_sync(self, topic: str, socket: Socket) -> Next:
        return Next(socket.assign(online=Presence.list(socket.presences(topic), by=shown)))

    def say(self, body: str) -> Ref:
        """A method of one's own."""
        self.socket = self.socket.assign(said=body)
        return self.socket.push("rooms:lobby", "new:msg", {"body": body})


def talking(ref: ActorRef[Chat], from_: From) -> None:
    """What is done to a client from outside."""
    assert_type(Chat.start("ws://…", room="rooms:lobby", name="chat"), ActorRef[Chat])
    assert_type(ref.proxy(), ActorProxy[Chat])
    assert_type(whereis("chat"), ActorRef[Any] | None)
    assert_type(call(ref, "question", timeout=None), Any)
    assert_type(call("chat", "question"), Any)
    cast(ref, "message")
    reply(from_, 1)
    assert_type(wait(ref), Any)
    wait_until_joined(ref, "rooms:lobby", timeout=1)
    monitor(ref).cancel()
    assert_type(get_state(ref), ClientState)
    assert_type(get_state(ref.proxy()), ClientState)
    assert_type(get_state(ref).connection, ActorRef[Connection] | None)
    assert_type(get_state(get_state(ref).connection), ConnectionState)
    assert_type(get_state(get_state(ref).socket.channel_pid), ConnectionState)
    assert_type(get_state("chat"), ClientState | ConnectionState | SupervisorState)


def supervising() -> None:
    """What is done with a supervisor."""
    spec = ChildSpec(Chat, "ws://…", "rooms:lobby", id="chat", restart="temporary", shutdown=None)
    assert_type(spec.id, Hashable)
    supervisor = Supervisor.start([spec, Chat], strategy="rest_for_one", max_restarts=1)
    assert_type(supervisor, ActorRef[Supervisor])
    assert_type(get_state(supervisor), SupervisorState)
    children = Supervisor.which_children(supervisor)
    for child in children:
        assert_type(child, Child)
        assert_type(child.ref, ActorRef[Any] | None)


def policies(delay: Callable[[int], int]) -> Socket:
    """Options of `connect` are checked when it is called."""
    return connect("ws://…", reconnect_after_msec=delay, params=lambda: {"a": "b"})


def who_is_there(state: Mapping[str, Any], diff: Mapping[str, Any]) -> None:
    """Presence's pure functions."""
    state = Presence.sync_state({}, state, on_join=lambda key, current, new: None)
    assert_type(Presence.sync_diff(state, diff), dict[str, Any])
    assert_type(Presence.list(state), list[Any])
    assert_type(Presence.list(state, by=shown), list[str])


def the_type_of_a_handler_is_kept(chat: Chat, socket: Socket) -> None:
    """`@on` changes nothing for who calls the method."""
    assert_type(chat.said("rooms:lobby", "new:msg", {}, socket), Socket)


def the_package() -> None:
    """It has a version, and still not every name."""
    assert_type(slipstream_actor.__version__, str)
    slipstream_actor.no_such_name  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # noqa: B018
