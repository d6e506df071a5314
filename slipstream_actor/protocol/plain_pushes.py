"""Pushes that asked for no outcome: what tells their first reply from any other."""

from __future__ import annotations

from slipstream_actor.protocol.message import Ref

__all__ = ["PlainPushes", "is_number"]

# Of so many, topic and join are kept; of older ones without a reply, a bit.
MOST = 65_536
CHUNK = 4_096


class PlainPushes:
    """The plain pushes of one connection that have no reply yet.

    A push may never have one, and its reply may come whenever it likes: so nothing is forgotten,
    and what is kept of each is small.
    """

    __slots__ = ("_older", "recent")

    def __init__(self) -> None:
        self.recent: dict[str | None, Ref] = {}
        self._older: dict[int, int] = {}

    def add(self, number: str, ref: Ref) -> None:
        """Remember a push that is being sent."""
        self.recent[number] = ref
        if len(self.recent) > MOST:
            oldest = next(iter(self.recent)) or ""
            del self.recent[oldest]
            self._keep_bit(oldest)

    def take(self, ref: str, topic: str, join_ref: str | None) -> bool:
        """Whether `ref` is of a push on that join of the topic; then it is taken out."""
        known = self.recent.get(ref)
        if known is not None:
            if known.topic != topic or known.join_ref != join_ref:
                return False
            del self.recent[ref]
            return True
        return self._take_bit(ref)

    def _keep_bit(self, ref: str) -> None:
        if is_number(ref):
            chunk, bit = divmod(int(ref), CHUNK)
            self._older[chunk] = self._older.get(chunk, 0) | 1 << bit

    def _take_bit(self, ref: str) -> bool:
        if not self._older or not is_number(ref):
            return False
        chunk, bit = divmod(int(ref), CHUNK)
        bits = self._older.get(chunk, 0)
        if not bits >> bit & 1:
            return False
        if left := bits ^ 1 << bit:
            self._older[chunk] = left
        else:
            del self._older[chunk]
        return True


def is_number(ref: str) -> bool:
    """Whether a ref is one that we count."""
    return ref.isascii() and ref.isdigit() and ref[0] != "0" and len(ref) <= 18
