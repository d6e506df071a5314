"""What arguments must be: each returns the value, or raises an error that names it.

The rule for times, wherever the library takes one. It is a number of seconds: anything else is a
`TypeError`, and NaN a `ValueError`. Where `None` means for ever, so does infinity; elsewhere
infinity is a `ValueError`. What is less than 0 is as 0, since it may be what is left of a time:
a wait only looks, a timer is due at once. Where 0 makes no sense it has to be more, which is said.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

__all__ = [
    "kind_given",
    "require_delay",
    "require_optional_delay",
    "require_seconds",
    "require_text",
]

# A time of so many seconds is for ever: no clock can be told of a longer one.
FOREVER = 1e15


def kind_given(value: Any) -> str:
    """Return what an argument is, for an error: a class by its name; of all else, which may be a
    secret in the wrong place, the type."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def require_text(name: str, value: Any) -> str:
    """Return `value` if it is a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def require_seconds(name: str, value: Any) -> float | None:
    """Return `value` if it is a number of seconds, or `None`, which means for ever."""
    kind = type(value)
    if (kind is float or kind is int) and -FOREVER < value < FOREVER:
        return value  # type: ignore[no-any-return] # At once: other kinds take long.
    if value is None:
        return None
    require_number(name, value, " or None")
    return None if value >= FOREVER else value


def require_delay(name: str, value: Any, *, more_than_none: bool = False) -> float:
    """Return `value` if it is a number of seconds that is not infinite."""
    require_number(name, value)
    if value >= FOREVER:
        raise ValueError(f"{name} must be seconds that come to an end")
    if more_than_none and not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value}")
    return value  # type: ignore[no-any-return]


def require_optional_delay(name: str, value: Any, *, more_than_none: bool = False) -> float | None:
    """Return `value` if it is `None`, or a number of seconds, 0 or more, that is not infinite."""
    if value is None:
        return None
    seconds = require_delay(name, value, more_than_none=more_than_none)
    if seconds < 0:
        raise ValueError(f"{name} must be 0 seconds or more, not {value}")
    return seconds


def require_number(name: str, value: Any, instead: str = "") -> None:
    """Raise unless `value` is a number; `instead` is what else it may be."""
    number: Any = value  # `Real` has no order to type checkers.
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be seconds{instead}, not {type(value).__name__}")
    if not (number < 0 or number >= 0):  # Of any kind of numbers.
        raise ValueError(f"{name} must be seconds{instead}, not NaN")
