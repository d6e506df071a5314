"""What is wrong with the network: values that the proxy's connections look at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

Direction: TypeAlias = Literal["up", "down"]
"""From the client to the server, and back."""

Directions: TypeAlias = Literal["up", "down", "both"]
How: TypeAlias = Literal["close", "reset", "half_close"]


class Cut(NamedTuple):
    """The end of a connection: `how`, and after how many more bytes."""

    after: int
    how: How


@dataclass(frozen=True)
class Rule:
    """The faults of one direction. `cut` is for the connections to come."""

    delay: float = 0.0
    rate: float | None = None
    dropping: bool = False
    stalled: bool = False
    cut: Cut | None = None


def healthy() -> dict[Direction, Rule]:
    """Rules without a fault."""
    return {"up": Rule(), "down": Rule()}


@dataclass
class Faults:
    """The faults of all connections."""

    silent: bool = False
    rules: dict[Direction, Rule] = field(default_factory=healthy)

    @property
    def cut_off(self) -> bool:
        """Whether new connections do not reach the server."""
        return self.silent or all(rule.stalled for rule in self.rules.values())

    def change(self, direction: Direction, **changes: Any) -> None:
        """Replaces what is given in a direction's rule."""
        self.rules[direction] = replace(self.rules[direction], **changes)

    def heal(self) -> None:
        """Forgets them all."""
        self.silent = False
        self.rules = healthy()


def each_direction(direction: Directions) -> tuple[Direction, ...]:
    """The directions that are meant. Raises `ValueError`."""
    if direction == "both":
        return ("up", "down")
    if direction not in ("up", "down"):
        raise ValueError('a direction is "up", "down" or "both"')
    return (direction,)
