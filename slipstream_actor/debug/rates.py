"""Bytes and frames per second: what has been counted since a report before, over that time.

Nothing is measured while nobody asks.
"""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["COUNTED", "rates_of"]

COUNTED = ("bytes_in", "bytes_out", "frames_in", "frames_out")
# Seconds for which a sample stays the one that is compared with: several may ask in turns.
SHORTEST = 0.5
MOST_KEPT = 2

# Of each connection the last samples, the older one first.
_samples: weakref.WeakKeyDictionary[Any, tuple[tuple[float, tuple[int, ...]], ...]] = (
    weakref.WeakKeyDictionary()
)


def rates_of(connection: Any, counted: tuple[int, ...], now: float) -> dict[str, float] | None:
    """Return what is counted per second since an earlier report, and over how many `seconds`;
    `None` where there was none at least half a second ago."""
    samples = _samples.get(connection, ())
    if not samples or now - samples[-1][0] >= SHORTEST:
        _samples[connection] = (*samples, (now, counted))[-MOST_KEPT:]
    before = next((sample for sample in reversed(samples) if now - sample[0] >= SHORTEST), None)
    if before is None:
        return None
    seconds = now - before[0]
    grown = zip(COUNTED, counted, before[1], strict=True)
    rates = {name: round((total - then) / seconds, 3) for name, total, then in grown}
    return {**rates, "seconds": round(seconds, 3)}
