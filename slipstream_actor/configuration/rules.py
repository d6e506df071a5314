"""What the options of `connect` may hold: each rule returns the value to keep, or raises."""

from __future__ import annotations

import inspect
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from slipstream_actor.configuration.extensions import DEFLATE, deflate_parameters, read
from slipstream_actor.configuration.query import flatten
from slipstream_actor.configuration.retry import Policy
from slipstream_actor.configuration.uris import without_escapes

__all__ = [
    "Rule",
    "RuleError",
    "clean_text",
    "codec",
    "header_pairs",
    "instance",
    "known_extensions",
    "known_vsn",
    "methods",
    "optional",
    "parse_uri",
    "policy",
    "query_params",
    "socket_options",
    "token",
    "truth",
    "whole",
]

Rule: TypeAlias = Callable[[Any], Any]

# Headers that belong to the upgrade, or would end it early and let the server read on.
NOT_OURS_TO_SET = frozenset(
    {
        "connection",
        "content-length",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    }
)
SENT_ONCE = frozenset({"host", "origin", "sec-websocket-protocol"})
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f]")


class RuleError(Exception):
    """A value breaks an option's rule, which is the text."""


def whole(least: int) -> Rule:
    """Require a whole number of at least `least`."""

    def rule(value: Any) -> int:
        if type(value) is not int or value < least:
            raise RuleError(f"must be a whole number of at least {least}")
        return value

    return rule


def instance(types: type | tuple[type, ...], rule_text: str) -> Rule:
    """Require an instance of `types`."""

    def rule(value: Any) -> Any:
        if not isinstance(value, types):
            raise RuleError(rule_text)
        return value

    return rule


def optional(rule: Rule) -> Rule:
    """Let `None` pass."""
    return lambda value: None if value is None else rule(value)


def methods(*names: str) -> Rule:
    """Require an object or module with callables of these names."""

    def rule(value: Any) -> Any:
        if not all(callable(getattr(value, name, None)) for name in names):
            raise RuleError(f"must be an object or module with {' and '.join(names)}")
        return value

    return rule


def codec(value: Any) -> Any:
    """Require an object that encodes and decodes, and not the class of such objects."""
    if isinstance(value, type) and inspect.isfunction(inspect.getattr_static(value, "encode", 0)):
        raise RuleError("must be an object, not its class")
    return methods("encode", "decode")(value)


