"""What an assertion of the test kit expects, and how a request differs from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from slipstream_actor.protocol.matching import matches
from slipstream_actor.testing.kit.formatting import cut, indented, shown
from slipstream_actor.testing.kit.misuse import require_patterns
from slipstream_actor.testing.kit.requests import (
    DisconnectRequest,
    JoinRequest,
    LeaveRequest,
    PushRequest,
)

__all__ = [
    "A_DISCONNECT",
    "Expectation",
    "a_join",
    "a_leave",
    "a_push",
    "differences",
]


class Expectation(msgspec.Struct, frozen=True, eq=False):
    """A request of one kind, which `noun` is the word for, and whose fields match patterns."""

    noun: str
    kind: type
    patterns: dict[str, Any]

    def is_met_by(self, request: Any) -> bool:
        """Whether `request` is what is expected."""
        return type(request) is self.kind and all(
            fits(pattern, getattr(request, name)) for name, pattern in self.patterns.items()
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


def a_join(topic: Any, params: Any) -> Expectation:
    """Expect a join. Raises `TypeError` for a pattern that can only be a mistake, as all do."""
    return Expectation("join", JoinRequest, require_patterns(topic=topic, params=params))


def a_leave(topic: Any) -> Expectation:
    """Expect a leave."""
    return Expectation("leave", LeaveRequest, require_patterns(topic=topic))


def a_push(topic: Any, event: Any, payload: Any) -> Expectation:
    """Expect a push."""
    patterns = require_patterns(topic=topic, event=event, payload=payload)
    return Expectation("push", PushRequest, patterns)


A_DISCONNECT = Expectation("disconnect", DisconnectRequest, {})


def differences(pattern: Any, value: Any, path: str) -> Iterator[str]:
    """Yield what keeps `value` from matching, one line for each place."""
    if fits(pattern, value):
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
            yield f"{path}: expected {len(pattern)} items, got {len(value)}: {cut(repr(value))}"
            return
        for at, (part, item) in enumerate(zip(pattern, value, strict=True)):
            yield from differences(part, item, f"{path}[{at}]")
    else:
        yield f"{path}: expected {shown(pattern)}, got {cut(repr(value))}{trouble(pattern, value)}"


def fits(pattern: Any, value: Any) -> bool:
    """Whether a value matches; not, where a predicate cannot deal with it."""
    try:
        return matches(pattern, value)
    except Exception:
        return False


def trouble(pattern: Any, value: Any) -> str:
    """Return what a predicate has raised, if it has."""
    try:
        matches(pattern, value)
    except Exception as error:
        return f", which raised {error!r}"
    return ""
