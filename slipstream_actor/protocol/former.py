"""Joins that have made room for another one of their topic, and those that are over."""

from __future__ import annotations

from collections.abc import Iterable

from slipstream_actor.protocol.joins import REPLACED, Channel

__all__ = ["LATE_CLOSES", "MOST", "FormerJoins"]

# Of so many refs of joins that are over it is known that their phx_close may come late.
LATE_CLOSES = 256
# No refs: of each empty frozenset Python makes another one.
NONE: frozenset[str] = frozenset()
# So many joins without their phx_close are kept.
MOST = 4_096


class FormerJoins(dict[str, Channel]):
    """By their refs the joins that others have replaced, until their phx_close comes.

    Before 1.5.10 Phoenix sends none. Such a one is over when the second of two heartbeats that were
    sent behind its end is answered: the server, which had done the new join when it answered the
    first, sends nothing of the old one behind the second.
    """

    __slots__ = ("_asked", "_passed", "over")

    def __init__(self) -> None:
        super().__init__()
        # Refs of joins that are over, whose phx_close or phx_error may come late.
        self.over: dict[str, None] = {}
        # Those that there were when the last heartbeat was sent, and the last that was answered.
        self._asked = self._passed = NONE

    def heartbeat_sent(self) -> None:
        """Note which there are by now."""
        self._asked = frozenset(self) if self else NONE

    def heartbeat_answered(self) -> list[Channel]:
        """Return those whose phx_close would have come."""
        twice, self._passed = self._asked & self._passed, self._asked
        return self._replaced(twice)

    def too_many(self) -> list[Channel]:
        """Return those that are no longer to be waited for, the oldest."""
        return self._replaced(self)[: len(self) - MOST] if len(self) > MOST else []

    def _replaced(self, refs: Iterable[str]) -> list[Channel]:
        found = (self.get(ref) for ref in refs)
        return [join for join in found if join is not None and join.state is REPLACED]

    def have_ended(self, *refs: str | None) -> bool:
        """Whether a phx_close or phx_error with these refs is the rest of a join that is over
        (docs/protocol.md#note-22)."""
        return any(ref in self.over for ref in refs)

    def forget(self, join_ref: str) -> None:
        """A join is over."""
        self.pop(join_ref, None)
        self.over[join_ref] = None
        if len(self.over) > LATE_CLOSES:
            del self.over[next(iter(self.over))]
