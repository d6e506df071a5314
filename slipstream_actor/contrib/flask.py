"""Clients in a Flask application (extra `flask`).

    slipstream = Slipstream()

    def create_app():
        app = Flask(__name__)
        app.config.from_mapping(SLIPSTREAM_CLIENT=Rooms, SLIPSTREAM_URI="wss://example.org/…")
        slipstream.init_app(app)
        return app

    @blueprint.post("/say")
    def say():
        return slipstream.request("rooms:lobby", "new:msg", request.json).get().unwrap()

The keys of the configuration are those of `contrib.settings`, `SLIPSTREAM_ERROR_RESPONSES`, and
`SLIPSTREAM_DEBUG_DIR`, a directory in which each process serves `debug.report`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from slipstream_actor.actors.future import Future
from slipstream_actor.actors.shared import snapshot
from slipstream_actor.contrib.health import health
from slipstream_actor.contrib.http import RETRY_AFTER, http_status, problem
from slipstream_actor.contrib.probe import connect_briefly
from slipstream_actor.contrib.settings import (
    DEBUG_DIR,
    DEFAULT,
    PREFIX,
    handles,
    serve_where_told,
)
from slipstream_actor.errors import ConfigurationError, SlipstreamError
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Reply
from slipstream_actor.supervision.handle import ClientHandle
from slipstream_actor.supervision.status import HandleStatus

if TYPE_CHECKING:
    import pykka
    from flask import Flask
    from flask.cli import AppGroup
    from flask.typing import ResponseReturnValue

    from slipstream_actor.client.subscriptions import Overflow, Subscription

__all__ = ["Slipstream"]

P = ParamSpec("P")
R = TypeVar("R")

# Its key in `app.extensions`, and the name of its commands.
NAME = "slipstream"
ERROR_RESPONSES = f"{PREFIX}ERROR_RESPONSES"
NO_PAYLOAD: dict[str, Any] = {}


class Slipstream:
    """The clients of Flask applications: one of each per process, started when it is first used.

    `Slipstream(app)`, or `Slipstream()` and `init_app(app)` in a factory. `request` and its like
    are those of the client that is configured as `SLIPSTREAM_CLIENT`, or of the only one that there
    is; of others `clients["name"]`. The application is the one whose context is there; in a thread
    without any, the only one that there is.

    What `request`, `invoke` and `Reply.unwrap` raise in a view is answered with 503, 504 or 409 and
    the error's kind as JSON, unless the application handles it, or has `SLIPSTREAM_ERROR_RESPONSES`
    set to `False`.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._apps: weakref.WeakSet[Flask] = weakref.WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the configuration, and be there for the application. A second time does nothing.

        Opens nothing. Raises `ConfigurationError`, whose `option` is the key that is wrong.
        """
        self._apps.add(app)
        if NAME in app.extensions:
            return
        responds = app.config.setdefault(ERROR_RESPONSES, True)
        if not isinstance(responds, bool):
            raise ConfigurationError(
                ERROR_RESPONSES, f"must be True or False; got a {type(responds).__name__}"
            )
        serve_where_told(app.config.get(DEBUG_DIR))
        app.extensions[NAME] = MappingProxyType(handles(app.config, others=(ERROR_RESPONSES,)))
        app.cli.add_command(commands())
        if responds:
            respond_to_errors(app)

    # the clients

    @property
    def clients(self) -> Mapping[str, ClientHandle[Any]]:
        """The handles of the application's clients, by their names."""
        found: Mapping[str, ClientHandle[Any]] = self._app().extensions[NAME]
        return found

    @property
    def client(self) -> ClientHandle[Any]:
        """The handle of `SLIPSTREAM_CLIENT`, or of the only client that there is.

        Raises `RuntimeError` where there are several, and none is called "default".
        """
        clients = self.clients
        if DEFAULT in clients:
            return clients[DEFAULT]
        if len(clients) > 1:
            raise RuntimeError(
                f"there are several clients, and none is called {DEFAULT!r}: take one of"
                f" clients, {', '.join(map(repr, clients))}"
            )
        return next(iter(clients.values()))

    def _app(self) -> Any:
        from flask import current_app, has_app_context

        if has_app_context() and NAME in current_app.extensions:
            return current_app
        apps = snapshot(self._apps)
        if len(apps) != 1:
            some = "several applications have" if apps else "no application has"
            raise RuntimeError(
                f"{some} been given to init_app: use this in a view, or in a block of"
                " `with app.app_context():`"
            )
        return apps[0]

    # what its client does

    @property
    def ref(self) -> pykka.ActorRef[Any]:
        """See `ClientHandle.ref`."""
        return self.client.ref

    def proxy(self) -> pykka.ActorProxy[Any]:
        """See `ClientHandle.proxy`."""
        return self.client.proxy()

    def request(
        self, topic: str, event: str, payload: Any = NO_PAYLOAD, *, timeout: float | None = 5.0
    ) -> Future[Reply]:
        """See `ClientHandle.request`."""
        return self.client.request(topic, event, payload, timeout=timeout)

    @overload
    def invoke(
        self, method: Callable[Concatenate[Any, P], Future[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    @overload
    def invoke(
        self, method: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    def invoke(self, method: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `ClientHandle.invoke`."""
        return self.client.invoke(method, *args, **kwargs)

    def call(self, message: Any, timeout: float | None = 5.0) -> Any:
        """See `ClientHandle.call`."""
        return self.client.call(message, timeout)

    def cast(self, message: Any) -> None:
        """See `ClientHandle.cast`."""
        self.client.cast(message)

    def subscribe(
        self,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        *,
        size: int = 1000,
        overflow: Overflow = "wait",
    ) -> Subscription:
        """See `ClientHandle.subscribe`."""
        return self.client.subscribe(topic, event, payload, size=size, overflow=overflow)

    def wait_until_joined(self, topic: str, timeout: float | None = 5.0) -> None:
        """See `ClientHandle.wait_until_joined`."""
        self.client.wait_until_joined(topic, timeout)

    def status(self) -> HandleStatus:
        """See `ClientHandle.status`."""
        return self.client.status()

    def override(self, client: Any) -> AbstractContextManager[ClientHandle[Any]]:
        """See `ClientHandle.override`."""
        return self.client.override(client)

    def health(self, *, start: bool = False) -> ResponseReturnValue:
        """Return what a health view answers: how the clients of this process stand, as JSON.

        200 when each is connected and has joined all that it wants, or has not been used in this
        process; 503 else. With `start` one that has not been used is started, and 503 until it is
        ready. Waits for nothing.
        """
        found = health(self.clients, start=start)
        return {**found}, 200 if found["healthy"] else 503


def respond_to_errors(app: Flask) -> None:
    """Have the application answer our errors, unless it has an answer of its own."""
    if SlipstreamError not in app.error_handler_spec[None][None]:
        app.register_error_handler(SlipstreamError, answer_error)


def answer_error(error: SlipstreamError) -> ResponseReturnValue:
    """Answer with the status that the error stands for; what stands for none is raised again."""
    from flask import current_app

    status = http_status(error)
    if status is None:
        raise error
    current_app.logger.warning("answered with %d: %s", status, error)
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else {}
    return problem(error), status, headers


def commands() -> AppGroup:
    """Return `flask slipstream …`."""
    import click
    from flask import current_app
    from flask.cli import AppGroup

    group = AppGroup(NAME, help="Clients of Phoenix Channels.")

    @group.command()
    @click.argument("names", nargs=-1)
    @click.option(
        "--timeout",
        default=5.0,
        show_default=True,
        type=click.FloatRange(0),
        help="Seconds for all of them to connect and join.",
    )
    def status(names: tuple[str, ...], timeout: float) -> None:
        """Connect the clients (all, or NAMES), and say how they stand.

        This is a process of its own, with connections of its own, which it closes again. It tells
        whether they can be had from here with this configuration, and nothing of the web server's
        processes: ask a health view of theirs for that. The exit status is 0 if every client has
        connected and joined its topics within the timeout, 1 if one has not.
        """
        clients: Mapping[str, ClientHandle[Any]] = current_app.extensions[NAME]
        for name in names:
            if name not in clients:
                raise click.BadParameter(f"{name!r} is none of {', '.join(clients)}")
        chosen = {name: clients[name] for name in names or clients}
        click.echo("in a process of its own:")
        if not all(connect_briefly(chosen, timeout, click.echo)):
            raise SystemExit(1)

    return group
