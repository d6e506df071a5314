"""The client of a shard: under a handle, with the topics that the shard is to be joined to.

Its class is the user's, derived from: nothing is delivered to a callback, and nothing handed on,
once the lease is over.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec.structs import replace

from slipstream_actor.actors.envelopes import Between
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.client.callbacks import CALLBACKS
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.handlers import declared
from slipstream_actor.client.returns import Next
from slipstream_actor.client.runner import known_socket
from slipstream_actor.contrib.ray.params import read_params
from slipstream_actor.errors import AwaitTimeoutError, ClientEndedError, SlipstreamError, shown
from slipstream_actor.socket.socket import Socket
from slipstream_actor.supervision.handle import ClientHandle

__all__ = ["Host", "guarded"]

logger: Logger = get_logger("slipstream_actor.ray")

# Seconds that a change of the topics has: a callback may run meanwhile.
PATIENCE = 30.0
# Seconds that the server has to answer a leave, before another shard may join the topic: a busy one
# is waited for longer than by who leaves for good.
LEAVE = 120.0

# Run whatever the lease is: what ends is told of its end.
UNGUARDED = {"init", "terminate"}


def guarded(client_class: type[ClientActor], require_lease: Callable[[], object]) -> Any:
    """Return a class like `client_class` each of whose callbacks calls `require_lease` first."""
    handlers = {name for base in client_class.__mro__ for name, _ in declared(base)}
    names = (handlers | {name for name, _ in CALLBACKS.values()}) - UNGUARDED
    namespace = {
        "__module__": client_class.__module__,
        "__qualname__": client_class.__qualname__,
        "__doc__": client_class.__doc__,
    }
    metaclass: Any = type(client_class)
    subclass = metaclass(client_class.__name__, (client_class,), namespace)
    for name in names:
        setattr(subclass, name, _guard(getattr(client_class, name), require_lease))
    return subclass


def _guard(method: Any, require_lease: Callable[[], object]) -> Any:
    @functools.wraps(method)
    def call(self: Any, *arguments: Any) -> Any:
        require_lease()
        return method(self, *arguments)

    return call


class Host:
    """One client that runs, is started again when it ends, and is joined to `topics`."""

    def __init__(
        self,
        client_class: type[ClientActor],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        require_lease: Callable[[], object],
    ) -> None:
        self._require_lease = require_lease
        subclass = guarded(client_class, require_lease)
        subclass.init = self._joining(subclass.init)
        self.handle: ClientHandle[Any] = ClientHandle(subclass, *args, **kwargs)
        self._lock = threading.RLock()
        # What the client is to be joined to, with the params for the server. Replaced, not changed.
        self.topics: dict[str, Any] = {}

    def start(self) -> None:
        """Start the client. Raises what its `init` raises."""
        _ = self.handle.ref

    def _joining(self, init: Any) -> Any:
        """Have each client begin with the topics: also one that is started again."""

        @functools.wraps(init)
        def begin(client: Any, *args: Any, **kwargs: Any) -> Any:
            result = init(client, *args, **kwargs)
            if isinstance(result, Next):
                return replace(result, socket=self._join_all(result.socket or client.socket))
            if result is None or isinstance(result, Socket):
                return self._join_all(result if result is not None else client.socket)
            return result

        return begin

    def _join_all(self, socket: Socket) -> Socket:
        for topic, params in self.topics.items():
            socket = socket.join(topic, params)
        return socket

    def leaving(self) -> set[str]:
        """Return the topics that were left without the server's answer yet."""
        try:
            socket = known_socket(self.handle.ref)
        except SlipstreamError:
            return set()  # There is no client, and so no connection.
        if socket is None or not socket.connected:
            return set()
        return {topic for topic, join in socket.joins.items() if join._details.leaving}

    def change(self, join: Mapping[str, Any], leave: Collection[str]) -> None:
        """Have the client leave topics, and join others with the stored params."""
        params = {topic: p for topic, stored in join.items() if (p := read(topic, stored)) != []}
        left = set(leave)
        with self._lock:
            before = self.topics
            self.topics = {t: p for t, p in before.items() if t not in left} | params

        def run(client: Any, future: Future[Any]) -> None:
            self._require_lease()
            socket = client._begin()
            for topic in left:
                socket = socket.leave(topic, timeout=LEAVE)
            for topic, value in params.items():
                socket = socket.join(topic, value)
            client.socket = socket
            future.set(None)

        try:
            if left or params:
                self._between(run)
        except BaseException:
            # Nothing was done, and so it is to be done later.
            self.topics = before
            raise

    def _between(self, run: Callable[[Any, Future[Any]], object]) -> None:
        """Run between callbacks. A client that ends meanwhile does not matter: the next one begins
        with the topics."""
        future: Future[Any] = Future()
        begun = threading.Lock()

        def begin(client: Any, future: Future[Any]) -> None:
            if begun.acquire(blocking=False):
                run(client, future)

        try:
            self.handle.ref.tell(Between(begin, future))
            future.get(timeout=PATIENCE)
        except ClientEndedError:
            return
        except AwaitTimeoutError:
            if begun.acquire(blocking=False):
                raise  # It never begins.

    def revive(self) -> None:
        """Have topics joined again that are closed, and that nothing joins again by itself."""
        try:
            socket = known_socket(self.handle.ref)
        except SlipstreamError:
            return
        if socket is None or not socket.connected:
            return
        topics = self.topics
        closed = {topic: topics[topic] for topic in topics if is_over(socket.joins.get(topic))}

        def run(client: Any, future: Future[Any]) -> None:
            self._require_lease()
            socket = client._begin()
            for topic, value in closed.items():
                socket = socket.join(topic, value)
            client.socket = socket
            future.set(None)

        if closed:
            self._between(run)

    def stop(self, drain: float) -> None:
        """End the client in order."""
        self.handle.stop(drain)


def is_over(join: Any) -> bool:
    """Whether a join is closed for good, so that the topic has to be asked for again."""
    return join is None or (join.status == "closed" and join.rejoin_in is None)


def read(topic: str, stored: Any) -> Any:
    """Return the params of a topic for `Socket.join`; `[]` when they are not to be had."""
    try:
        return read_params(stored)
    except TypeError as error:
        logger.error("%s is not joined: %s", shown(topic), error)
        return []
