"""Retry policies: from the number of an attempt to the milliseconds that it waits.

A policy is a list, whose last item repeats (Slipstream's schedules), or a callable that takes the
attempt's number, 1 for the first (phoenix.js's `reconnectAfterMs` and `rejoinAfterMs`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from slipstream_actor.errors import ConfigurationError

__all__ = ["Policy", "delay"]

Policy: TypeAlias = tuple[int, ...] | Callable[[int], float]


def delay(
    option: str,
    policy: Policy,
    attempt: int,
    jitter: int = 0,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return the seconds before an attempt: the policy's, and a random part of `jitter`.

    `option` names the policy, `jitter` is in milliseconds. Raises `ConfigurationError` when a
    callable raises, or returns something else than milliseconds.
    """
    if callable(policy):
        msec = call_policy(option, policy, attempt)
    else:
        msec = policy[min(attempt, len(policy)) - 1]
    return (msec + (uniform(0, jitter) if jitter else 0)) / 1000


def call_policy(option: str, policy: Callable[[int], float], attempt: int) -> float:
    """Return what a callable has for an attempt."""
    try:
        msec = policy(attempt)
    except Exception as error:
        raise ConfigurationError(option, f"raised {type(error).__name__}") from error
    if type(msec) not in (int, float) or not msec >= 0:
        got = f"a value of type {type(msec).__name__}" if type(msec) is not float else str(msec)
        raise ConfigurationError(option, f"must return milliseconds of at least 0; got {got}")
    return msec