def policy(value: Any) -> Policy:
    """Require a list of milliseconds that is not empty, or a callable that returns them."""
    if callable(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or not value:
        raise RuleError("must be a list of whole milliseconds that is not empty, or a callable")
    if not all(type(item) is int and item >= 0 for item in value):
        raise RuleError("must hold whole milliseconds of at least 0")
    return tuple(value)


def parse_uri(value: Any) -> urllib.parse.SplitResult:
    """Require a ws or wss URI: a string, or a result of `urllib.parse`."""
    if isinstance(value, (urllib.parse.SplitResult, urllib.parse.ParseResult)):
        value = value.geturl()
    if not isinstance(value, str):
        raise RuleError("must be a string or a result of urllib.parse")
    clean_text(value)
    if "#" in value:
        raise RuleError("must have no fragment (RFC 6455 section 3): a # within it is written %23")
    try:
        uri = urllib.parse.urlsplit(value)
        port = uri.port
        host = uri.hostname
        if host is not None and " " in clean_text(without_escapes(host)):
            raise ValueError
        if host is not None and not host.isascii():
            host.encode("idna")
    except ValueError:
        raise RuleError("must be a URI with a host and a port from 1 to 65535") from None
    if (meant := {"http": "ws", "https": "wss"}.get(uri.scheme)) is not None:
        ending = "" if uri.path.endswith("/websocket") else "; Phoenix's path ends in /websocket"
        raise RuleError(f"must begin with {meant}:// in the place of {uri.scheme}://{ending}")
    if uri.scheme not in ("ws", "wss"):
        raise RuleError("must begin with ws:// or wss://")
    if not host or port == 0:
        raise RuleError("must be a URI with a host and a port from 1 to 65535")
    return uri


def clean_text(value: Any) -> str:
    """Require printable text: a CR or LF would split the request."""
    if not isinstance(value, str):
        raise RuleError("must be text")
    require_utf8(value)
    if CONTROL_CHARACTERS.search(value):
        raise RuleError("must hold no control characters (a CR or LF would split the request)")
    # What is written of a subclass, such as an enumeration's, may be another text.
    return str.__str__(value)


def header_pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """Require a mapping or a list of pairs of header names and values."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise RuleError("must be a mapping or a list of pairs of text")
    kept = []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise RuleError("must be a mapping or a list of pairs of text")
        name, content = (clean_text(part) for part in pair)
        if not name or any(c in '()<>@,;:\\"/[]?={} ' or not c.isascii() for c in name):
            raise RuleError("must have header names that are tokens (RFC 9110 section 5.1)")
        kept.append((name, content))
    names = [name.lower() for name, _ in kept]
    for name in sorted(NOT_OURS_TO_SET.intersection(names)):
        raise RuleError(f"must not hold {name}, which belongs to the upgrade")
    for name in sorted(SENT_ONCE):
        if names.count(name) > 1:
            raise RuleError(f"must hold {name} once")
    return tuple(kept)


def query_params(value: Any) -> Any:
    """Require a mapping, or a callable that returns one; what is there already has to be text, or
    to have one (`ConfigurationError`)."""
    if callable(value):
        return value
    if not isinstance(value, Mapping):
        raise RuleError("must be a mapping, or a callable that returns one")
    flatten({key: None if callable(part) else part for key, part in value.items()})
    return value


def require_utf8(text: str) -> None:
    """Raise `RuleError` for text with a surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RuleError("must be text that UTF-8 can hold") from None


def token(value: Any) -> Any:
    """Require text, or a callable that returns it."""
    if isinstance(value, str):
        require_utf8(value)
    elif not callable(value):
        raise RuleError("must be text, or a callable that returns it")
    return value


def socket_options(value: Any) -> tuple[tuple[Any, ...], ...]:
    """Require a list of what `socket.setsockopt` takes."""
    if not isinstance(value, (list, tuple)):
        raise RuleError("must be a list of (level, option, value)")
    if not all(isinstance(item, (tuple, list)) and len(item) in (3, 4) for item in value):
        raise RuleError("must be a list of (level, option, value)")
    return tuple(tuple(item) for item in value)


def known_extensions(value: Any) -> tuple[str, ...]:
    """Require a list of extensions that there are here, each as the header has it."""
    if not isinstance(value, (list, tuple)):
        raise RuleError(f'must be a list, such as ["{DEFLATE}"]')
    for item in value:
        if not isinstance(item, str):
            raise RuleError(f'must hold text, such as "{DEFLATE}"')
        known_extension(item)
    if len(value) > 1:
        raise RuleError(f"must hold {DEFLATE} once")
    return tuple(value)


def known_extension(item: str) -> None:
    """Require the header's value of permessage-deflate, alone, and with parameters that it has."""
    text = clean_text(item)
    try:
        extensions = read(text)
        if [extension.name for extension in extensions] != [DEFLATE]:
            raise RuleError(f"must hold nothing but {DEFLATE}, with its parameters or without")
        deflate_parameters(extensions[0], offered=True)
    except ValueError as error:
        raise RuleError(f"must hold {DEFLATE} as RFC 7692 has it: this {error}") from None


def known_vsn(value: Any) -> str:
    """Require a version of the serializer."""
    if value not in ("2.0.0", "1.0.0"):
        raise RuleError("must be '2.0.0' or '1.0.0'")
    return str.__str__(value)


def truth(value: Any) -> bool:
    """Require `True` or `False`."""
    if not isinstance(value, bool):
        raise RuleError("must be True or False")
    return value
