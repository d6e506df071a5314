"""Retry policies: from the number of an attempt to the milliseconds that it waits.

A policy is a list, whose last item repeats (Slipstream's schedules), or a callable that takes the
attempt's number, 1 for the first (phoenix.js's `reconnectAfterMs` and `rejoinAfterMs`), and, if it
has a second positional parameter, the reason of the last failure.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, TypeAlias

from slipstream_actor.errors import ConfigurationError

__all__ = ["Policy", "delay"]

Policy: TypeAlias = tuple[int, ...] | Callable[..., float]


def chance(most: float) -> float:
    """Return a number from 0 to `most`, by chance."""
    # Not with `random`: it is slow to import, and at the first delay no file may be left to open.
    return most * int.from_bytes(os.urandom(4)) / 0xFFFFFFFF


def delay(option: str, policy: Policy, attempt: int, jitter: int = 0, reason: Any = None) -> float:
    """Return the seconds before an attempt: the policy's, and a random part of `jitter`.

    `option` names the policy, `jitter` is in milliseconds, `reason` is that of the last failure.
    Raises `ConfigurationError` when a callable raises, or returns something else than milliseconds.
    """
    if callable(policy):
        msec = call_policy(option, policy, attempt, reason)
    else:
        msec = policy[min(attempt, len(policy)) - 1]
    return (msec + (chance(jitter) if jitter else 0)) / 1000


def call_policy(option: str, policy: Callable[..., float], attempt: int, reason: Any) -> float:
    """Return what a callable has for an attempt."""
    arguments = (attempt, reason) if takes_reason(policy) else (attempt,)
    try:
        msec = policy(*arguments)
    except Exception as error:
        raise ConfigurationError(option, f"raised {type(error).__name__}") from error
    if type(msec) not in (int, float) or not msec >= 0:
        got = f"a value of type {type(msec).__name__}" if type(msec) is not float else str(msec)
        raise ConfigurationError(option, f"must return milliseconds of at least 0; got {got}")
    return msec


def takes_reason(policy: Callable[..., float]) -> bool:
    """Whether a policy has a second positional parameter, one without a default."""
    try:
        parameters = inspect.signature(policy).parameters.values()
    except (TypeError, ValueError):  # Of some builtins nothing is known.
        return False
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len([p for p in positional if p.default is p.empty]) >= 2
