"""What both sides have to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

TOPIC = "bench:1"


@dataclass(frozen=True)
class Load:
    """`count` messages of `size` bytes, or `count` pushes with `in_flight` unanswered at a time."""

    count: int
    size: int = 100
    in_flight: int = 1


class Side(Protocol):
    """A client, connected and joined. A task returns how many of its `count` it did in a second."""

    def inbound(self, load: Load) -> float: ...

    def sequential(self, load: Load) -> float: ...

    def pipelined(self, load: Load) -> float: ...

    def close(self) -> None: ...
