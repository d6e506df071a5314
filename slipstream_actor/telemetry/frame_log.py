"""Every message of a connection in the log, at debug level: phoenix.js's `logger`.

    push rooms:lobby new:msg (3, 7) {'body': 'hello'}
    receive ok rooms:lobby phx_reply (3, 7) {'body': 'hello'}

It is on when the level of its own logger is set to DEBUG, and not by that of one above it. Of the
params of a join, and of its answer, only the names are shown, and a reason that is one of Phoenix's
own (the messages of V1 do not say which reply is one: there, of every reply). Elsewhere what stands
under or beside a name that looks like a secret's is hidden, at every depth and within texts, and so
is what looks like a token; `bytes` are counted, and what is long is cut.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.protocol.message import Message

__all__ = ["is_on", "received", "sending"]

log: Logger = get_logger("slipstream_actor.frames")
# Itself, since it is asked for its level with each message.
logger: logging.Logger = log.logger


def is_on() -> bool:
    """Whether frames are logged: the level of this very logger asks for it, whatever those above
    it say."""
    return 0 < logger.level <= logging.DEBUG and logger.isEnabledFor(logging.DEBUG)


def sending(messages: Iterable[Any]) -> None:
    """Log messages that are being sent, if anybody wants to see them."""
    if is_on():
        # Not at the top, here and below: it is slow to import, and few programs log frames.
        from slipstream_actor.telemetry.redaction import parts_of_push

        for message in messages:
            log.debug("push %s %s", *parts_of_push(message))


def received(messages: Iterable[Message]) -> None:
    """Log messages that have come, if anybody wants to see them."""
    if is_on():
        from slipstream_actor.telemetry.redaction import parts_of_received

        for message in messages:
            log.debug("receive %s %s", *parts_of_received(message))
