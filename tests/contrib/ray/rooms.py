"""The client whose shards are tested, and a server that notes who joins what, and when."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from slipstream_actor import Answer, ClientActor, From, Socket, connect
from slipstream_actor.contrib.ray import generation, incarnation
from slipstream_actor.testing import Channel, PhoenixServer

T = TypeVar("T")
PATH = "/socket_many/websocket"


class Rooms(ClientActor):
    """Answers who it is; joins nothing by itself."""

    def init(self, uri: str, **options: Any) -> Socket:
        self.heard: list[Any] = []
        return connect(uri, params={"incarnation": incarnation()}, **options)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Any:
        if message == "crash":
            raise ValueError("as asked")
        return Answer((message, os.getpid()), socket)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        self.heard.append(message)

    def say(self, text: str, loud: bool = False) -> str:
        return text.upper() if loud else text

    def all_heard(self) -> list[Any]:
        return self.heard


def join_params() -> dict[str, Any]:
    """What shards send with a join: importable, and called there."""
    return {"generation": generation(), "incarnation": incarnation(), "pid": os.getpid()}


class Entry(NamedTuple):
    """A channel has begun, or ended."""

    time: float
    kind: str
    topic: str
    params: Any
    incarnation: str


class JoinLog:
    """All joins and leaves at the server, which is the judge of "once"."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.entries: list[Entry] = []
        self.joined: Counter[str] = Counter()
        # Topics that had two channels at once.
        self.twice: set[str] = set()
        self.pushed: Counter[tuple[str, Any]] = Counter()

    def note(self, kind: str, channel: Channel, params: Any = None) -> None:
        with self._changed:
            by = str(channel.socket.params.get("incarnation"))
            self.entries.append(Entry(time.monotonic(), kind, channel.topic, params, by))
            self.joined[channel.topic] += 1 if kind == "join" else -1
            if self.joined[channel.topic] > 1:
                self.twice.add(channel.topic)
            self._changed.notify_all()

    def count(self, topic: str, key: Any) -> None:
        with self._changed:
            self.pushed[topic, key] += 1

    def wait(self, condition: Callable[[JoinLog], bool], seconds: float) -> float:
        """Wait until `condition(self)`; return how long that took."""
        began = time.monotonic()
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), seconds):
                raise TimeoutError(f"not within {seconds} s")
        return time.monotonic() - began

    def are_joined(self, topics: list[str]) -> bool:
        return all(self.joined[topic] > 0 for topic in topics)

    def joins(self) -> set[str]:
        """Return the topics that were joined since `clear`."""
        return {entry.topic for entry in self.entries if entry.kind == "join"}

    def clear(self) -> None:
        with self._changed:
            self.entries.clear()
            self.twice.clear()


def note_answered_leave(log: JoinLog, channel: Channel) -> None:
    """Have a leave count from its answer on: a busy server calls `terminate` much later."""
    process: Any = channel._process
    leave, reply = process.leave, process.reply
    refs: list[Any] = []

    def note_ref(ref: Any) -> None:
        refs.append(ref)
        leave(ref)

    def note_answer(ref: Any, status: str, response: Any) -> None:
        if ref in refs:
            log.note("leave", channel)
        reply(ref, status, response)

    process.leave, process.reply = note_ref, note_answer


@contextmanager
def phoenix() -> Iterator[tuple[PhoenixServer, JoinLog]]:
    """Run a server that keeps a log; yield both."""
    log = JoinLog()

    class Room(Channel):
        def join(self, params: Any) -> None:
            log.note("join", self, params)
            note_answered_leave(log, self)

        def terminate(self, reason: Any) -> None:
            if reason != ("shutdown", "left"):
                log.note("leave", self)

        def handle_in(self, event: str, payload: Any) -> Any:
            match event:
                case "echo":
                    return "ok", payload
                case "refuse":
                    return "error", {"reason": "as asked"}
                case "never":
                    return None
                case "count":
                    log.count(self.topic, payload["key"])
                    return "ok", payload
                case "slow":
                    self.sleep(payload["seconds"])
                    return "ok", payload
            return super().handle_in(event, payload)

    with PhoenixServer({"rooms:*": Room}) as server:
        yield server, log


def taken(messages: AsyncIterator[T], seconds: float = 20.0) -> T:
    """Return the next item of a subscription. Raises `TimeoutError`."""

    async def take() -> T:
        return await asyncio.wait_for(anext(messages), seconds)

    return asyncio.run(take())


def uri_of(server: PhoenixServer) -> str:
    return server.uri.replace("/socket/websocket", PATH)
