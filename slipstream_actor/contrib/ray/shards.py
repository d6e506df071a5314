"""`Shards`: clients of one class that processes and machines share, each with some topics."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from slipstream_actor.actors.forks import current_epoch
from slipstream_actor.actors.future import Future
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.invocation import method_name
from slipstream_actor.client.subscriptions import Overflow
from slipstream_actor.configuration.arguments import (
    kind_given,
    require_delay,
    require_optional_delay,
    require_seconds,
    require_text,
)
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.attachment import Attachment
from slipstream_actor.contrib.ray.errors import (
    RayNotInitializedError,
    ShardLostError,
    ShardsDifferError,
)
from slipstream_actor.contrib.ray.everybody import ShardsStatus, status_of, stop
from slipstream_actor.contrib.ray.layout import encode_layout, layout_key
from slipstream_actor.contrib.ray.operation import Operation
from slipstream_actor.contrib.ray.orders import CALL, CAST, HINT, INVOKE, REQUEST, WATCH
from slipstream_actor.contrib.ray.params import stored_params
from slipstream_actor.contrib.ray.resizing import Resizing
from slipstream_actor.contrib.ray.store import Spec, Store, encode_spec
from slipstream_actor.contrib.ray.streams import ShardSubscription
from slipstream_actor.errors import (
    AwaitTimeoutError,
    ClientEndedError,
    SerializerError,
    SlipstreamError,
    shown,
)
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Reply
from slipstream_actor.protocol.serializer import encode_json
from slipstream_actor.socket.pushes import require_event

__all__ = ["Shards"]

C = TypeVar("C", bound=ClientActor)
P = ParamSpec("P")
R = TypeVar("R")

NO_PARAMS: dict[str, Any] = {}
# Seconds that `subscribe` waits for each shard to take part.
IN_FORCE = 5.0


class Shards(Generic[C]):
    """Clients of `client_class`, started with the arguments in processes of a Ray cluster, which
    every process of it can use; each topic is joined by one of them.

    Made anew, or attached to when those of that `name` have the same class, arguments, number and
    lease. `shards=1` is one connection for all. `lease` are the seconds for which a shard is
    certain that no other process is the same one; `None` chooses availability. Ray has to be
    initialised. Raises `ShardsDifferError`, `RayNotInitializedError`, `StoreUnavailableError`.
    """

    def __init__(
        self,
        client_class: type[C],
        *args: Any,
        name: str,
        shards: int = 4,
        lease: float | None = 2.0,
        **kwargs: Any,
    ) -> None:
        given: Any = client_class
        if not isinstance(given, type) or not issubclass(given, ClientActor):
            raise TypeError(f"Shards is for a subclass of ClientActor, not {kind_given(given)}")
        require_text("name", name)
        require_shards(shards)
        require_optional_delay("lease", lease, more_than_none=True)
        spec = Spec(
            f"{client_class.__module__}:{client_class.__qualname__}",
            engine.dumps(client_class),
            engine.dumps((args, kwargs)),
            None if lease is None else float(lease),
        )
        self._begin(name)
        there = self._create_or_find(spec, shards)
        if there is not None:
            require_same(name, spec, shards, *there)
        attachment = self._attached()
        attachment.read_layout()
        for shard in range(attachment.shards):
            attachment.find(shard)

    @classmethod
    def attach(cls, name: str) -> Self:
        """Return a handle of the shards of that name. Raises `ClientEndedError` when there are
        none, and as `Shards(…)` does."""
        self = cls.__new__(cls)
        self._begin(require_text("name", name))
        self._attached().read_layout()
        return self

    def _begin(self, name: str) -> None:
        engine.require_ray()
        if not name:
            raise ValueError("name must not be empty")
        self.name: str = name
        self._store = Store(name)
        self._lock = threading.RLock()
        # By the epoch of the process: a forked child begins with a new one.
        self._attachments: dict[int, Attachment] = {}

    def __repr__(self) -> str:
        return f"<Shards {self.name!r}>"

    def _attached(self) -> Attachment:
        engine.require_ray()
        return self._attachment()

    def _attachment(self) -> Attachment:
        with self._lock:
            epoch = current_epoch()
            found = self._attachments.get(epoch)
            if found is None:
                found = self._attachments[epoch] = Attachment(self.name, self._store)
            return found

    def _create_or_find(self, spec: Spec, shards: int) -> tuple[Spec, int] | None:
        """Write what the shards are made of; return what is there instead, if it is."""
        while True:
            there = self._store.spec()
            if there is None:
                self._store.put_first("spec", encode_spec(spec))
                continue
            layouts = self._store.layouts()
            if not layouts:
                self._store.put_first(layout_key(1), encode_layout(shards))
                continue
            return there, layouts[max(layouts)]

    # the wanted topics

    def join(self, topic: str, params: Any = NO_PARAMS) -> None:
        """Have a topic joined, by the shard that it belongs to, until `leave`: stored when this
        returns, and so kept whichever process ends.

        `params` are JSON; or a function that can be imported, or its name ("package.module:name"),
        which is called in the shard at each join: tokens do not belong into the store. Raises
        `TypeError`, `SerializerError`, `StoreUnavailableError`.
        """
        require_text("topic", topic)
        stored = stored_params(params)
        attachment = self._attached()
        attachment.require_open()
        self._store.want(topic, stored)
        self._hint(attachment, topic)

    def leave(self, topic: str) -> None:
        """Have a topic left, and joined no more: stored when this returns."""
        require_text("topic", topic)
        attachment = self._attached()
        attachment.require_open()
        self._store.want_no_more(topic)
        self._hint(attachment, topic)

    def topics(self) -> list[str]:
        """Return the wanted topics, sorted."""
        self._attached().require_open()
        return sorted(self._store.wanted_topics())

    def shard_of(self, topic: str) -> int:
        """Return the number of the shard that a topic belongs to."""
        require_text("topic", topic)
        return self._attached().shard_of(topic)

    def wait_until_joined(self, topic: str, timeout: float | None = 5.0) -> None:
        """Wait until a topic is joined. Raises `AwaitTimeoutError` after `timeout` seconds."""
        require_text("topic", topic)
        timeout = require_seconds("timeout", timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                self._ask(WATCH, topic, None, 0, left).get()
            except (ShardLostError, ClientEndedError):
                # Its next process, or client, joins it too.
                self._attached().require_open()
                threading.Event().wait(0.05)
            except AwaitTimeoutError as error:
                raise AwaitTimeoutError(
                    f"{self!r} joining {shown(topic)}", timeout, hint=f": {error}"
                ) from None
            else:
                return

    def _hint(self, attachment: Attachment, topic: str) -> None:
        """Tell the shard; it would find out by itself."""
        attachment.send(Operation(HINT, topic, None, 0, self, None))

    # what is asked of a client

    def request(
        self, topic: str, event: str, payload: Any = NO_PARAMS, *, timeout: float | None = 5.0
    ) -> Future[Reply]:
        """Push on a topic, and return the future of the reply: see `request`.

        `ShardLostError` comes out of it when the shard's process has died; it is never sent again
        by itself. The time runs here.
        """
        require_text("topic", topic)
        require_event("request", require_text("event", event))
        body, size = encode_payload(event, topic, payload)
        return self._ask(REQUEST, topic, (event, *body), size, timeout)

    def call(self, topic: str, message: Any, timeout: float | None = 5.0) -> Any:
        """Ask `handle_call` of the client that a topic belongs to, and return the answer: see
        `call`. Raises `ShardLostError` besides."""
        data = engine.dumps(message)
        return self._ask(CALL, require_text("topic", topic), data, len(data), timeout).get()

    def cast(self, topic: str, message: Any) -> None:
        """Send a message to `handle_cast` of the client that a topic belongs to: see `cast`."""
        data = engine.dumps(message)
        cast = self._ask(CAST, require_text("topic", topic), data, len(data), None)
        if cast.done:  # Nobody else looks at it.
            cast.get()

    @overload
    def invoke(
        self,
        topic: str,
        method: Callable[Concatenate[Any, P], Future[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[R]: ...
    @overload
    def invoke(
        self,
        topic: str,
        method: Callable[Concatenate[Any, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[R]: ...
    def invoke(self, topic: str, method: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have the client that a topic belongs to call its `method`; return the future of the
        result: see `invoke`. `ShardLostError` comes out of it when its process has died."""
        require_text("topic", topic)
        name = method_name(method)
        data = engine.dumps((args, kwargs))
        return self._ask(INVOKE, topic, (name, data), len(data), None)

    def _ask(
        self, kind: int, topic: str, body: Any, size: int, timeout: float | None
    ) -> Future[Any]:
        timeout = require_seconds("timeout", timeout)
        attachment = self._attached()
        operation = Operation(kind, topic, body, size, self, timeout)
        try:
            attachment.send(operation)
        except SlipstreamError as error:
            operation.fail(error)
        return operation

    def subscribe(
        self,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        *,
        size: int = 5000,
        overflow: Overflow = "wait",
    ) -> ShardSubscription:
        """Return the messages of all shards that match, from now on: see `subscribe`.

        `Dropped` and `ShardRestarted` stand among them where some are, or may be, missing. A
        pattern that is a function is called in the shards, and has to be importable there.
        """
        attachment = self._attached()
        pattern = topic, event, payload
        return attachment.subscribe(
            lambda: ShardSubscription(pattern, size, overflow, attachment.find), IN_FORCE
        )

    # all shards

    def resize(self, shards: int, timeout: float = 60.0) -> dict[str, float]:
        """Have another number of shards; return, of each topic that has moved, for how many seconds
        it was joined nowhere.

        A topic is left, and the server's answer awaited, before another shard joins it. Raises
        `AwaitTimeoutError` after `timeout` seconds; the shards go on by themselves.
        """
        require_shards(shards)
        require_delay("timeout", timeout)
        attachment = self._attached()
        attachment.require_open()
        return Resizing(attachment, timeout).run(shards)

    def status(self, timeout: float = 2.0) -> ShardsStatus:
        """Return plain data for a health view, within `timeout` seconds, whoever hangs."""
        require_delay("timeout", timeout)
        return status_of(self._attached(), timeout)

    def close(self) -> None:
        """End this handle, in this process; the shards go on. Later uses raise
        `ClientEndedError`. Works behind `ray.shutdown()` too."""
        with contextlib.suppress(RayNotInitializedError):
            engine.require_ray()
        self._attachment().close()

    def stop(self, timeout: float = 10.0, *, drain: float = 0.0) -> None:
        """End the shards, for everybody, and forget the wanted topics.

        Waits up to `drain` seconds for requests that have no outcome, and within `timeout` for the
        connections to be closed in order.
        """
        require_delay("timeout", timeout)
        require_delay("drain", drain)
        stop(self._attached(), timeout, drain)


