"""What is shown of messages, in the log of frames and in `debug`: without secrets, and not all.

What stands under or beside a name that looks like a secret's is hidden, at every depth and within
texts, and so is what looks like a token; `bytes` are counted, and what is long is cut. To be
imported when something is to be shown: its patterns take long to compile.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from slipstream_actor.errors import HIDDEN, Shown, without_tokens
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.reason_texts import PHOENIX_REASONS
from slipstream_actor.telemetry.beginning import beginning_of

__all__ = [
    "answer_of",
    "name",
    "names_of",
    "parts_of_push",
    "parts_of_received",
    "payload_of",
    "redacted",
]

LONGEST = 500
# How much of a text is read, and how much is shown of it.
READ, SHOWN = 1000, 200
CONTAINERS = (dict, list, tuple, set, frozenset, Mapping)
SECRET = re.compile(
    r"token|secret|passw|passphrase|passcode|pwd|credential|auth(?!or(?!i))|cookie|session|csrf"
    r"|xsrf|jwt|bearer|signature|private|(?:api|access|signing|encryption|master|license|ssh).?key"
    r"|(?:card|account).?num|card.?no\b|credit.?card|iban|cvv"
    r"|(?<![a-z])(?:pass|pw|pin|cvc|ssn|sid|sig)(?![a-z])|otp(?![a-z])",
    re.IGNORECASE,
)
# Where the words of a name in camel case meet.
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# How a pair that is a mapping calls its two halves.
NAMES = ("name", "Name", "key", "Key", "field", "header", "param", "parameter")
VALUES = ("value", "Value", "values", "val", "content", "data")

# Of a URL; the second is of one that is cut.
USER = re.compile(r"(?<=://)[^/\s\"'<>]*@")
CUT_USER = re.compile(r"(?<=://)[^/\s\"'<>]*\Z")
# A name before a value: in a query, a form, a header, JSON, JSON within JSON.
NAMED = re.compile(r"(?<![\w.\[\]-])([\w.\[\]-]+)(?:\\*[\"'])?\s*(=>?|:|%3[AD])\s*")
QUOTED = r"""\\+"(?:(?!\\+").)*|"(?:[^"\\]|\\.)*|'(?:[^'\\]|\\.)*|[\[{].*"""
VALUE = re.compile(QUOTED + r'|[^\s&"]*', re.DOTALL)
# Of more than one word.
HEADER = re.compile("auth|cookie", re.IGNORECASE)
HEADER_VALUE = re.compile(QUOTED + r'|[^\r\n"]*', re.DOTALL)


class Redacted(Shown):
    """A `repr` of bounded size and depth, without what looks like a secret. Of one value: once it
    has shown as much as a line holds it looks at nothing more, however big the value is."""

    def __init__(self) -> None:
        super().__init__()
        self._left = LONGEST

    def repr1(self, x: Any, level: int) -> str:
        """Show a part of the value, while there is room."""
        if self._left <= 0:
            return "..."
        # Brackets and separators; what is in them is counted where it is shown.
        self._left -= 2
        text = super().repr1(x, level)
        if not isinstance(x, CONTAINERS):
            self._left -= len(text)
        return text

    def repr_dict(self, x: Mapping[Any, Any], level: int) -> str:
        """Show a mapping with the values hidden whose names look like a secret's."""
        if level <= 0:
            return "{...}"
        beside = VALUES if any(is_secret(x.get(name)) for name in NAMES) else ()
        shown = []
        for key, value in itertools.islice(x.items(), self.maxdict):
            hidden = is_secret(key) or key in beside
            name = self.repr1(key, level - 1)  # First, lest the value takes all the room.
            shown.append(f"{name}: {HIDDEN if hidden else self.repr1(value, level - 1)}")
        if len(x) > self.maxdict:
            shown.append("...")
        return f"{{{', '.join(shown)}}}"

    def repr_list(self, x: list[Any], level: int) -> str:
        """Show a list; of a name and a secret, the name."""
        return super().repr_list(without_second(x), level)

    def repr_tuple(self, x: tuple[Any, ...], level: int) -> str:
        """Show a tuple; of a name and a secret, the name."""
        return super().repr_tuple(tuple(without_second(x)), level)

    def repr_set(self, x: set[Any], level: int) -> str:
        """Show a few of a set; to sort all of them would take long."""
        return super().repr_set(set(itertools.islice(x, self.maxset + 1)), level)

    def repr_frozenset(self, x: frozenset[Any], level: int) -> str:
        """Show a few of a set."""
        few = frozenset(itertools.islice(x, self.maxfrozenset + 1))
        return super().repr_frozenset(few, level)

    def repr_str(self, x: str, level: int) -> str:
        """Show the beginning of a text, without what looks like a secret in it."""
        text = without_secrets(x)
        return HIDDEN if text == HIDDEN else quoted(text)

    def repr_instance(self, x: Any, level: int) -> str:
        """Show what JSON has; of all else, which may hold anything, the type."""
        if isinstance(x, Hidden):
            return HIDDEN
        if x is None or isinstance(x, (bool, float)):
            return repr(x)
        if isinstance(x, (bytes, bytearray, memoryview)):
            return f"<{len(x)} bytes>"
        if isinstance(x, msgspec.Raw):
            return self._undecoded(memoryview(x), level)
        if isinstance(x, Mapping):
            return self.repr_dict(x, level)
        return f"<{type(x).__name__}>"

    def _undecoded(self, x: memoryview, level: int) -> str:
        """Show the beginning of JSON that is not decoded yet, as it would be shown decoded."""
        try:
            begun = beginning_of(x[:READ].tobytes())
        except (ValueError, RecursionError):
            return f"<{len(x)} bytes>"
        return self.repr1(begun, level) + ("..." if len(x) > READ else "")


class Hidden:
    """Stands for a value that is not shown."""


def redacted(value: Any) -> str:
    """Return what is shown of a value: the beginning, without what looks like a secret."""
    return Redacted().repr(value)[:LONGEST]


def is_secret(key: Any) -> bool:
    """Whether what stands under `key` is to be hidden, by its name, or by one too long to read."""
    if not isinstance(key, str):
        return False
    return len(key) > READ or SECRET.search(CAMEL.sub("_", key)) is not None


def without_second(items: Any) -> Any:
    """Return a list or tuple; of two of which the first is a secret's name, the first."""
    return [items[0], Hidden()] if len(items) == 2 and is_secret(items[0]) else items


def without_credentials(text: str) -> str:
    """Return the beginning of a text, without tokens and the users of URLs."""
    read = text[:READ]
    if len(text) > READ:
        read = CUT_USER.sub(HIDDEN, read)
    return USER.sub(f"{HIDDEN}@", without_tokens(read))


def without_secrets(text: str) -> str:
    """Return the beginning of a text, also without what stands behind a secret's name."""
    text = without_credentials(text)
    parts, at = [], 0
    for named in NAMED.finditer(text):
        name, sign = named.groups()
        if named.start() >= at and is_secret(name):
            pattern = HEADER_VALUE if sign == ":" and HEADER.search(name) else VALUE
            parts += [text[at : named.end()], HIDDEN]
            value = pattern.match(text, named.end())
            at = value.end() if value is not None else named.end()
    return "".join([*parts, text[at:]])


def quoted(text: str) -> str:
    """Return a text in quotes, cut if it is long."""
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."


def payload_of(message: Any) -> str:
    """Return what is shown of a payload that is being sent."""
    payload = message.payload
    try:
        if message.event == "phx_join":
            payload = names_of(payload)
        return redacted(payload)
    except Exception as error:
        # It is the user's, who may change it meanwhile.
        return f"<{type(payload).__name__}: {type(error).__name__}>"


def names_of(payload: Any) -> Any:
    """Return a payload without its values; as many of its names as are shown, and one more."""
    if not isinstance(payload, Mapping):
        return Hidden()
    return dict.fromkeys(itertools.islice(payload, SHOWN), Hidden())


def answer_of(payload: Any) -> Any:
    """Return the answer to a join without its values, but for a reason of Phoenix's own."""
    names = names_of(payload)
    reason = payload.get("reason") if isinstance(payload, Mapping) else None
    if isinstance(reason, str) and reason in PHOENIX_REASONS:
        names["reason"] = reason
    return names


def name(text: Any) -> str:
    """Return a topic, an event or a status: on one line, in bounds, without tokens."""
    if not isinstance(text, str):
        return redacted(text)
    plain = without_credentials(text)
    return plain if plain.isprintable() and len(plain) <= SHOWN else quoted(plain)


def parts_of_push(message: Any) -> tuple[str, str]:
    """Return what is shown of a message that is being sent: where it goes, and its payload."""
    where = f"{name(message.topic)} {name(message.event)} ({message.join_ref}, {message.ref})"
    return where, payload_of(message)


def parts_of_received(message: Message) -> tuple[str, str]:
    """Return what is shown of a message of the server: where it comes from, of a reply with its
    status, and its payload, of a reply its response alone."""
    status, payload = "", message.payload
    if message.event == "phx_reply" and isinstance(payload, dict):
        status, payload = f"{name(payload.get('status'))} ", payload.get("response")
        if message.join_ref in (None, message.ref):
            payload = answer_of(payload)
    refs = "" if message.ref is None else f" ({message.join_ref}, {message.ref})"
    return f"{status}{name(message.topic)} {name(message.event)}{refs}", redacted(payload)
