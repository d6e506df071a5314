"""Websocket extensions as the header `Sec-WebSocket-Extensions` has them (RFC 6455 section 9.1),
and the parameters of the one that there is here, permessage-deflate (RFC 7692 section 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["DEFLATE", "MOST_BITS", "DeflateParameters", "Extension", "deflate_parameters", "read"]

DEFLATE = "permessage-deflate"
LEAST_BITS, MOST_BITS = 8, 15

# Compiled, by `re` itself, when a connection asks for extensions.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = r'"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*)"'
BITS = {str(bits): bits for bits in range(LEAST_BITS, MOST_BITS + 1)}
FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
WINDOWS = ("server_max_window_bits", "client_max_window_bits")


class Extension(NamedTuple):
    """One extension: its name, and its parameters as they came; those without a value have `None`.

    Names of extensions and parameters are in lower case.
    """

    name: str
    parameters: tuple[tuple[str, str | None], ...]


class DeflateParameters(NamedTuple):
    """The parameters of permessage-deflate: what was said of the windows is `None` if nothing was.

    `client_max_window_bits` without a value, which is for offers alone, is 15.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None

    def __str__(self) -> str:
        parts = [DEFLATE]
        parts += [name for name in FLAGS if getattr(self, name)]
        parts += [f"{name}={bits}" for name in WINDOWS if (bits := getattr(self, name)) is not None]
        return "; ".join(parts)


def read(header: str) -> list[Extension]:
    """Return the extensions that a header's value names.

    Raises `ValueError`, here as below with a text that goes on after what has been read, and
    quotes nobody.
    """
    return [extension_of(item) for item in parted(header, ",") if item.strip(" \t")]


def parted(text: str, by: str) -> Iterator[str]:
    """Yield the parts of `text` between `by`, which does not count in what is quoted."""
    begin = at = 0
    while at < len(text):
        if text[at] == '"':
            quoted = re.compile(QUOTED).match(text, at)
            at = quoted.end() if quoted is not None else len(text)
            continue
        if text[at] == by:
            yield text[begin:at]
            begin = at + 1
        at += 1
    yield text[begin:]


def extension_of(item: str) -> Extension:
    """Return the extension that one item of the header names."""
    name, *parameters = (part.strip(" \t") for part in parted(item, ";"))
    return Extension(token(name), tuple(map(parameter_of, parameters)))


def parameter_of(part: str) -> tuple[str, str | None]:
    """Return a parameter's name and value. What is quoted has to be a token without its quotes."""
    name, equals, value = (piece.strip(" \t") for piece in part.partition("="))
    if not equals:
        return token(name), None
    quoted = re.fullmatch(QUOTED, value)
    if quoted is not None:
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    if re.fullmatch(TOKEN, value) is None:
        raise ValueError("has a value that can be none")
    return token(name), value


def token(text: str) -> str:
    if re.fullmatch(TOKEN, text) is None:
        raise ValueError("lacks a name, or has one that is none")
    return text.lower()


def deflate_parameters(extension: Extension, *, offered: bool) -> DeflateParameters:
    """Return the parameters of a permessage-deflate that is `offered`, or else answered.

    Raises `ValueError`.
    """
    found: dict[str, bool | int] = {}
    for name, value in extension.parameters:
        if name not in FLAGS and name not in WINDOWS:
            raise ValueError("has a parameter that there is not")
        if name in found:
            raise ValueError(f"has {name} twice")
        found[name] = value_of(name, value, offered=offered)
    return DeflateParameters(**found)  # type: ignore[arg-type]


def value_of(name: str, value: str | None, *, offered: bool) -> bool | int:
    """Return what a parameter says. Raises `ValueError`."""
    if name in FLAGS:
        if value is not None:
            raise ValueError(f"has a value for {name}, which takes none")
        return True
    if value is None:
        if offered and name == "client_max_window_bits":
            return MOST_BITS
        raise ValueError(f"has no value for {name}")
    if value not in BITS:
        raise ValueError(f"has a {name} that is not from {LEAST_BITS} to {MOST_BITS}")
    return BITS[value]
