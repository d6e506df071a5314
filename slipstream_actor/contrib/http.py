"""Which HTTP status a web application answers when a client's work did not succeed."""

from __future__ import annotations

from typing import Any

from slipstream_actor.errors import (
    AwaitTimeoutError,
    CancelledError,
    ClientEndedError,
)
from slipstream_actor.protocol.message import ReplyError
from slipstream_actor.socket.errors import NotConnectedError, NotJoinedError, SendBufferFullError

__all__ = ["RETRY_AFTER", "http_status"]

# Seconds after which a 503 is worth another try.
RETRY_AFTER = 1

CONFLICT, UNAVAILABLE, GATEWAY_TIMEOUT = 409, 503, 504
UNAVAILABLE_FOR_NOW = (
    AwaitTimeoutError,
    CancelledError,
    ClientEndedError,
    NotConnectedError,
    NotJoinedError,
    SendBufferFullError,
)


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status for what `request`, `invoke` or `Reply.unwrap` has raised.

    409 for a reply of status "error", and any other than "ok"; 504 for what was sent and not
    replied to in time; 503 for what the client could not do now, connection and topic included.
    `None` for all else: that is a mistake in the program, and a 500.
    """
    if isinstance(error, ReplyError):
        return CONFLICT
    if not isinstance(error, UNAVAILABLE_FOR_NOW):
        return None
    maybe_sent = isinstance(error, AwaitTimeoutError) and error.maybe_sent
    return GATEWAY_TIMEOUT if maybe_sent else UNAVAILABLE


def problem(error: Exception) -> dict[str, Any]:
    """Return the body of such an answer: the kind of the error, and nothing of what it says.

    Its text names topics and addresses, which are nobody's business outside.
    """
    return {"error": type(error).__name__}
