"""Patterns for messages: what `await_message` and the test kit match with."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["ANY", "matches", "require_text_pattern"]

# Of what no text is equal to any, nor matches it.
NO_TEXTS = (bytes, dict, float, frozenset, int, list, set, tuple, type(None))


class Anything:
    """Matches every value."""

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> str:
        return "ANY"  # The one that there is, in another process too.


ANY = Anything()


def matches(pattern: Any, value: Any) -> bool:
    """Whether `value` matches `pattern`.

    A dict matches a dict that has its keys, with values that match; a list matches elementwise; a
    compiled pattern must match a string in full; a callable is a predicate; all else is `==`.
    """
    if pattern is ANY:
        return True
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            key in value and matches(part, value[key]) for key, part in pattern.items()
        )
    if isinstance(pattern, list):
        return (
            isinstance(value, list)
            and len(pattern) == len(value)
            and all(map(matches, pattern, value))
        )
    if isinstance(pattern, re.Pattern):
        return isinstance(value, type(pattern.pattern)) and pattern.fullmatch(value) is not None
    if callable(pattern):
        return bool(pattern(value))
    return bool(pattern == value)


def require_text_pattern(name: str, pattern: Any) -> None:
    """Raise `TypeError` for a pattern of a topic or an event that matches none, whatever comes: a
    payload in its place, mostly."""
    if type(pattern) is str or pattern is ANY:
        return
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, bytes):
        raise TypeError(f"{name} must be a pattern for a text, not for bytes")
    if isinstance(pattern, NO_TEXTS):
        kind = type(pattern).__name__
        raise TypeError(f"{name} must be a text, ANY or a pattern for a text, not a {kind}")
