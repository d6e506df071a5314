"""What several threads do with one collection or iterator."""

from __future__ import annotations

import itertools
import operator
import weakref
from collections import deque
from collections.abc import Iterator

from slipstream_actor.actors.shared import (
    HAS_LOCK,
    TRIES,
    LockedIterator,
    Ordered,
    shared_iterator,
    snapshot,
    steadily,
)
from tests.support.threads import in_threads


class Changing:
    """A collection that another thread changes whenever it is walked through, a few times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __iter__(self) -> Iterator[int]:
        yield 1
        if self.left:
            self.left -= 1
            raise RuntimeError("changed size during iteration")
        yield 2


class Item:
    """What can be referred to weakly."""


def test_a_snapshot_is_taken_anew_when_something_has_changed() -> None:
    changing = Changing(30)
    assert snapshot(changing) == [1, 2]
    assert changing.left == 0


def test_a_look_is_taken_anew_so_many_times() -> None:
    seldom, often = Changing(TRIES - 1), Changing(TRIES + 1)
    assert steadily(lambda: list(seldom), [0]) == [1, 2]
    assert steadily(lambda: list(often), [0]) == [0]
    assert (seldom.left, often.left) == (0, 1)


def test_snapshots_beside_threads_that_change_what_is_there() -> None:
    """Of a deque, and of a set that is walked through in Python."""
    line, items = deque([0]), weakref.WeakSet[Item]()
    kept: list[Item] = []

    def change() -> None:
        for number in range(2_000):
            line.append(number)
            item = Item()
            items.add(item)
            kept.append(item)

    def look() -> None:
        while len(kept) < 4_000:
            assert len(snapshot(line)) <= 4_001
            assert len(snapshot(items)) <= 4_000

    in_threads(change, change, look, look)
    assert (len(snapshot(line)), len(snapshot(items))) == (4_001, 4_000)


def test_each_item_is_drawn_once() -> None:
    for numbers in (shared_iterator(range(1, 6_001)), LockedIterator(iter(range(1, 6_001)))):
        drawn: list[int] = []

        def draw() -> None:
            drawn.extend([next(numbers) for _ in range(1_500)])  # noqa: B023

        in_threads(draw, draw, draw)
        assert sorted(drawn) == list(range(1, 4_501))
        assert operator.length_hint(numbers) == 1_500


def test_nothing_is_locked_that_the_interpreter_locks() -> None:
    assert isinstance(shared_iterator(range(3)), LockedIterator) is not HAS_LOCK


def test_what_several_threads_put_in_and_take_out_is_taken_out_once() -> None:
    line: Ordered[int, int] = Ordered()
    numbers, count = itertools.count(), 10_000
    taken: list[int] = []

    def put() -> None:
        for number in itertools.islice(numbers, count):
            line[number] = number
            if number % 2 and line.pop(number) is not None:
                taken.append(number)

    def take() -> None:
        while len(taken) < 3 * count:
            if (number := line.pop_first()) is not None:
                taken.append(number)

    in_threads(put, put, put, take)
    assert sorted(taken) == list(range(3 * count))
    assert (len(line), line.pop_first(), line.pop(1)) == (0, None, None)


def test_what_was_put_in_first_is_taken_out_first() -> None:
    line: Ordered[str, int] = Ordered()
    for number, key in enumerate("abca"):
        line[key] = number
    assert (line.pop("b"), line.pop("b")) == (1, None)
    assert [line.pop_first() for _ in range(3)] == [3, 2, None]
