"""What arguments must be: each returns the value, or raises a `TypeError` that names it."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

__all__ = ["require_delay", "require_seconds", "require_text", "require_timeout"]


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


def require_delay(name: str, value: Any) -> float | None:
    """Return `value` if it is a number of seconds, 0 or more, or `None`."""
    seconds = require_seconds(name, value)
    if seconds is not None and not 0 <= seconds < math.inf:
        raise ValueError(f"{name} must be seconds, 0 or more, not {value!r}")
    return seconds


def require_timeout(name: str, value: Any) -> float | None:
    """Return `value` if it is a number of seconds, more than 0, or `None`."""
    seconds = require_seconds(name, value)
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"{name} must be seconds, more than 0, not {value!r}")
    return seconds
