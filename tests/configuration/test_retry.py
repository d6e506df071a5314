"""Retry policies: the delay of an attempt, from a list or a callable, with and without jitter."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import ConfigurationError
from slipstream_actor.configuration.retry import delay

OPTION = "reconnect_after_msec"


def test_a_list_has_a_delay_for_each_attempt_and_its_last_one_repeats() -> None:
    assert [delay(OPTION, (10, 50, 100), n) for n in range(1, 6)] == [0.01, 0.05, 0.1, 0.1, 0.1]


def test_a_callable_is_given_the_number_of_the_attempt() -> None:
    asked: list[int] = []

    def policy(attempt: int) -> float:
        asked.append(attempt)
        return attempt * 1000

    assert [delay(OPTION, policy, n) for n in (1, 2, 3)] == [1, 2, 3]
    assert asked == [1, 2, 3]


@given(st.integers(0, 10_000))
def test_jitter_adds_a_random_part_of_itself(jitter: int) -> None:
    assert 0.5 <= delay(OPTION, (500,), 1, jitter) <= (500 + jitter) / 1000


def test_jitter_is_spread_over_the_whole_of_it() -> None:
    delays = [delay(OPTION, (10,), 1, 1000) for _ in range(400)]
    assert 0.01 <= min(delays) < 0.2
    assert 0.8 < max(delays) <= 1.01
    assert len(set(delays)) > 390


@pytest.mark.parametrize("value", [-1, -0.5, math.nan, None, "10", True, [10]])
def test_a_callable_that_returns_no_milliseconds(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{OPTION}: must return milliseconds"):
        delay(OPTION, lambda _: value, 1)


def test_a_callable_that_raises() -> None:
    def policy(_: int) -> float:
        raise ValueError("a secret")

    with pytest.raises(ConfigurationError, match=f"{OPTION}: raised ValueError") as raised:
        delay(OPTION, policy, 1)
    assert "secret" not in str(raised.value)
    assert isinstance(raised.value.__cause__, ValueError)


def test_never_is_a_delay_too() -> None:
    assert delay(OPTION, lambda _: math.inf, 1) == math.inf
