"""The option `params` as the pairs of a query."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any

from slipstream_actor.errors import ConfigurationError

__all__ = ["flatten"]

LISTS = (list, tuple, set, frozenset)
NO_NESTING = (
    "must hold only text and numbers in lists (a mapping with the keys 0, 1, and so on, in the"
    " list's place may hold more)"
)


def flatten(params: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """Return the pairs of a query as Plug reads them: `a[]=1` a list, `m[k]=v` a map
    (docs/protocol.md#note-40). Raises `ConfigurationError` for what has no text, and for what Plug
    would put together otherwise."""
    try:
        return list(pairs(params, ""))
    except RecursionError:
        pass  # Its frames hold the values.
    raise ConfigurationError("params", "must not hold themselves, or be nested as deep")


def pairs(params: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of one value, and of those in it."""
    value = plain(params)
    if isinstance(value, Mapping):
        for key, part in value.items():
            inner = text_of(plain(key))
            yield from pairs(part, f"{name}[{inner}]" if name else inner)
    elif isinstance(value, LISTS):
        for part in value:
            if isinstance(plain(part), (Mapping, *LISTS)):
                # Plug makes one item of all those, and keeps the last of equal keys.
                raise wrong(NO_NESTING, part)
            yield from pairs(part, f"{name}[]")
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    else:
        yield name, "" if value is None else text_of(value)


def plain(value: Any) -> Any:
    """Return the value of a member of an enumeration, and any other value as it is."""
    return value.value if isinstance(value, enum.Enum) else value


def text_of(value: Any) -> str:
    """Return the text of one value. Bytes are UTF-8."""
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return clean_text_of(value)
    if callable(value):
        raise wrong("must hold nothing to call within its values", value)
    has_text = type(value).__str__ is not object.__str__  # type: ignore[comparison-overlap]
    if not has_text and not isinstance(value, (int, float)):
        # Its text would be what Python shows of it.
        raise wrong("must hold text, numbers, lists and mappings", value)
    return clean_text_of(str(value))


def clean_text_of(value: str | bytes | bytearray | memoryview) -> str:
    """Return text, as which a subclass of `str` may be written otherwise, or decoded bytes."""
    try:
        if not isinstance(value, str):
            return bytes(value).decode()
        value.encode()
        return str.__str__(value)
    except UnicodeError:
        pass  # It holds the value, and shall not be the error's context.
    raise wrong("must hold text that UTF-8 can hold, or bytes that are UTF-8", value)


def wrong(rule: str, value: Any) -> ConfigurationError:
    """Return the error for a value somewhere in the params."""
    return ConfigurationError("params", f"{rule}; got a value of type {type(value).__name__}")
