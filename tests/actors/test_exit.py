"""The exit: how much time it gives to whom. What a program sees of it is in tests/integration."""

from __future__ import annotations

from typing import Any

import pytest

from slipstream_actor.actors.exit import SHUTDOWN_SECONDS, closes_at_exit, owner_of, seconds_of


class Reference:
    """What can be held weakly, as an `ActorRef` can."""


@pytest.mark.parametrize("times", [(5.0, 0.1), (0.1, 5.0)])
def test_an_owner_has_the_longest_time_of_its_connections(times: tuple[float, float]) -> None:
    owner: Any = Reference()
    connections = [Reference(), Reference()]
    for connection, seconds in zip(connections, times, strict=True):
        closes_at_exit(connection, owner, seconds)
    assert seconds_of(owner) == 5.0
    assert [owner_of(connection) for connection in connections] == [owner, owner]


def test_who_never_had_a_connection_has_the_usual_time() -> None:
    assert seconds_of(Reference()) == seconds_of(None) == SHUTDOWN_SECONDS
