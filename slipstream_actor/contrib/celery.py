"""Topics and Celery's tasks (extra `celery`): messages become tasks, and tasks push.

    bridge = Bridge(ClientHandle(Orders, uri), [Route("shop.ship", "orders:*", "paid")], app=app)

    if __name__ == "__main__":
        sys.exit(bridge.run())

is a process that listens, and enqueues a task for each message that a route is for. In a worker,
tasks use a handle as views do, and `stop_with_worker` closes its connection in order.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from slipstream_actor.actors.logger import Logger, get_logger

try:
    import celery as _celery
    from celery import signals
    from kombu.exceptions import OperationalError
except ImportError as _missing:
    raise ImportError(
        "Celery needs the extra: pip install 'slipstream_actor[celery]'"
    ) from _missing

from slipstream_actor.actors.actor import stop_for
from slipstream_actor.actors.names import resolve
from slipstream_actor.client.handlers import require_prefix
from slipstream_actor.client.subscriptions import Subscription, subscribe
from slipstream_actor.configuration.arguments import kind_given, require_delay
from slipstream_actor.contrib.handles import require_client, require_handles
from slipstream_actor.debug.directory import serve_in, serve_no_more
from slipstream_actor.errors import ClientEndedError
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.matching import ANY, matches, require_text_pattern
from slipstream_actor.supervision.handle import ClientHandle
from slipstream_actor.supervision.service import run

__all__ = ["Bridge", "Route", "stop_with_worker"]

H = TypeVar("H", bound=ClientHandle[Any])
# The arguments of a task, by place or by name.
Arguments: TypeAlias = Iterable[Any] | Mapping[str, Any]

logger: Logger = get_logger("slipstream_actor.celery")

# Seconds between two attempts to enqueue: doubled each time.
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
# Seconds that the end of a bridge gives to what has come already.
LEAVE_SECONDS = 5.0


class Route:
    """Which messages become which task.

    `task` is a task, or its name. `topic`, `event` and `payload` are patterns as those of
    `await_message`; a topic or an event in text that ends with `*` is a prefix, as the topic of
    `on`, and a `*` elsewhere in it is a `TypeError`.
    `arguments` is a function of the `MessageReceived` that returns the task's arguments, a list or
    tuple, or a dict of those by name; by default they are topic, event and payload. `options` are
    those of `apply_async`: `queue`, `expires`, …
    """

    def __init__(
        self,
        task: Any,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        *,
        arguments: Callable[[MessageReceived], Arguments] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(task, str) and not hasattr(task, "apply_async"):
            raise TypeError(f"task must be a task or its name, not {kind_given(task)}")
        if arguments is not None and not callable(arguments):
            raise TypeError("arguments must be a function of the message")
        self.task: Any = task
        self._pattern = prefix("topic", topic), prefix("event", event), payload
        self._arguments = arguments
        self._options = dict(options or {})

    def __repr__(self) -> str:
        return f"<Route to {self.name}>"

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task if isinstance(self.task, str) else str(self.task.name)

    def is_for(self, message: MessageReceived) -> bool:
        """Whether a message becomes this task."""
        topic, event, payload = self._pattern
        return (
            matches(topic, message.topic)
            and matches(event, message.event)
            and matches(payload, message.payload)
        )

    def enqueue(self, app: Any, message: MessageReceived) -> None:
        """Have Celery enqueue the task. Raises kombu's `OperationalError` without a broker."""
        args, kwargs = self.arguments_of(message)
        # Waiting for the broker is the bridge's, which says so.
        options = {"retry": False, **self._options}
        if isinstance(self.task, str):
            app.send_task(self.task, args, kwargs, **options)
        else:
            self.task.apply_async(args, kwargs, **options)

    def arguments_of(self, message: MessageReceived) -> tuple[list[Any], dict[str, Any]]:
        """Return the task's arguments, by place and by name. Raises what the function does."""
        if self._arguments is None:
            return [message.topic, message.event, message.payload], {}
        found = self._arguments(message)
        if isinstance(found, Mapping):
            return [], dict(found)
        if isinstance(found, (list, tuple)):
            return list(found), {}
        raise TypeError(
            f"arguments of {self!r} must return a list, a tuple or a dict,"
            f" not a {type(found).__name__}"
        )


def prefix(what: str, pattern: Any) -> Any:
    """Return the pattern that a text with a `*` at its end stands for. Raises `TypeError`."""
    require_text_pattern(f"Route: {what}", pattern)
    if not isinstance(pattern, str):
        return pattern
    require_prefix(f"Route: {what}", pattern)
    if pattern.endswith("*"):
        beginning = pattern[:-1]
        return lambda text: text.startswith(beginning)
    return pattern


