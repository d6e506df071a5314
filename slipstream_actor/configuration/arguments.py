"""What arguments must be: each returns the value, or raises a `TypeError` that names it."""

from __future__ import annotations

from numbers import Real
from typing import Any

__all__ = ["require_seconds", "require_text"]


def require_text(name: str, value: Any) -> str:
    """Return `value` if it is a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def require_seconds(name: str, value: Any) -> float | None:
    """Return `value` if it is a number of seconds, or `None`, which means for ever."""
    if type(value) is float or type(value) is int:
        return value  # At once: looking at the other kinds of numbers takes long.
    if value is not None and (not isinstance(value, Real) or isinstance(value, bool)):
        raise TypeError(f"{name} must be seconds or None, not {type(value).__name__}")
    return value  # type: ignore[return-value]
