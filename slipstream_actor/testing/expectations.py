"""What an assertion of the test kit expects, how a request differs from it, and how that is told.

The texts are meant to be read as they are: under unittest there is nothing else.
"""

from __future__ import annotations

import pprint
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from slipstream_actor.matching import ANY, matches

__all__ = ["Expectation", "describe", "differences"]

WIDTH = 88


class Expectation(msgspec.Struct, frozen=True, eq=False):
    """A request of one kind, which `noun` is the word for, and whose fields match patterns."""

    noun: str
    kind: type
    patterns: dict[str, Any]

    def is_met_by(self, request: Any) -> bool:
        """Whether `request` is what is expected."""
        return type(request) is self.kind and all(
            matches(pattern, getattr(request, name)) for name, pattern in self.patterns.items()
        )

    def differences_of(self, request: Any) -> list[str]:
        """Return a line for each place where a request of this kind is not as expected."""
        if type(request) is not self.kind:
            return []
        return [
            line
            for name, pattern in self.patterns.items()
            for line in differences(pattern, getattr(request, name), name)
        ]

    def lines(self) -> list[str]:
        """Return a line for each pattern."""
        return indented([f"{name} = {shown(pattern)}" for name, pattern in self.patterns.items()])


def differences(pattern: Any, value: Any, path: str) -> Iterator[str]:
    """Yield what keeps `value` from matching, one line for each place."""
    if matches(pattern, value):
        return
    if isinstance(pattern, dict) and isinstance(value, dict):
        for key, part in pattern.items():
            place = f"{path}[{key!r}]"
            if key in value:
                yield from differences(part, value[key], place)
            else:
                yield f"{place}: expected {shown(part)}, and it is missing"
    elif isinstance(pattern, list) and isinstance(value, list):
        if len(pattern) != len(value):
            yield f"{path}: expected {len(pattern)} items, got {len(value)}: {value!r}"
            return
        for at, (part, item) in enumerate(zip(pattern, value, strict=True)):
            yield from differences(part, item, f"{path}[{at}]")
    else:
        yield f"{path}: expected {shown(pattern)}, got {value!r}"


def shown(pattern: Any) -> str:
    """Return how a pattern is told: a predicate by its name."""
    if pattern is ANY:
        return "ANY"
    if isinstance(pattern, re.Pattern):
        return f"{pattern.pattern!r} (a pattern)"
    if callable(pattern) and hasattr(pattern, "__name__"):
        return f"{pattern.__name__} (a predicate)"
    return repr(pattern)


def describe(request: Any) -> list[str]:
    """Return the lines that show a request: what is too long for one is laid out below it."""
    line = str(request)
    if len(line) <= WIDTH:
        return [line]
    name = "params" if hasattr(request, "params") else "payload"
    if not hasattr(request, name):
        return [line]
    value = getattr(request, name)
    head = line.removesuffix(f" {value!r}")
    laid_out = pprint.pformat(value, width=WIDTH, sort_dicts=False)
    return [head, *indented(laid_out.splitlines())]


def indented(lines: list[str]) -> list[str]:
    """Return the lines, one step further in."""
    return [f"    {line}" for line in lines]
