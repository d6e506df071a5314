"""Params of a connection or a join that are called when they are needed: for short-lived tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["evaluate", "has_callables"]


def has_callables(params: Any) -> bool:
    """Whether there is something to call: the params themselves, or a value in them."""
    if isinstance(params, Mapping):
        return any(map(callable, params.values()))
    return callable(params)


def evaluate(params: Any) -> Any:
    """Return params with their callables called; what these raise goes through."""
    if callable(params):
        params = params()
    if isinstance(params, Mapping):
        return {key: part() if callable(part) else part for key, part in params.items()}
    return params
