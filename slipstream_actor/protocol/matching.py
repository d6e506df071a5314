"""Patterns for messages: what `await_message` and the test kit match with."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["ANY", "matches"]


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
