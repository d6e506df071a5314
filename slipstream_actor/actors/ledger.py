"""The ledger: the pushes of a process that ask for an outcome and have none yet.

Any thread may push, so everything here is safe in any. An outcome is given once: whoever takes a
push out of the ledger is the one who tells of it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream_actor.protocol.message import Ref

__all__ = ["Asked", "Ledger"]


class Asked(msgspec.Struct, frozen=True, eq=False):
    """A push that asks for an outcome, on its way over `connection`."""

    ref: Ref
    event: str
    connection: Any


class Ledger:
    """The pushes of one process that ask for an outcome and have none yet."""

    __slots__ = ("_asked", "open_spans")

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        # What telemetry tells of them, while somebody listens.
        self.open_spans: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._asked)

    def is_clear(self, ref: Any) -> bool:
        """Whether nothing is to be done for the reply to a push."""
        return not (self._asked or self.open_spans or getattr(ref, "awaited", False))

    def ask(self, asked: Asked) -> None:
        """Enter a push."""
        self._asked[asked.ref] = asked

    def settle(self, ref: str) -> Asked | None:
        """Take a push out; `None` when it is not, or no longer, there."""
        return self._asked.pop(ref, None)

    def settle_all(self, connection: Any = None) -> list[Asked]:
        """Take out the pushes of one connection, or all."""
        asked = [a for a in list(self._asked.values()) if connection in (None, a.connection)]
        return [a for a in asked if self.settle(a.ref) is not None]
