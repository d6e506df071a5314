"""The table of what is said, and one owner's log with an invented clock."""

from __future__ import annotations

import logging
import string
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slipstream_actor import ClosedByPeer, ConnectFailed, JoinRefused
from slipstream_actor.actors.process import current
from slipstream_actor.protocol.hints import DecodingFailed
from slipstream_actor.telemetry.lines import FIELDS, LINES, log_table
from slipstream_actor.telemetry.log import OwnerLog, Place, duration, log_of
from tests.support.log_lines import LogLines, listening

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "telemetry.md"
HERE = Place("ws://here.invalid/socket/websocket", "/socket/websocket")
THERE = Place("ws://there.invalid/socket/websocket", "/socket/websocket")
REFUSED = ConnectFailed("refused", "here.invalid:80: Connection refused")
LOST = ClosedByPeer(1006)


class Clock:
    """Seconds, as a test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines() -> Iterator[LogLines]:
    with listening() as lines:
        yield lines


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> OwnerLog:
    return OwnerLog("Kitchen", clock)


def beginnings(lines: LogLines) -> list[str]:
    """What was said, without its hints."""
    return [text.partition(". Hint")[0] for text in lines.texts()]


# the table


def test_the_guide_has_the_table() -> None:
    assert log_table() in GUIDE.read_text(encoding="utf-8"), (
        "docs/guides/telemetry.md: put there what `python -m slipstream_actor.telemetry` prints"
    )


def test_no_field_is_one_that_a_record_has() -> None:
    record = logging.LogRecord("name", logging.INFO, "path", 1, "text", (), None)
    taken = {*vars(record), "message", "asctime", "exc_text", "stack_info", "taskName"}
    assert taken & set(FIELDS) == set()


def test_what_is_put_into_lines_is_known() -> None:
    known = {"again", "after", "count", "event", "hint", "next", "reason", "size", "topic"}
    for key, line in LINES.items():
        names = {name for _, name, _, _ in string.Formatter().parse(line.text) if name}
        assert names <= known | {"where", "why"}, key
        assert line.level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.001 s"),
        (0.03, "0.03 s"),
        (0.29996, "0.3 s"),
        (1.5, "1.5 s"),
        (9.96, "10 s"),
        (12.3, "12 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (3600.0, "60 min"),
        (7200.0, "2 h"),
        (360_000.0, "100 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# whose log


def test_an_owner_has_one_log_which_is_kept_beside_its_inbox() -> None:
    owner = current()
    log = log_of(owner)
    assert log is not None
    assert log is log_of(owner)
    assert owner.actor_inbox.log is log


@pytest.mark.parametrize("owner", [None, SimpleNamespace(), SimpleNamespace(actor_inbox=None)])
def test_what_is_no_process_of_ours_has_none(owner: Any) -> None:
    assert log_of(owner) is None


def test_a_name_that_breaks_lines_is_escaped(lines: LogLines) -> None:
    inbox = type(current().actor_inbox)()
    log = log_of(SimpleNamespace(actor_inbox=inbox, label="Kitchen 'a\nb'"))
    assert log is not None
    log.connected(HERE)
    assert lines.texts() == [f"INFO Kitchen 'a\\nb' connected to {HERE.uri}"]


# connections


def test_an_outage(lines: LogLines, log: OwnerLog, clock: Clock) -> None:
    log.connected(HERE)
    clock.now += 100
    log.lost(HERE, LOST, 1.0)
    for _ in range(700):
        clock.now += 1
        log.connect_failed(HERE, REFUSED, 1.0)
    clock.now += 19
    log.connected(HERE)
    failed = f"WARNING Kitchen cannot connect to {HERE.uri}: {REFUSED.detail}"
    assert beginnings(lines) == [
        f"INFO Kitchen connected to {HERE.uri}",
        f"WARNING Kitchen has lost its connection to {HERE.uri}: it ended without a close frame"
        " (1006); tries again in 1 s",
        f"{failed}; tries again in 1 s",
        f"{failed} (attempt 61, away for 61 s); tries again in 1 s",
        f"{failed} (attempt 601, away for 10 min); tries again in 1 s",
        f"INFO Kitchen connected again to {HERE.uri}, after 12 min",
    ]


def test_a_loss_does_not_count_the_attempts_that_failed_before(
    lines: LogLines, log: OwnerLog, clock: Clock
) -> None:
    for _ in range(8):
        log.connect_failed(HERE, REFUSED, 0.5)
        clock.now += 0.5
    log.connected(HERE)
    for _ in range(2):
        clock.now += 3
        log.lost(HERE, LOST, 0.1)
        clock.now += 1
        log.connect_failed(HERE, REFUSED, 0.1)
        log.connected(HERE)
    lost = f"WARNING Kitchen has lost its connection to {HERE.uri}: it ended without a close frame"
    failed = f"WARNING Kitchen cannot connect to {HERE.uri}: {REFUSED.detail}"
    assert [text for text in beginnings(lines) if text.startswith("WARNING")] == [
        f"{failed}; tries again in 0.5 s",
        f"{lost} (1006); tries again in 0.1 s",
        f"{lost} (1006) (2 times in 4 s); tries again in 0.1 s",
    ]
    told = [(vars(r)["line"], vars(r)["attempt"], vars(r)["times"]) for r in lines.records]
    assert [one for one in told if one[0] in ("lost", "connect_failed")] == [
        ("connect_failed", 1, 1),
        ("lost", 0, 1),
        ("lost", 0, 2),
    ]


def test_flapping(lines: LogLines, log: OwnerLog, clock: Clock) -> None:
    for _ in range(1000):
        log.connected(HERE)
        clock.now += 4
        log.lost(HERE, LOST, 1.0)
        clock.now += 1
    lost = [text for text in beginnings(lines) if "lost" in text]
    assert lost[0].endswith("(1006); tries again in 1 s")
    assert lost[1].endswith("(1006) (2 times in 5 s); tries again in 1 s")
    assert len(lost) == 3 + 3
    assert lost[-1].endswith("(721 times in 60 min); tries again in 1 s")
    assert len(lines.texts()) == 2 * len(lost) + 1


def test_another_delay_is_said_when_the_failure_is_not(lines: LogLines, log: OwnerLog) -> None:
    for delay in (0.01, 0.05, 0.5, 1.0, 1.3, 5.0, 5.5, 0.5, 60.0):
        log.connect_failed(HERE, REFUSED, delay)
    assert [text.rpartition(" in ")[2] for text in beginnings(lines)] == [
        "0.01 s",
        "1 s",
        "5 s",
        "0.5 s",
    ]
    assert beginnings(lines)[1] == "INFO Kitchen next attempt to connect in 1 s"


def test_delays_that_change_all_day(lines: LogLines, log: OwnerLog, clock: Clock) -> None:
    for n in range(2000):
        log.connect_failed(HERE, REFUSED, 100.0 if n % 2 else 1.0)
        clock.now += 43
    assert len(lines.texts()) < 70


def test_each_place_has_its_own(lines: LogLines, log: OwnerLog) -> None:
    log.connect_failed(HERE, REFUSED, None)
    log.connect_failed(THERE, REFUSED, None)
    log.connected(THERE)
    assert len(lines.texts()) == 3
    assert lines.texts()[2] == f"INFO Kitchen connected to {THERE.uri}, after 0.001 s"


def test_of_places_without_end_the_last_are_remembered(log: OwnerLog) -> None:
    for n in range(1000):
        log.connected(Place(f"ws://h{n}.invalid/", "/"))
    assert len(log._ways) == 8


# messages


def test_messages_that_cannot_be_decoded(lines: LogLines, log: OwnerLog, clock: Clock) -> None:
    failure = DecodingFailed("Mine", "ValueError", "something else")
    for count in (1, 10, 57):
        log.undecodable(HERE, failure, count)
    assert beginnings(lines) == [
        f"WARNING Kitchen cannot decode {what} of {HERE.uri}: Mine raised ValueError"
        for what in ("a message", "10 messages", "57 messages")
    ]
    assert [vars(record)["times"] for record in lines.records] == [1, 10, 57]


def test_connections_without_end_of_which_none_is_understood(
    lines: LogLines, log: OwnerLog, clock: Clock
) -> None:
    failure = DecodingFailed("Mine", "ValueError", "something else")
    for _ in range(2880):  # One in half a minute, for a day.
        for count in (1, 10, 12):
            log.undecodable(HERE, failure, count)
        clock.now += 30
    assert len(lines.texts()) < 100


def test_messages_that_waited_undecoded(lines: LogLines, log: OwnerLog, clock: Clock) -> None:
    failure = DecodingFailed("Mine", "DecodeError", "something else")
    for _ in range(10_000):
        log.undecodable_late(HERE, failure)
        clock.now += 1
    assert 4 <= len(lines.texts()) < 10


# topics


def test_joins_that_are_refused(lines: LogLines, log: OwnerLog, clock: Clock) -> None:
    for reason in ("full", "full", "closed"):
        log.join_failed("room:1", JoinRefused({"reason": reason}), 10.0)
        clock.now += 10
    log.joined("room:1", HERE)
    said = "WARNING Kitchen cannot join 'room:1': the server refused it:"
    assert beginnings(lines) == [
        f'{said} "full"; tries again in 10 s',
        f'{said} "closed" (attempt 3, away for 20 s); tries again in 10 s',
        "INFO Kitchen joined 'room:1' again, after 30 s",
    ]


def test_a_topic_is_shown_on_one_line(lines: LogLines, log: OwnerLog) -> None:
    log.join_failed("a\nb" + "x" * 1000, JoinRefused({}), None)
    [text] = lines.texts()
    assert "'a\\nb" in text
    assert "\n" not in text
    assert len(text) < 400


def test_what_looks_like_a_format_is_text(lines: LogLines, log: OwnerLog) -> None:
    log.join_failed("%s {where} %d", JoinRefused({"reason": "{0} %s {client}"}), None)
    assert beginnings(lines) == [
        "WARNING Kitchen cannot join '%s {where} %d': the server refused it: \"{0} %s {client}\""
    ]


def test_of_ten_thousand_topics_that_the_server_closes_not_each_is_said(
    lines: LogLines, log: OwnerLog
) -> None:
    for n in range(10_000):
        log.left(f"room:{n}")
    assert 20 <= len(lines.texts()) <= 25
    assert lines.texts()[0] == "INFO Kitchen 'room:0' was left by the server"
