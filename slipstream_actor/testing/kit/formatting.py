"""How values and requests are shown when an assertion fails.

The texts are meant to be read as they are: under unittest there is nothing else.
"""

from __future__ import annotations

import pprint
import re
from typing import Any

from slipstream_actor.protocol.matching import ANY

__all__ = ["cut", "describe", "indented", "shown"]

WIDTH = 88
# Of one value; a test may push megabytes.
MOST_CHARACTERS = 400


def shown(pattern: Any) -> str:
    """Return how a pattern is told: a predicate by its name."""
    if pattern is ANY:
        return "ANY"
    if isinstance(pattern, re.Pattern):
        return f"{cut(repr(pattern.pattern))} (a pattern)"
    if callable(pattern) and hasattr(pattern, "__name__"):
        return f"{pattern.__name__} (a predicate)"
    return cut(repr(pattern))


def cut(text: str) -> str:
    """Return `text`, without its middle if it is too long to be read."""
    left_out = len(text) - MOST_CHARACTERS
    if left_out <= 0:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]} … {left_out} characters … {text[-half:]}"


def describe(request: Any) -> list[str]:
    """Return the lines that show a request: what is too long for one is laid out below it."""
    line = str(request)
    if len(line) <= WIDTH:
        return [line]
    name = "params" if hasattr(request, "params") else "payload"
    if not hasattr(request, name):
        return [cut(line)]
    value = getattr(request, name)
    head = line.removesuffix(f" {value!r}")
    laid_out = pprint.pformat(value, width=WIDTH, sort_dicts=False)
    return [cut(head), *indented(cut(laid_out).splitlines())]


def indented(lines: list[str]) -> list[str]:
    """Return the lines, one step further in."""
    return [f"    {line}" for line in lines]
