"""Faults: which comes next, and for how long it lasts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.soak.far_side import CRASH, LANES, FarSide

DIRECTIONS = ("up", "down", "both")
# Seconds that a lasting fault lasts: mostly short, now and then for longer than a heartbeat.
SHORT = (0.2, 1.5)
LONG = (4.0, 6.0)


class Weather:
    """Draws a fault every time it is asked to, and heals those whose time is over.

    The same `seed` gives the same faults in the same order.
    """

    def __init__(self, far_side: FarSide, seed: int, topics: Sequence[str]) -> None:
        self.count: Counter[str] = Counter()
        self._far_side = far_side
        self._random = random.Random(seed)
        self._topics = topics
        self._heal_at: dict[int, float] = {}
        self._holed: set[int] = set()

    def strike(self, now: float) -> None:
        """One fault, at `now` seconds of whatever clock."""
        name = self._random.choice(sorted(FAULTS))
        self.count[name] += 1
        FAULTS[name](self, name, now)

    def pass_over(self, now: float) -> None:
        """Heal what is due by `now`."""
        for lane in [lane for lane, at in self._heal_at.items() if at <= now]:
            del self._heal_at[lane]
            self._heal(lane)

    def clear_up(self) -> None:
        """Heal everything."""
        self._heal_at.clear()
        for lane in range(LANES):
            self._heal(lane)

    def _heal(self, lane: int) -> None:
        if lane in self._holed:
            # TCP lets no stream go on behind a hole in it.
            self._holed.remove(lane)
            self._far_side.proxy(lane, "reset")
        self._far_side.proxy(lane, "heal")

    def _once(self, name: str, now: float) -> None:
        self._far_side.proxy(self._lane(), name)

    def _lasting(self, name: str, now: float) -> None:
        lane = self._lane()
        seconds = self._random.uniform(*(LONG if self._random.random() < 0.15 else SHORT))
        self._far_side.proxy(lane, name, **self._arguments(name))
        if name == "drop":
            self._holed.add(lane)
        self._heal_at[lane] = max(self._heal_at.get(lane, 0.0), now + seconds)

    def _arguments(self, name: str) -> dict[str, Any]:
        choose, uniform = self._random.choice, self._random.uniform
        if name in ("refuse", "silence"):
            return {}
        arguments: dict[str, Any] = {"direction": choose(DIRECTIONS)}
        if name == "delay":
            arguments["seconds"] = uniform(0.01, 0.3)
        elif name == "throttle":
            arguments["bytes_per_second"] = uniform(1_000, 100_000)
        elif name == "cut":
            arguments["after"] = self._random.randrange(20_000)
            arguments["how"] = choose(("close", "reset", "half_close"))
        return arguments

    def _half_close(self, name: str, now: float) -> None:
        self._far_side.proxy(self._lane(), name, direction=self._random.choice(DIRECTIONS))

    def _restart(self, name: str, now: float) -> None:
        self._far_side.server("stop")
        self._far_side.server("start")

    def _kill(self, name: str, now: float) -> None:
        self._far_side.server("drop")

    def _crash(self, name: str, now: float) -> None:
        for topic in self._some_topics():
            self._far_side.server("broadcast", topic=topic, event=CRASH, payload={})

    def _disconnect(self, name: str, now: float) -> None:
        for topic in self._some_topics():
            self._far_side.server("disconnect", id=topic)

    def _some_topics(self) -> list[str]:
        return self._random.sample(self._topics, (len(self._topics) + 3) // 4)

    def _lane(self) -> int:
        return self._random.randrange(LANES)


FAULTS: dict[str, Callable[[Weather, str, float], None]] = {
    "black_hole": Weather._lasting,
    "cut": Weather._lasting,
    "delay": Weather._lasting,
    "drop": Weather._lasting,
    "refuse": Weather._lasting,
    "silence": Weather._lasting,
    "throttle": Weather._lasting,
    "half_close": Weather._half_close,
    "reset": Weather._once,
    "server restart": Weather._restart,
    "connections killed": Weather._kill,
    "channel crash": Weather._crash,
    "disconnect broadcast": Weather._disconnect,
}
