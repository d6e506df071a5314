"""One attempt to connect, from the options' callables to the upgraded transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.errors import ConfigurationError
from slipstream_actor.wire.dial import dial
from slipstream_actor.wire.waiter import AttemptFailed, Cancelled, InboxWaiter
from slipstream_actor.wire.websocket import Transport, upgrade

__all__ = ["open_transport"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

# CPython puts the frames of a thread's calls into memory of 16 KiB, of which it gives nothing back
# before the thread ends, and into more of it when that is full, which it gives back at once.
WORDS_OF_FRAMES = 16 * 1024 // 8


def with_frames_apart(function: F) -> F:
    """Have a call, and all that it calls, not touch the memory that its thread keeps.

    Nothing goes as deep in a connection's life as its beginning. Its frame is said to be so large
    that it finds no room where the others are.
    """
    code: Any = function
    code.__code__ = code.__code__.replace(co_stacksize=WORDS_OF_FRAMES)
    return function


@with_frames_apart
def open_transport(
    config: Configuration, inbox: SelectorInbox, meanwhile: Mapping[type, Callable[[Any], None]]
) -> Transport:
    """Connect and return the transport; `meanwhile` are the messages that are handled in between.

    Raises `AttemptFailed`, and `Cancelled`.
    """
    resource, lines = evaluated(config, inbox)
    waiter = InboxWaiter(inbox, config.connect_timeout_msec / 1000, meanwhile)
    sock = dial(config, waiter)
    try:
        return upgrade(sock, config, waiter, resource, lines)
    except BaseException:
        sock.close()
        raise


def evaluated(config: Configuration, inbox: SelectorInbox) -> tuple[str, list[str]]:
    """Return what the options' callables make of the request: its resource, and lines of it.

    Raises `Cancelled` when it is not wanted any more, which no message can say meanwhile.
    """
    # First this, then whether a close was asked for: who asks does so first, and then looks here.
    inbox.evaluates_for = config.close_timeout_msec / 1000
    try:
        require_wanted(inbox)
        resource = evaluate("params", config.resource)
        require_wanted(inbox)
        lines = evaluate("auth_token", config.request_headers)
        require_wanted(inbox)
        return resource, lines
    finally:
        inbox.evaluates_for = None


def require_wanted(inbox: SelectorInbox) -> None:
    """Raise `Cancelled` when a close was asked for."""
    if inbox.close_requested:
        raise Cancelled


def evaluate(option: str, function: Callable[[], T]) -> T:
    """Evaluate an option that may be the user's callable; the attempt fails when it raises."""
    try:
        return function()
    except ConfigurationError as error:
        raise AttemptFailed("io", str(error), retryable=False) from error
    except Exception as error:
        # The error's text may hold what it was to return.
        raise AttemptFailed("io", f"{option} raised {type(error).__name__}") from error