def require_shards(shards: Any) -> None:
    """Raise unless it is a number of shards."""
    if isinstance(shards, bool) or not isinstance(shards, int):
        raise TypeError(f"shards must be a whole number, not {type(shards).__name__}")
    if shards < 1:
        raise ValueError(f"shards must be 1 or more, not {shards}")


def require_same(name: str, spec: Spec, shards: int, there: Spec, number: int) -> None:
    """Raise `ShardsDifferError` unless both are the same."""
    differences = []
    if there.class_name != spec.class_name:
        differences.append(f"their class is {there.class_name}, not {spec.class_name}")
    if there.pickled_arguments != spec.pickled_arguments and not (
        same(lambda: there.args, lambda: spec.args)
        and same(lambda: there.kwargs, lambda: spec.kwargs)
    ):
        differences.append("their arguments are others")
    if number != shards:
        differences.append(f"there are {number} of them, not {shards}")
    if there.lease != spec.lease:
        differences.append(f"their lease is {there.lease}, not {spec.lease}")
    if differences:
        raise ShardsDifferError(name, differences)


def same(there: Callable[[], Any], here: Callable[[], Any]) -> bool:
    """Whether both are equal, as far as they can be made and compared here."""
    try:
        return bool(there() == here())
    except Exception:
        return False


def encode_payload(event: str, topic: str, payload: Any) -> tuple[tuple[bool, bytes], int]:
    """Return a payload as it travels. Raises `SerializerError` for what is no JSON."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        data = bytes(payload)
        return (True, data), len(data)
    try:
        data = encode_json(payload)
    except Exception as error:
        cause = None if isinstance(error, UnicodeError) else error
        raise SerializerError(f"{event!r} on {topic!r} cannot be encoded: {error}") from cause
    return (False, data), len(data)
