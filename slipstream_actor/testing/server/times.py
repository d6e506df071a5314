"""Times as arguments: the rule of `configuration.arguments`, which the server does not import."""

from __future__ import annotations

import math

__all__ = ["require_delay", "require_timeout"]


def require_delay(name: str, seconds: float) -> float:
    """Returns `seconds`; raises `ValueError` for NaN and infinity, `TypeError` for no number."""
    try:
        ends = math.isfinite(seconds)
    except TypeError:
        raise TypeError(f"{name} must be seconds, not {seconds!r}") from None
    if not ends:
        raise ValueError(f"{name} must be seconds that come to an end, not {seconds}")
    return seconds


def require_timeout(seconds: float | None) -> float | None:
    """Returns `seconds`, and None, for ever, for infinity; raises as `require_delay` does."""
    if seconds is None or seconds == math.inf:
        return None
    return require_delay("timeout", seconds)
