"""What moves, and what only drips: bytes against the clock."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.connection.pace import LEAST_PACE, Pace

INTERVAL = 2.0
ENOUGH = int(LEAST_PACE * INTERVAL)
NEVER = float("-inf")


def transfer(
    *steps: tuple[float, int], unfinished: bool = True, interval: float = INTERVAL
) -> Pace:
    """Note transfers: when, and how many bytes."""
    pace, total = Pace(interval), 0
    pace.note(0.0, 0, unfinished=False)
    for at, count in steps:
        total += count
        pace.note(at, total, unfinished=unfinished)
    return pace


def test_enough_at_once() -> None:
    assert transfer((1.0, ENOUGH)).moved_at == 1.0
    assert transfer((1.0, ENOUGH - 1)).moved_at == NEVER


def test_enough_in_pieces() -> None:
    pieces = [(0.1 * n, ENOUGH // 10) for n in range(1, 12)]
    assert transfer(*pieces).moved_at == pieces[10][0]


def test_what_is_finished_moves_nothing() -> None:
    assert transfer((1.0, ENOUGH), unfinished=False).moved_at == NEVER


def test_a_drip_moves_nothing() -> None:
    assert transfer(*[(0.1 * n, 1) for n in range(1, 100_000)]).moved_at == NEVER


def test_a_pause_before_much() -> None:
    """Slow links bring what they bring in lumps."""
    assert transfer((0.5, 10), (60.0, ENOUGH)).moved_at == 60.0


def test_without_an_interval_nothing_that_has_not_moved_counts() -> None:
    assert transfer((1.0, 0), interval=0).moved_at == NEVER


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.integers(0, 4 * ENOUGH)), max_size=40))
def test_the_pace_in_between(steps: list[tuple[float, int]]) -> None:
    """Steadily slower than the pace is never a move; faster is one in every two intervals."""
    now, total, moves = 0.0, 0, [0.0]
    pace = Pace(INTERVAL)
    pace.note(now, total, unfinished=True)
    for pause, count in steps:
        now += pause
        total += count
        pace.note(now, total, unfinished=True)
        moves.append(pace.moved_at)
    if all(count < 0.5 * LEAST_PACE * pause for pause, count in steps):
        assert pace.moved_at == NEVER
    if all(count >= LEAST_PACE * pause + 1 for pause, count in steps):
        seen = [0.0, *(at for at in moves if at > 0), now]
        assert all(later - sooner <= 2 * INTERVAL for sooner, later in pairwise(seen))
