"""A program that starts whether or not its service is configured, and whether or not it is up."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pykka import ActorRef

from slipstream_actor import (
    ActorDeadError,
    AwaitTimeoutError,
    ChildSpec,
    ClientActor,
    ConfigurationError,
    Ignore,
    Socket,
    Supervisor,
    connect,
    wait_until_joined,
    whereis,
)

NAME = "prices"
TOPIC = "prices:eur"

logger = logging.getLogger(__name__)


class Prices(ClientActor):
    """Follows the prices of a service that the program can do without."""

    def init(self, environ: Mapping[str, str], **options: Any) -> Socket | Ignore:
        """Ask for a connection if there is somewhere to connect to; never fail."""
        uri = environ.get("PRICES_URI")
        if uri is None:
            logger.warning("no PRICES_URI: going on without prices")
            return Ignore()
        try:
            socket = connect(uri, reconnect_after_msec=[50, 200, 1000, 5000], **options)
        except ConfigurationError as error:
            logger.error("PRICES_URI is wrong, going on without prices: %s", error)
            return Ignore()
        return socket.assign(prices={}).join(TOPIC)

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        """Down, or gone: tell the operator once, and leave the rest to the default."""
        if socket.reconnect_counter == 0:
            logger.warning("no prices for the moment: %s", reason)
        return super().handle_disconnect(reason, socket)

    def handle_join(self, topic: str, response: Any, socket: Socket) -> Socket:
        """The service is there; its answer has the prices of the moment."""
        logger.info("prices are there")
        return socket.assign(prices=response)

    def price(self, name: str) -> float | None:
        """Return the last price, if there was one."""
        found: float | None = self.socket.assigns["prices"].get(name)
        return found


def start(environ: Mapping[str, str], **options: Any) -> ActorRef[Supervisor]:
    """Start the client under a supervisor; returns at once, connected or not."""
    return Supervisor.start([ChildSpec(Prices, environ, name=NAME, **options)])


def ready(timeout: float = 0.0) -> bool:
    """Whether the prices are there, or come within `timeout` seconds: a readiness probe."""
    try:
        wait_until_joined(NAME, TOPIC, timeout)
    except (ActorDeadError, AwaitTimeoutError):
        return False
    return True


def price(name: str) -> float | None:
    """Return a price; `None` while there is none, or no service at all."""
    ref = whereis(NAME)
    found: float | None = None if ref is None else ref.proxy().price(name).get()
    return found
