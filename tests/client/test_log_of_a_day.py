"""How much is said in a day: both actors over a simulated network, with an invented clock."""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from slipstream_actor import ClientActor, Socket, connect
from tests.support.log_lines import LogLines, listening
from tests.support.simulation import Attempt, World

URI = "ws://kitchen.invalid:4000/socket/websocket"
HOUR, DAY = 3600.0, 86_400.0


class Kitchen(ClientActor):
    """A client that does nothing of its own."""

    def init(self, *topics: str, **options: Any) -> Socket:
        socket = connect(URI, **options)
        for topic in topics:
            socket = socket.join(topic)
        return socket


class Day:
    """A client, the world that it is in, and what it says."""

    def __init__(self, world: World, lines: LogLines) -> None:
        self.world = world
        self.lines = lines

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run_until(lambda: False, seconds)

    def counts(self) -> collections.Counter[str]:
        """How often each line was said."""
        return collections.Counter(vars(record)["line"] for record in self.lines.records)


@contextmanager
def day(opened: Callable[[Attempt], object], *topics: str, **options: Any) -> Iterator[Day]:
    """Begin a day; `opened` is told of each attempt to connect."""
    world = World(opened, lambda _: None)
    try:
        with listening() as lines:
            Kitchen.start(*topics, name="pantry", **options)
            yield Day(world, lines)
    finally:
        world.undo()


def accept(attempt: Attempt) -> None:
    attempt.answer = "accept"


def refuse(attempt: Attempt) -> None:
    attempt.answer = "refused"


# health


def test_a_day_without_a_fault_is_one_line() -> None:
    with day(accept, "room:1", "room:2", heartbeat_interval_msec=300_000) as kitchen:
        kitchen.pass_by(DAY)
        assert kitchen.lines.texts() == [f"INFO Kitchen 'pantry' connected to {URI}"]


# outage


def test_a_day_without_a_server() -> None:
    with day(refuse, "room:1", reconnect_after_msec=[1000, 30_000]) as kitchen:
        for _ in range(24):
            kitchen.pass_by(HOUR)
        attempts = kitchen.world.made
        assert attempts > 1000
        assert kitchen.counts() == {"connect_failed": 26}
        last = kitchen.lines.records[-1]
        assert vars(last)["attempt"] > attempts - 200
        assert ", away for 23 h); tries again in " in last.getMessage()
        assert {record.levelno for record in kitchen.lines.records} == {logging.WARNING}


def test_a_day_of_reasons_that_alternate() -> None:
    def alternate(attempt: Attempt) -> None:
        attempt.answer = ("refused", "timeout", "tls")[attempt.number % 3]

    with day(alternate, "room:1", reconnect_after_msec=[30_000]) as kitchen:
        for _ in range(24):
            kitchen.pass_by(HOUR)
        assert kitchen.counts() == {"connect_failed": 28}


# flapping


def flap(kitchen: Day, period: float, until: float, *codes: int | None) -> int:
    """End the connection once in a period, with each of the codes in turn; return how often."""
    ends = 0
    for _ in range(int(until / period)):
        kitchen.pass_by(period)
        for attempt in kitchen.world.attempts:
            if attempt.server.channels:
                attempt.server.end(codes[ends % len(codes)])
                ends += 1
    return ends


@pytest.mark.parametrize(
    ("period", "codes", "most"),
    [(30.0, (1012,), 90), (30.0, (1012, None, 1001), 130), (600.0, (None,), 90)],
)
def test_a_day_of_connections_that_do_not_last(
    period: float, codes: tuple[int | None, ...], most: int
) -> None:
    with day(accept, "room:1", heartbeat_interval_msec=3_600_000) as kitchen:
        ends = flap(kitchen, period, DAY, *codes)
        assert ends > 100
        counts = kitchen.counts()
        assert counts["lost"] >= 20
        assert counts["connected"] in (counts["lost"], counts["lost"] + 1)
        assert counts.total() < most


def test_a_day_of_a_channel_that_crashes() -> None:
    with day(accept, "room:1", heartbeat_interval_msec=3_600_000) as kitchen:
        crashes = 0
        for _ in range(int(DAY / 60)):
            kitchen.pass_by(60)
            for attempt in kitchen.world.attempts:
                crashes += "room:1" in attempt.server.channels
                attempt.server.end_channel("room:1", crash=True)
        assert crashes > 1000
        counts = kitchen.counts()
        assert counts["crashed"] >= 20
        assert counts["joined"] in (counts["crashed"], counts["crashed"] - 1)
        assert counts.total() < 90


def test_a_day_of_joins_that_are_refused() -> None:
    def refuse_joins(attempt: Attempt) -> None:
        attempt.answer = "accept"
        attempt.server.plans.joins = ["members only"] * 100_000

    options = {"heartbeat_interval_msec": 3_600_000, "rejoin_after_msec": [30_000]}
    with day(refuse_joins, "room:1", **options) as kitchen:
        for _ in range(24):
            kitchen.pass_by(HOUR)
        assert kitchen.counts() == {"connected": 1, "join_failed": 26}
        assert (
            "'room:1': the server refused it: \"members only\" (attempt "
            in (kitchen.lines.texts()[-1])
        )
