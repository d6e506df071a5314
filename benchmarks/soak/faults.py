"""Faults: which comes next, and for how long it lasts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.soak.server_process import CRASH, PROXIES, ServerProcess

DIRECTIONS = ("up", "down", "both")
# Seconds that a lasting fault lasts: mostly short, now and then for longer than a heartbeat.
SHORT = (0.2, 1.5)
LONG = (4.0, 6.0)


class FaultInjector:
    """Draws a fault every time it is asked to, and heals those whose time is over.

    The same `seed` gives the same faults in the same order.
    """

    def __init__(self, server_process: ServerProcess, seed: int, topics: Sequence[str]) -> None:
        self.count: Counter[str] = Counter()
        self._server_process = server_process
        self._random = random.Random(seed)
        self._topics = topics
        self._heal_at: dict[int, float] = {}
        self._dropping: set[int] = set()

    def inject(self, now: float) -> None:
        """One fault, at `now` seconds of whatever clock."""
        name = self._random.choice(sorted(FAULTS))
        self.count[name] += 1
        FAULTS[name](self, name, now)

    def heal_due(self, now: float) -> None:
        """Heal what is due by `now`."""
        for proxy in [proxy for proxy, at in self._heal_at.items() if at <= now]:
            del self._heal_at[proxy]
            self._heal(proxy)

    def heal_all(self) -> None:
        """Heal everything."""
        self._heal_at.clear()
        for proxy in range(PROXIES):
            self._heal(proxy)

    def _heal(self, proxy: int) -> None:
        if proxy in self._dropping:
            # TCP lets no stream go on behind a hole in it.
            self._dropping.remove(proxy)
            self._server_process.proxy(proxy, "reset")
        self._server_process.proxy(proxy, "heal")

    def _once(self, name: str, now: float) -> None:
        self._server_process.proxy(self._any_proxy(), name)

    def _lasting(self, name: str, now: float) -> None:
        proxy = self._any_proxy()
        seconds = self._random.uniform(*(LONG if self._random.random() < 0.15 else SHORT))
        self._server_process.proxy(proxy, name, **self._arguments(name))
        if name == "drop":
            self._dropping.add(proxy)
        self._heal_at[proxy] = max(self._heal_at.get(proxy, 0.0), now + seconds)

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
        self._server_process.proxy(
            self._any_proxy(), name, direction=self._random.choice(DIRECTIONS)
        )

    def _restart(self, name: str, now: float) -> None:
        self._server_process.server("stop")
        self._server_process.server("start")

    def _kill(self, name: str, now: float) -> None:
        self._server_process.server("drop")

    def _crash(self, name: str, now: float) -> None:
        for topic in self._some_topics():
            self._server_process.server("broadcast", topic=topic, event=CRASH, payload={})

    def _disconnect(self, name: str, now: float) -> None:
        for topic in self._some_topics():
            self._server_process.server("disconnect", id=topic)

    def _some_topics(self) -> list[str]:
        return self._random.sample(self._topics, (len(self._topics) + 3) // 4)

    def _any_proxy(self) -> int:
        return self._random.randrange(PROXIES)


FAULTS: dict[str, Callable[[FaultInjector, str, float], None]] = {
    "black_hole": FaultInjector._lasting,
    "cut": FaultInjector._lasting,
    "delay": FaultInjector._lasting,
    "drop": FaultInjector._lasting,
    "refuse": FaultInjector._lasting,
    "silence": FaultInjector._lasting,
    "throttle": FaultInjector._lasting,
    "half_close": FaultInjector._half_close,
    "reset": FaultInjector._once,
    "server restart": FaultInjector._restart,
    "connections killed": FaultInjector._kill,
    "channel crash": FaultInjector._crash,
    "disconnect broadcast": FaultInjector._disconnect,
}
