"""Query strings as Plug reads them (docs/protocol.md#note-40).

`a[]=1` is a list, `m[k]=v` a map, `+` a space, and the last of two equal names wins. What is
nested in a list is one item of it, as since Plug 1.14.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")

_Path: TypeAlias = tuple[str, ...]
# Of each map and list, by the keys that lead to it, its own keys and values as they came: "" in a
# list, and a path for what is nested.
_Levels: TypeAlias = dict[_Path, list[tuple[str, str | _Path]]]


class BadQuery(ValueError):
    """A query that is no UTF-8, for which Plug answers 400 (docs/protocol.md#note-39)."""


def parse(query: bytes) -> dict[str, Any]:
    """The params in `query`.

    Raises `BadQuery`. An escape that is none stands for itself, as Plug has it.
    """
    levels: _Levels = {(): []}
    for pair in query.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            _insert(levels, _path(_decode(name)), _decode(value))
    return _built(levels)


def _decode(text: bytes) -> str:
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.replace(b"+", b" "))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadQuery(str(error)) from error


def _path(name: str) -> _Path:
    at = name.find("[")
    if at <= 0 or not name.endswith("]"):
        return (name,)
    return (name[:at], *name[at + 1 : -1].split("]["))


def _insert(levels: _Levels, path: _Path, value: str | _Path) -> None:
    """Note a value where its path leads, and each new map or list on the way in the one above."""
    while True:
        *above, key = path
        path = tuple(above)
        known = path in levels
        levels.setdefault(path, []).append((key, value))
        if known:
            return
        value = path


def _built(levels: _Levels) -> dict[str, Any]:
    """What the innermost hold first, and at last the whole."""
    built: dict[_Path, Any] = {}
    for path in sorted(levels, key=len, reverse=True):
        pairs = [(k, built[v] if isinstance(v, tuple) else v) for k, v in levels[path]]
        if path and pairs[-1][0] == "":
            built[path] = [value for key, value in pairs if key == ""]
        else:
            built[path] = {key: value for key, value in pairs if key != "" or not path}
    whole: dict[str, Any] = built[()]
    return whole
