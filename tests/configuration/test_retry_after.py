"""`Retry-After` in both of its forms, and in none."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.configuration.retry_after import LONGEST, retry_after

# Sun, 06 Nov 1994 08:49:37 GMT: the example of RFC 9110 section 5.6.7.
EXAMPLE = 784_111_777.0
YEAR = 365 * 86_400.0


def asked(value: str, now: float = EXAMPLE) -> float | None:
    return retry_after({"retry-after": value, "date": "junk"}, now)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        ("120", 120),
        ("\t 0007 ", 7),
        ("000000000000000000012", 12),
        ("9" * 10, LONGEST),
        ("9" * 5000, LONGEST),
    ],
)
def test_seconds(value: str, seconds: float) -> None:
    assert asked(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        # Nobody is refused for a wrong name of the day.
        "Mon, 06 Nov 1994 08:49:37 GMT",
    ],
)
@pytest.mark.parametrize("ahead", [0.0, 0.5, 30.0, 86_400.0])
def test_a_date_in_each_of_its_forms(value: str, ahead: float) -> None:
    assert asked(value, EXAMPLE - ahead) == ahead
    assert asked(value, EXAMPLE + ahead) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5, 120", 120),
        ("120,5", 120),
        ("5, Sun, 06 Nov 1994 08:49:37 GMT", 30),
        ("Sun, 06 Nov 1994 08:49:37 GMT, 5", 30),
        ("Sunday, 06-Nov-94 08:49:37 GMT, Sun Nov  6 08:49:47 1994, 40", 40),
        ("Sunday, 06-Nov-94 08:49:37 GMT, Sun Nov  6 08:49:57 1994, 40", 50),
        ("5, -1", 5),
        (", 5,", 5),
    ],
)
def test_of_those_of_several_lines_the_longest_one(value: str, seconds: float) -> None:
    assert asked(value, EXAMPLE - 30) == seconds


def test_a_year_of_two_digits_is_never_more_than_50_years_ahead() -> None:
    date = "Sunday, 06-Nov-94 08:49:37 GMT"
    assert asked(date, EXAMPLE - 40 * YEAR) == pytest.approx(40 * YEAR)
    # In 2024 it is 30 years ago, in 2060 34 years ahead.
    assert asked(date, EXAMPLE + 30 * YEAR) == 0
    ahead = asked(date, EXAMPLE + 66 * YEAR)
    assert ahead is not None
    assert 33 * YEAR < ahead < 35 * YEAR


def test_a_leap_second() -> None:
    assert asked("Fri, 30 Jun 2000 23:59:60 GMT", 962_409_600.0 - 5) == 5


def test_a_date_that_is_far_ahead_is_bounded() -> None:
    assert asked("Fri, 31 Dec 9999 23:59:59 GMT") == LONGEST


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "0x10",
        "inf",
        "nan",
        "1_000",
        "1 2",
        "soon",
        "\xb2",
        "\u0661",
        "1\x00",
        "1\n",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nix 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 0\u0666 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
        "x" * 100_000,
    ],
)
def test_what_is_neither(value: str) -> None:
    assert asked(value) is None


def test_an_answer_without_one() -> None:
    assert retry_after({}, EXAMPLE) is None


@given(st.text() | st.text("0123456789:,- GMTSunNov"), st.floats(0, 4e9))
def test_whatever_comes_is_bounded(value: str, now: float) -> None:
    seconds = asked(value, now)
    assert seconds is None or 0 <= seconds <= LONGEST


@given(st.integers(0, 4_000_000_000), st.integers(0, 4_000_000_000))
def test_what_the_standard_library_writes_is_read(at: int, now: int) -> None:
    date = email.utils.formatdate(at, usegmt=True)
    assert asked(date, float(now)) == min(max(0, at - now), LONGEST)