class Bridge:
    """A process that listens to a client's topics, and enqueues tasks: each message in its order.

    `client` is a handle, or a ref; the first of `routes` that is for a message is taken, and what
    none is for is left out. `app` is the Celery application; without it, the current one.

    While the broker is away the message in hand is tried again, after 0.5 s at first and at most
    30 s. When `size` others wait the connection reads no more, and Phoenix waits; after `patience`
    seconds (`None`: never) the bridge gives up. A message that no task can be made of, also since a
    pattern raises, is logged, and left out; `sys.exit` there ends the bridge with status 1.
    `debug_dir`: with a handle, the process serves `debug.report` there, see `debug.serve_in`.
    """

    def __init__(
        self,
        client: Any,
        routes: Iterable[Route],
        *,
        app: Any = None,
        size: int = 1000,
        patience: float | None = 300.0,
        debug_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._routes = list(routes)
        if not self._routes or not all(isinstance(route, Route) for route in self._routes):
            raise TypeError("routes must be one Route or more")
        require_client("Bridge", client)
        if patience is not None:
            require_delay("patience", patience)
        if debug_dir is not None:
            serve_in(debug_dir)
        self._client = client
        self._app = app
        self._size = size
        self._patience = patience
        self._leaving = threading.Event()
        self._lost = 0

    def run(self) -> int:
        """Listen until the client ends, and return an exit status: that of `run`, which says what
        signals do; and 1 when the broker stayed away, or messages were left behind.

        What has come by then is enqueued, for which there are 5 seconds.
        """
        subscription = subscribe(self._client, size=self._size)
        self._leaving.clear()
        self._lost = 0
        thread = threading.Thread(
            target=self._relay, args=(subscription,), name="slipstream_actor bridge", daemon=True
        )
        thread.start()
        try:
            status = run(self._client)
        finally:
            self._leaving.set()
            thread.join(LEAVE_SECONDS)
            late = thread.is_alive()
            subscription.close()
        if late or self._lost:
            logger.error("the bridge ends, and what it could not enqueue is lost")
            return 1
        return status

    def task_for(self, message: MessageReceived) -> tuple[str, list[Any], dict[str, Any]] | None:
        """Return the name and the arguments of the task for a message; `None` when it has none.

        For tests of a table of routes: nothing is enqueued.
        """
        route = self._route_for(message)
        return None if route is None else (route.name, *route.arguments_of(message))

    def _route_for(self, message: MessageReceived) -> Route | None:
        return next((route for route in self._routes if route.is_for(message)), None)

    def _route_or_none(self, message: MessageReceived) -> Route | None:
        """Return the route of a message, `None` also where a pattern raises."""
        try:
            return self._route_for(message)
        except Exception:
            logger.exception("no task can be made of %s on %s", message.event, message.topic)
            return None

    def _relay(self, subscription: Subscription) -> None:
        """Enqueue what comes, until the client has ended."""
        try:
            for message in subscription:
                route = self._route_or_none(message)
                if route is not None and not self._enqueue(route, message):
                    self._lost += 1
                    self._end("the broker is away")
                    return
        except ClientEndedError:
            return  # Its reason is told by whoever waits for the client.
        except BaseException as error:  # `sys.exit` in a function of a route, which nobody hears.
            logger.exception("the bridge ends: %s", type(error).__name__)
            self._lost += 1
            self._end("the bridge has failed")

    def _enqueue(self, route: Route, message: MessageReceived) -> bool:
        """Enqueue a message, waiting for the broker; return whether it was done."""
        app = self._app if self._app is not None else _celery.current_app
        began, delay = time.monotonic(), FIRST_DELAY
        told = False
        while True:
            try:
                route.enqueue(app, message)
            except (OperationalError, ConnectionError, TimeoutError) as error:
                away = time.monotonic() - began
                if self._gives_up(away):
                    logger.error("the broker is away for %.0f s, the bridge ends: %s", away, error)
                    return False
                if not told or delay >= LONGEST_DELAY:
                    logger.warning("the broker is away, a message waits for it: %s", error)
                told = True
                self._leaving.wait(delay)
                delay = min(LONGEST_DELAY, 2 * delay)
            except Exception:
                logger.exception("no task can be made of %s on %s", message.event, message.topic)
                return True
            else:
                if told:
                    logger.info("the broker is back, after %.0f s", time.monotonic() - began)
                return True

    def _gives_up(self, away: float) -> bool:
        if self._leaving.is_set():
            return True
        return self._patience is not None and away >= self._patience

    def _end(self, reason: str) -> None:
        """End the client, and with it the process."""
        try:
            stop_for(reason, resolve(self._client))
        except ClientEndedError:
            pass


def stop_with_worker(handle: H, *, debug_dir: str | os.PathLike[str] | None = None) -> H:
    """Have a handle's client closed in order when a process of Celery's prefork pool ends.

    Those leave by `os._exit`, which ends no client. Returns the handle. In other pools, and in all
    other processes, the interpreter's exit does it. `debug_dir`: each process that uses a handle
    serves `debug.report` there, see `debug.serve_in`. Raises `TypeError` for what is no handle.
    """
    require_handles("stop_with_worker", handle)
    if debug_dir is not None:
        serve_in(debug_dir)

    def stop(**_: Any) -> None:
        if handle.status()["state"] != "not started":
            handle.stop()
            # What is written next the pool answers with a SIGTERM, which billiard blocks in this
            # thread alone: in another one it would end the process with the pool's lock in hand.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        serve_no_more()

    signals.worker_process_shutdown.connect(stop, weak=False)
    return handle
