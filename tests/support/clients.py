"""Helpers that several test modules share: a client that records, and waiting with a deadline."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pykka

from slipstream_actor import ClientActor, Socket, connect

PATIENCE = 30.0


def eventually(
    condition: Callable[[], Any], what: str = "the condition", seconds: float = PATIENCE
) -> Any:
    """Return the first true value of `condition`, within `seconds`.

    For what tells nobody when it happens (a thread's end, a flag of the operating system).
    """
    deadline = time.monotonic() + seconds
    nap = threading.Event()
    while time.monotonic() < deadline:
        if value := condition():
            return value
        nap.wait(0.005)
    raise AssertionError(f"{what} did not come about within {seconds} s")


class Recorder(ClientActor):
    """Connects, and puts every callback with its arguments into `log`, a queue."""

    def init(self, uri: str, log: queue.Queue[Any], **options: Any) -> Socket:
        self.log = log
        return connect(uri, **options)

    def note(self, name: str, *arguments: Any) -> None:
        self.log.put((name, *arguments))

    def handle_connect(self, socket: Socket) -> Any:
        self.note("connect")
        return super().handle_connect(socket)

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        self.note("disconnect", reason)
        return super().handle_disconnect(reason, socket)

    def handle_join(self, topic: str, response: Any, socket: Socket) -> Any:
        self.note("join", topic, response)
        return super().handle_join(topic, response, socket)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        self.note("message", topic, event, payload)
        return super().handle_message(topic, event, payload, socket)

    def handle_reply(self, ref: Any, reply: Any, socket: Socket) -> Any:
        self.note("reply", ref, reply)
        return super().handle_reply(ref, reply, socket)

    def handle_push_failed(
        self, ref: Any, topic: str, event: str, reason: Any, socket: Socket
    ) -> Any:
        self.note("push_failed", ref, reason)
        return super().handle_push_failed(ref, topic, event, reason, socket)

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        self.note("topic_close", topic, reason)
        return super().handle_topic_close(topic, reason, socket)

    def handle_leave(self, topic: str, socket: Socket) -> Any:
        self.note("leave", topic)
        return super().handle_leave(topic, socket)

    def handle_info(self, message: Any, socket: Socket) -> Any:
        self.note("info", message)
        return super().handle_info(message, socket)

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.note("terminate", reason)

    def do(self, function: Callable[[Socket], Any]) -> Any:
        """Run `function(socket)` in the actor; a socket that it returns is the next one."""
        result = function(self.socket)
        if isinstance(result, Socket):
            self.socket = result
            return None
        return result


def do(ref: Any, function: Any) -> Any:
    """Run `function(socket)` in a `Recorder`, and return what that returns."""
    return ref.proxy().do(function).get(timeout=PATIENCE)


class Staying(Recorder):
    """Comes back, and rejoins, when it is told to."""

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        self.note("disconnect", reason)
        return socket

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        self.note("topic_close", topic, reason)
        return socket


class Log(queue.Queue[Any]):
    """What a `Recorder` recorded."""

    def take(self, *expected: Any) -> Any:
        """Return the next entry that begins with `expected`, passing over the others."""
        deadline = time.monotonic() + PATIENCE
        passed = []
        while (left := deadline - time.monotonic()) > 0:
            try:
                entry = self.get(timeout=left)
            except queue.Empty:
                break
            if entry[: len(expected)] == expected:
                return entry
            passed.append(entry)
        raise AssertionError(f"{expected} did not come; what came: {passed}")


@contextmanager
def recording(
    uri: str, kind: type[Recorder] = Recorder, **options: Any
) -> Iterator[tuple[pykka.ActorRef[Recorder], Log]]:
    """Start a `Recorder`, and stop it at the end. It comes back without jitter."""
    log = Log()
    for jitter in ("reconnect_jitter_msec", "rejoin_jitter_msec"):
        options.setdefault(jitter, 0)
    ref = kind.start(uri, log, **options)
    try:
        yield ref, log
    finally:
        ref.stop()
