"""How often a trouble is told, with an invented clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.telemetry.trouble import (
    CALM,
    MOST_REASONS,
    MOST_RELAPSES,
    MOST_TOPICS,
    TopicTroubles,
    Trouble,
)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def told_at(trouble: Trouble, times: Iterable[float], reason: str = "r") -> list[float]:
    """When a trouble that fails at these times is told."""
    return [now for now in times if trouble.fail(reason, now)]


def every(seconds: float, until: float = DAY, begin: float = 0.0) -> list[float]:
    return [begin + n * seconds for n in range(int(until / seconds))]


# while nothing changes


def test_what_goes_on_is_told_at_once_and_ever_more_seldom() -> None:
    told = told_at(Trouble(), every(1.0))
    assert told[:4] == [0.0, MINUTE, 10 * MINUTE, HOUR]
    assert told[3:] == [n * HOUR for n in range(1, 24)]


def test_attempts_between_two_times_are_told_with_the_next() -> None:
    assert told_at(Trouble(), [0.0, 59.0, 61.0, 599.0, 605.0, 3599.0, 3601.0]) == [
        0.0,
        61.0,
        605.0,
        3601.0,
    ]


def test_a_time_that_was_missed_is_not_told_twice() -> None:
    """An hour without an attempt."""
    assert told_at(Trouble(), [0.0, 4000.0, 4001.0, 7199.0, 7201.0]) == [0.0, 4000.0, 7201.0]


def test_another_reason_is_told_at_once_and_begins_the_times_anew() -> None:
    trouble = Trouble()
    assert told_at(trouble, [0.0, 70.0], "a") == [0.0, 70.0]
    assert told_at(trouble, [100.0, 130.0, 161.0, 650.0, 701.0], "b") == [100.0, 161.0, 701.0]


def test_reasons_that_alternate_are_each_told_once_and_then_at_their_times() -> None:
    trouble = Trouble()
    told = [n for n in range(1000) if trouble.fail("ab"[n % 2], float(n))]
    assert told == [0, 1, 61, 601]


def test_of_reasons_without_end_so_many_are_told() -> None:
    trouble = Trouble()
    told = [n for n in range(50) if trouble.fail(f"reason {n}", float(n))]
    assert told == [*range(MOST_REASONS)]


# being well


def test_who_is_well_again_learns_for_how_long_it_was_not() -> None:
    trouble = Trouble()
    assert trouble.recover(5.0) is None
    trouble.fail("r", 10.0)
    trouble.fail("r", 20.0)
    assert (trouble.attempts, trouble.failures.times, trouble.since) == (2, 2, 10.0)
    assert trouble.recover(22.0) == 12.0
    assert trouble.recover(23.0) is None


def test_so_many_relapses_are_told_at_once() -> None:
    trouble, told = Trouble(), []
    for now in range(0, 50, 5):
        told.append(trouble.fail("r", float(now)))
        trouble.recover(now + 1.0)
    assert told == [True] * MOST_RELAPSES + [False] * (10 - MOST_RELAPSES)


def test_who_was_not_told_of_a_failure_is_not_told_of_its_end() -> None:
    trouble, ends = Trouble(), []
    for now in range(0, 30, 5):
        trouble.fail("r", float(now))
        ends.append(trouble.recover(now + 1.0))
    assert ends == [1.0] * MOST_RELAPSES + [None] * (6 - MOST_RELAPSES)


def test_after_an_hour_of_calm_it_begins_anew() -> None:
    trouble = Trouble()
    for now in range(0, 50, 5):
        trouble.fail("r", float(now))
        trouble.recover(now + 1.0)
    assert not trouble.fail("r", 55.0)
    trouble.recover(56.0)
    assert trouble.fail("r", 56.0 + CALM)
    count = trouble.failures
    assert (count.times, trouble.attempts, count.began) == (1, 1, 56.0 + CALM)


def test_the_count_goes_on_over_a_short_recovery() -> None:
    trouble = Trouble()
    trouble.fail("r", 0.0)
    trouble.recover(1.0)
    trouble.fail("r", 100.0)
    count = trouble.failures
    assert (count.times, trouble.attempts, count.began, trouble.since) == (2, 1, 0.0, 100.0)


def test_losses_and_failed_attempts_are_counted_each_for_themselves() -> None:
    trouble = Trouble()
    for now in range(8):
        trouble.fail("refused", float(now))
    trouble.recover(8.0)
    trouble.fail("gone", 9.0, lost=True)
    assert (trouble.losses.times, trouble.losses.began, trouble.attempts) == (1, 9.0, 0)
    trouble.fail("refused", 10.0)
    assert (trouble.failures.times, trouble.failures.began, trouble.attempts) == (9, 0.0, 1)
    trouble.recover(11.0)
    trouble.fail("gone", 12.0, lost=True)
    assert (trouble.losses.times, trouble.losses.began) == (2, 9.0)


# a day


@given(
    st.lists(
        st.tuples(st.floats(0.5, CALM / 3), st.sampled_from("abcdefghijkl"), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_happens_in_a_day_it_is_told_some_tens_of_times(
    steps: list[tuple[float, str, bool]],
) -> None:
    trouble, now, told = Trouble(), 0.0, 0
    for pause, reason, recovers in itertools.islice(itertools.cycle(steps), 5000):
        now += pause
        if now > DAY:
            break
        told += trouble.fail(reason, now)
        if recovers:
            trouble.recover(now + pause / 2)
    hours = now / HOUR
    assert told <= MOST_REASONS * MOST_RELAPSES + 3 * MOST_REASONS + 2 * hours + 1


@given(st.floats(0.5, 300), st.integers(1, 12))
def test_flapping_for_a_day(period: float, reasons: int) -> None:
    trouble = Trouble()
    told = backs = 0
    for n, now in enumerate(every(period)):
        told += trouble.fail(f"reason {n % reasons}", now)
        backs += trouble.recover(now + period / 2) is not None
    assert backs == told
    assert told <= 24 + 3 + (MOST_RELAPSES + 3) * min(reasons, MOST_REASONS)


# topics


def test_each_of_a_few_topics_has_its_own() -> None:
    topics = TopicTroubles()
    assert [topics.fail(f"room:{n}", "r", 0.0)[1] for n in range(MOST_TOPICS)] == (
        [True] * MOST_TOPICS
    )
    assert topics.recover("room:0", 3.0) == 3.0
    assert topics.recover("room:0", 4.0) is None
    assert topics.recover("never", 4.0) is None


def test_of_ten_thousand_topics_not_each_is_told() -> None:
    topics = TopicTroubles()
    told = sum(topics.fail(f"room:{n}", "r", n / 10_000)[1] for n in range(10_000))
    assert told == MOST_TOPICS + 1
    trouble, tells = topics.fail("room:9999", "r", 61.0)
    assert tells
    assert trouble.failures.times == 10_000 - MOST_TOPICS + 1


def test_topics_that_are_calm_make_room() -> None:
    topics = TopicTroubles()
    for n in range(MOST_TOPICS + 5):
        topics.fail(f"room:{n}", "r", 0.0)
        topics.recover(f"room:{n}", 1.0)
    later = 2.0 + CALM
    assert [topics.fail(f"new:{n}", "r", later)[1] for n in range(5)] == [True] * 5
    assert topics.recover("new:4", later + 1) == 1.0


def test_a_day_of_topics_that_crash_at_each_push() -> None:
    topics, told = TopicTroubles(), 0
    for now in every(2.0):
        for topic in ("a", "b"):
            told += topics.fail(topic, "r", now)[1]
            topics.recover(topic, now + 1)
    assert told < 70
