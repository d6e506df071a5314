"""A handler of telemetry events for tests: it records them, and holds them to the table."""

from __future__ import annotations

import itertools
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from slipstream_actor import telemetry
from slipstream_actor.telemetry.dispatch import EventName
from slipstream_actor.telemetry.events import find, names
from tests.support.clients import PATIENCE

_numbers = itertools.count()


class Told(NamedTuple):
    """An event that happened: its name without the prefix `slipstream`."""

    name: str
    measurements: dict[str, Any]
    metadata: dict[str, Any]


class Observed:
    """The events that have happened, in their order."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Told] = queue.Queue()
        self.all: list[Told] = []
        self.problems: list[str] = []

    def __call__(self, event: EventName, measurements: Any, metadata: Any) -> None:
        described = find(event)
        for what, keys, expected in (
            ("measurements", measurements, described.measurements),
            ("metadata", metadata, described.metadata),
        ):
            if set(keys) != set(expected):
                self.problems.append(f"{event}: {what} {set(keys) ^ set(expected)}")
        if not all(isinstance(value, (int, float)) for value in measurements.values()):
            self.problems.append(f"{event}: {measurements}")
        told = Told(".".join(event[1:]), dict(measurements), dict(metadata))
        self.all.append(told)
        self.queue.put(told)

    def take(self, name: str, accept: Callable[[Told], Any] = lambda told: True) -> Told:
        """Return the next event of that name that is acceptable, passing over the others."""
        deadline = time.monotonic() + PATIENCE
        passed = []
        while (left := deadline - time.monotonic()) > 0:
            try:
                told = self.queue.get(timeout=left)
            except queue.Empty:
                break
            if told.name == name and accept(told):
                return told
            passed.append(told.name)
        raise AssertionError(f"{name} did not happen; what did: {passed}")

    def named(self, name: str) -> list[Told]:
        """Return all events of a name that have happened."""
        return [told for told in tuple(self.all) if told.name == name]


@contextmanager
def observing(*prefixes: EventName) -> Iterator[Observed]:
    """Record the events that begin with one of `prefixes`; they are to be as the table says."""
    observed, handler_id = Observed(), f"observing {next(_numbers)}"
    wanted = [name for name in names() if any(name[: len(p)] == p for p in prefixes)]
    assert wanted
    telemetry.attach_many(handler_id, wanted, observed)
    try:
        yield observed
    finally:
        attached = telemetry.detach(handler_id)
    assert not observed.problems
    assert attached, "the handler has failed"
