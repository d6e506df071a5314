"""A client whose callbacks tell a model, and are checked by it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from slipstream_actor import (
    ClientActor,
    NeverJoinedError,
    NotConfiguredError,
    NotConnectedError,
    NotJoinedError,
    SendBufferFullError,
    Socket,
)
from slipstream_actor.protocol.reasons import (
    BufferExpired,
    BufferOverflow,
    ChannelCrashed,
    ClosedByClient,
    ConnectionCrashed,
    JoinRefused,
    JoinTimeout,
)
from tests.support.model import Push

if TYPE_CHECKING:
    from tests.client.test_state_machine import ClientMachine

__all__ = ["OPTIONS", "Boom", "Client"]

URI = "ws://server.invalid/socket/websocket"
OTHER = "ws://other.invalid/socket/websocket"
OPTIONS: dict[str, Any] = {
    "heartbeat_interval_msec": 10_000,
    "reconnect_jitter_msec": 1000,
    "high_watermark": 5,
    "low_watermark": 2,
    "max_send_buffer_bytes": 300,
    "buffer_max_pushes": 3,
}
DELAYS = {"now": 0.0, "later": 3.0}
PUSH_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "asked": {"reply_timeout": 7.0},
    "buffered": {"buffer": True},
}


class Boom(Exception):
    """What a user's code raises."""


