"""One attempt to connect, from the options' callables to the upgraded transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.connection.log import ConnectionLog
from slipstream_actor.errors import ConfigurationError
from slipstream_actor.wire.dial import dial
from slipstream_actor.wire.waiter import AttemptFailed, InboxWaiter
from slipstream_actor.wire.websocket import Transport, upgrade

__all__ = ["open_transport"]

T = TypeVar("T")


def open_transport(
    config: Configuration,
    inbox: SelectorInbox,
    meanwhile: Mapping[type, Callable[[Any], None]],
    log: ConnectionLog,
) -> Transport:
    """Connect and return the transport; `meanwhile` are the messages that are handled in between.

    Raises `AttemptFailed`, and `Cancelled`.
    """
    resource = evaluate("params", config.resource, log)
    lines = evaluate("auth_token", config.request_headers, log)
    waiter = InboxWaiter(inbox, config.connect_timeout_msec / 1000, meanwhile)
    sock = dial(config, waiter)
    try:
        return upgrade(sock, config, waiter, resource, lines)
    except BaseException:
        sock.close()
        raise


def evaluate(option: str, function: Callable[[], T], log: ConnectionLog) -> T:
    """Evaluate an option that may be the user's callable; the attempt fails when it raises."""
    try:
        return function()
    except ConfigurationError as error:
        raise AttemptFailed("io", str(error), retryable=False) from error
    except Exception as error:
        # The error's text may hold what it was to return.
        log.callable_raised(option, error)
        raise AttemptFailed("io", f"{option} raised {type(error).__name__}") from error
