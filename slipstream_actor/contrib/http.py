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
# Those that know whether it was sent.
MAYBE_SENT = (AwaitTimeoutError, NotConnectedError, NotJoinedError)


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status for what `request`, `invoke` or `Reply.unwrap` has raised.

    409 for a reply of status "error", and any other than "ok"; 504 for what may have been sent and
    has no reply, be it for the time or for the end of the connection or the channel: to do it again
    may be to do it twice. 503 for what the client could not do now, and has not sent. `None` for
    all else: that is a mistake in the program, and a 500.
    """
    if isinstance(error, ReplyError):
        return CONFLICT
    if not isinstance(error, UNAVAILABLE_FOR_NOW):
        return None
    return GATEWAY_TIMEOUT if may_have_been_sent(error) else UNAVAILABLE


def may_have_been_sent(error: BaseException) -> bool:
    """Whether an error is that of a `request` which the server may have seen."""
    return isinstance(error, MAYBE_SENT) and error.maybe_sent


def problem(error: Exception) -> dict[str, Any]:
    """Return the body of such an answer: the kind of the error, whether it may have been done all
    the same, and nothing of what the error says.

    Its text names topics and addresses, which are nobody's business outside.
    """
    body: dict[str, Any] = {"error": type(error).__name__}
    if may_have_been_sent(error):
        body["maybe_sent"] = True
    return body