def held(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what a callback raises: in an actor an assertion is a crash like any other."""

    @functools.wraps(callback)
    def hold(client: Client, *arguments: Any) -> Any:
        try:
            return callback(client, *arguments)
        except Exception as error:
            if not isinstance(error, Boom):
                client.machine.defects.append(error)
            raise

    return hold


class Client(ClientActor):
    """Does what it is told, tells the model, and has what a callback gets checked by it."""

    def init(self, machine: ClientMachine) -> Socket:
        self.machine = machine
        machine.client = self
        self.model = machine.model
        return self.socket

    def terminate(self, reason: Any, socket: Socket) -> None:
        # What is raised outside of callbacks: by the package, or by a look at what it sends.
        if isinstance(reason, Exception) and not isinstance(reason, Boom):
            self.machine.defects.append(reason)

    @held
    def handle_info(self, message: Any, socket: Socket) -> Socket:
        return self.perform(message, socket)

    @held
    def handle_connect(self, socket: Socket) -> Any:
        self.model.connected()
        return super().handle_connect(self.scripted("connect", socket))

    @held
    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        assert not isinstance(reason, ConnectionCrashed)
        self.model.disconnected(by_client=isinstance(reason, ClosedByClient))
        try:
            socket = self.scripted("disconnect", socket)
        finally:
            self.model.replacing = False
        if not isinstance(reason, ClosedByClient):
            self.model.reconnect()
        return super().handle_disconnect(reason, socket)

    @held
    def handle_join(self, topic: str, response: Any, socket: Socket) -> Any:
        self.model.joined(topic, response)
        assert socket.joined(topic)
        return super().handle_join(topic, response, self.scripted("join", socket))

    @held
    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        self.model.heard(topic, payload)
        return super().handle_message(topic, event, payload, self.scripted("message", socket))

    @held
    def handle_reply(self, ref: Any, reply: Any, socket: Socket) -> Any:
        self.model.replied(ref, reply)
        return super().handle_reply(ref, reply, self.scripted("reply", socket))

    @held
    def handle_push_failed(
        self, ref: Any, topic: str, event: str, reason: Any, socket: Socket
    ) -> Any:
        unsent = isinstance(reason, (BufferExpired, BufferOverflow))
        self.model.push_failed(ref, topic, never_sent=unsent)
        return super().handle_push_failed(ref, topic, event, reason, socket)

    @held
    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        end: Any = None
        if isinstance(reason, JoinRefused):
            end = reason.response
        elif isinstance(reason, ChannelCrashed):
            end = reason.payload
        for_good = end is not None and end["reason"] == "for good"
        self.model.topic_closed(topic, end, timed_out=isinstance(reason, JoinTimeout))
        assert socket.join_status(topic) == "closed"
        socket = self.scripted("topic_close", socket)
        if for_good or topic not in self.model.topics:
            return socket
        self.model.rejoin(topic, closed=socket.join_status(topic) == "closed")
        return super().handle_topic_close(topic, reason, socket)

    @held
    def handle_leave(self, topic: str, socket: Socket) -> Any:
        self.model.left(topic)
        return super().handle_leave(topic, self.scripted("leave", socket))

    def scripted(self, callback: str, socket: Socket) -> Socket:
        """Do what a rule wants to be done in the next callback of this name."""
        actions = self.machine.script.pop(callback, [])
        for action in actions:
            socket = self.perform(action, socket)
        return socket

    # what it is told to do

    def perform(self, action: Any, socket: Socket) -> Socket:
        name, *arguments = action
        done: Socket = getattr(self, f"do_{name}")(socket, *arguments)
        return done

    def do_connect(self, socket: Socket, uri: str) -> Socket:
        self.model.connect(uri)
        return socket.connect(uri, **OPTIONS)

    def do_reconnect(self, socket: Socket, delay: float | None) -> Socket:
        is_configured = self.model.reconnect(delay)
        try:
            again = socket.reconnect(delay=delay)
        except NotConfiguredError:
            assert not is_configured
            return socket
        assert is_configured
        if self.model.link == "scheduled" and not self.model.replacing:
            assert again.status == "waiting"
            assert delay is None or again.reconnect_in == pytest.approx(delay)
        return again

    def do_forget(self, socket: Socket, topic: str) -> Socket:
        if topic not in self.model.topics:
            return socket
        try:
            socket = socket.forget(topic)
        except ValueError:
            asked_for = self.model.topics[topic].state in ("asked", "recorded")
            assert asked_for or self.model.owed_leaves[topic]
            return socket
        self.model.forget(topic)
        return socket

    def do_disconnect(self, socket: Socket) -> Socket:
        self.model.disconnect()
        return socket.disconnect()

    def do_join(
        self, socket: Socket, topic: str, kind: str, timeout: float | None = None
    ) -> Socket:
        value = self.model.join(topic, timeout)
        return socket.join(topic, self.params(topic, value, kind), timeout=timeout)

    def do_rejoin(self, socket: Socket, topic: str, kind: str) -> Socket:
        if topic not in self.model.topics:
            try:
                socket.rejoin(topic)
            except NeverJoinedError:
                return socket
            raise AssertionError("a topic that was never joined")
        closed = socket.join_status(topic) == "closed"
        if kind == "same":
            self.model.rejoin(topic, closed=closed)
            return socket.rejoin(topic)
        if kind in DELAYS:
            self.model.rejoin(topic, closed=closed, delay=DELAYS[kind])
            again = socket.rejoin(topic, delay=DELAYS[kind])
            assert not closed or again.joins[topic].rejoin_in == pytest.approx(DELAYS[kind])
            return again
        value = self.model.rejoin(topic, closed=closed, anew=True)
        return socket.rejoin(topic, self.params(topic, value, kind))

    def params(self, topic: str, value: int, kind: str) -> Any:
        """Return params of one kind, which the server shall see as `{"value": value}`."""
        failures = [1, 2] if kind in ("raises", "returns no JSON") else []

        def evaluate() -> Any:
            if failures:
                failures.pop()
                self.model.asked(topic, None)
                if kind == "raises":
                    raise Boom
                return object()
            return {"value": value}

        if kind == "plain":
            return evaluate()
        return {"value": lambda: evaluate()["value"]} if kind == "part" else evaluate

    def do_leave(self, socket: Socket, topic: str, timeout: float | None = None) -> Socket:
        self.model.leave(topic)
        return socket.leave(topic, timeout=timeout)

    def do_renew(self, socket: Socket, topic: str) -> Socket:
        return self.do_join(self.do_leave(socket, topic), topic, "plain")

    def do_push(self, socket: Socket, topic: str, kind: str) -> Socket:
        number = self.model.next_number()
        try:
            ref = socket.push(topic, "hello", {"push": number}, 0, **PUSH_OPTIONS[kind])
        except (NotConnectedError, NotJoinedError, SendBufferFullError):
            self.model.refused_pushes.add(number)
            return socket
        self.model.pushed(ref, Push(number, topic, kind))
        return socket

    def do_boom(self, socket: Socket) -> Socket:
        raise Boom
