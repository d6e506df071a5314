"""Every message of a connection in the log, at debug level: phoenix.js's `logger`.

    push rooms:lobby new:msg (3, 7) {'body': 'hello'}
    receive ok rooms:lobby phx_reply (3, 7) {'body': 'hello'}

Of the params of a join, and of the answer that accepts it, only the names are shown (the messages
of V1 do not say which reply is one: there, of every reply). Elsewhere what stands under a key that
looks like a secret's is hidden, at every depth, and so is text that looks like a token; `bytes` are
counted, and what is long is cut.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slipstream_actor.errors import Shown, shown
from slipstream_actor.message import Message

__all__ = ["receiving", "sending"]

logger: logging.Logger = logging.getLogger("slipstream_actor.frames")

LONGEST = 500
HIDDEN = "…"
SECRET = re.compile(
    r"token|secret|passw|passphrase|passcode|credential|auth|cookie|session|jwt|bearer"
    r"|signature|private|api.?key|access.?key|otp\b|\bpin\b|cvv|\bcvc\b|ssn",
    re.IGNORECASE,
)
# A bearer's, Phoenix.Token's and JSON Web Tokens, whatever they stand under.
TOKEN = re.compile(r"\s*(?:bearer\s|SFMyNTY|eyJ)", re.IGNORECASE)


class Redacted(Shown):
    """A `repr` of bounded size and depth, without what looks like a secret."""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """Show a mapping with the values hidden whose keys look like a secret's."""
        if level <= 0:
            return "{...}"
        shown = []
        for key, value in list(x.items())[: self.maxdict]:
            text = HIDDEN if is_secret(key) else self.repr1(value, level - 1)
            shown.append(f"{self.repr1(key, level - 1)}: {text}")
        if len(x) > self.maxdict:
            shown.append("...")
        return f"{{{', '.join(shown)}}}"

    def repr_str(self, x: str, level: int) -> str:
        """Show a text, unless it looks like a token."""
        return HIDDEN if TOKEN.match(x) else super().repr_str(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        """Show what JSON has; of all else, which may hold anything, the type."""
        if isinstance(x, Hidden):
            return HIDDEN
        if x is None or isinstance(x, (bool, float)):
            return repr(x)
        if isinstance(x, (bytes, bytearray, memoryview)):
            return f"<{len(x)} bytes>"
        if isinstance(x, Mapping):
            return self.repr_dict(dict(x), level)
        return f"<{type(x).__name__}>"


class Hidden:
    """Stands for the value of a join's param."""


redacted: Callable[[Any], str] = Redacted().repr


def is_secret(key: Any) -> bool:
    """Whether what stands under `key` is to be hidden, by its name."""
    return isinstance(key, str) and SECRET.search(key) is not None


def sending(messages: Iterable[Any]) -> None:
    """Log messages that are being sent, if anybody wants to see them."""
    if logger.isEnabledFor(logging.DEBUG):
        for m in messages:
            where = f"{name(m.topic)} {name(m.event)} ({m.join_ref}, {m.ref})"
            logger.debug("push %s %s", where, payload_of(m))


def receiving(receive: Callable[[Message, float], bool]) -> Callable[[Message, float], bool]:
    """Return `receive`, which logs what it is given if anybody wants to see it."""
    if not logger.isEnabledFor(logging.DEBUG):
        return receive

    def logged(message: Message, now: float) -> bool:
        log_received(message)
        return receive(message, now)

    return logged


def payload_of(message: Any) -> str:
    """Return what is shown of a payload that is being sent."""
    payload = message.payload
    try:
        if message.event == "phx_join":
            payload = names_of(payload)
        return redacted(payload)[:LONGEST]
    except Exception as error:
        # It is the user's, who may change it meanwhile.
        return f"<{type(payload).__name__}: {type(error).__name__}>"


def names_of(payload: Any) -> Any:
    """Return a payload without its values."""
    return dict.fromkeys(payload, Hidden()) if isinstance(payload, Mapping) else Hidden()


def name(text: Any) -> str:
    """Return a topic, an event or a status: on one line, in bounds."""
    plain = isinstance(text, str) and text.isprintable() and len(text) <= 200
    return text if plain else shown(text)


def log_received(message: Message) -> None:
    """Log a message of the server: of a reply its status, and its response alone."""
    status, payload = "", message.payload
    if message.event == "phx_reply" and isinstance(payload, dict):
        status, payload = f"{name(payload.get('status'))} ", payload.get("response")
        if status == "ok " and message.join_ref in (None, message.ref):
            payload = names_of(payload)
    refs = "" if message.ref is None else f" ({message.join_ref}, {message.ref})"
    where = f"{name(message.topic)} {name(message.event)}"
    logger.debug("receive %s%s%s %s", status, where, refs, redacted(payload)[:LONGEST])
