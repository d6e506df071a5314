"""Query strings as Plug reads them (docs/protocol.md#note-40).

`a[]=1` is a list, `m[k]=v` a map, `+` a space, and the last of two equal names wins.
"""

from __future__ import annotations

import re
from typing import Any

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


class BadQuery(ValueError):
    """A query that is no UTF-8, for which Plug answers 400 (docs/protocol.md#note-39)."""


def parse(query: bytes) -> dict[str, Any]:
    """The params in `query`.

    Raises `BadQuery`. An escape that is none stands for itself, as Plug has it.
    """
    params: dict[str, Any] = {}
    for pair in query.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            _assign(params, _path(_decode(name)), _decode(value))
    return params


def _decode(text: bytes) -> str:
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.replace(b"+", b" "))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadQuery(str(error)) from error


def _path(name: str) -> list[str]:
    at = name.find("[")
    if at <= 0 or not re.fullmatch(r"(\[[^\[\]]*\])+", name[at:]):
        return [name]
    return [name[:at], *_BRACKETS.findall(name[at:])]


def _assign(into: dict[str, Any], path: list[str], value: str) -> None:
    key, *rest = path
    if not rest:
        into[key] = value
    elif rest == [""]:
        items = into.setdefault(key, [])
        if isinstance(items, list):
            items.append(value)
    else:
        inner = into.setdefault(key, {})
        if isinstance(inner, dict):
            _assign(inner, rest, value)
