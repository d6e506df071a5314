"""`Retry-After`: when a server that refuses would like to be asked again (RFC 9110 section 10.2.3).

Pure: the time is an argument, and whatever a server sends, the answer is seconds or `None`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

__all__ = ["retry_after"]

# A century: whoever asks for more has not counted.
LONGEST = 100 * 365 * 86_400.0

# RFC 9110 section 5.6.7: the form that is sent, and two obsolete ones that are to be understood.
# Compiled, by `re` itself, when a server sends one.
TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>[0-5]\d|60)"
DATES = [
    rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) (?P<month>\w{{3}}) (?P<year>\d{{4}}) {TIME} GMT",
    rf"[A-Z][a-z]{{5,8}}, (?P<day>\d\d)-(?P<month>\w{{3}})-(?P<year>\d\d) {TIME} GMT",
    rf"[A-Z][a-z]{{2}} (?P<month>\w{{3}}) (?P<day>[ \d]\d) {TIME} (?P<year>\d{{4}})",
]
# Between the values of several lines, and not behind the day of the week.
SEPARATOR = re.compile(r"(?<![a-z]),")
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that an answer asks to wait, 0 for a time that has passed.

    Names in `headers` are in lower case, `now` is `time.time()`. `None` without a `Retry-After` in
    one of its two forms, seconds or a date; never more than a century. Of several, those of a
    server and of what stands before it, the longest one counts.
    """
    values = SEPARATOR.split(headers.get("retry-after", ""))
    waits = [wait for value in values if (wait := wait_of(value.strip(" \t"), now)) is not None]
    return max(waits, default=None)


def wait_of(value: str, now: float) -> float | None:
    """Return the seconds that one value asks to wait, `None` for what is none."""
    if value.isascii() and value.isdigit():
        return min(float(value.lstrip("0")[:15] or "0"), LONGEST)
    at = seconds_of(value, now)
    return None if at is None else min(max(0.0, at - now), LONGEST)


def seconds_of(date: str, now: float) -> float | None:
    """Return an HTTP date in seconds since 1970, `None` for what is none."""
    match = next((found for form in DATES if (found := re.fullmatch(form, date, re.ASCII))), None)
    if match is None or match["month"] not in MONTHS:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        # Never more than 50 years ahead.
        latest = datetime.datetime.fromtimestamp(now, datetime.UTC).year + 50
        year = latest - (latest - year) % 100
    month, second = MONTHS.index(match["month"]) + 1, int(match["second"])
    day, hour, minute = (int(match[part]) for part in ("day", "hour", "minute"))
    try:
        # A leap second, 60, is the one behind 59.
        whole = datetime.datetime(year, month, day, hour, minute, tzinfo=datetime.UTC)
    except ValueError:
        return None
    return whole.timestamp() + second
