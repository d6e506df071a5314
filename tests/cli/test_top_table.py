"""What `top` makes of reports: rows, columns, what is seen, and lines that a terminal can show."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from slipstream_actor import debug
from slipstream_actor.cli.output import json_line
from slipstream_actor.cli.top.columns import natural, per_second, room_for, seconds, size
from slipstream_actor.cli.top.reports import Process, dashboard_from, report_from
from slipstream_actor.cli.top.rows import SORTS, Row, filtered, ordered, rows_of
from slipstream_actor.cli.top.screen import as_plain, lines_of, summary
from slipstream_actor.cli.top.terminal import keys_in
from slipstream_actor.cli.top.view import View
from tests.support.clients import eventually
from tests.support.planted import get_stuck, leaked, planted

WIDTHS = [(80, 24), (200, 60), (40, 10), (20, 3)]
EVIL = "\x1b[31mred\x9b2J\u202eback\r\n\x00\x07wide日本語é"


def answer(**report: Any) -> bytes:
    return json.dumps({"ok": True, "result": {"pid": 7, **report}}).encode()


def client(**of: Any) -> dict[str, Any]:
    """Return a client's part, as a report has it."""
    return {
        "id": of.pop("id", "urn:1"),
        "label": of.pop("label", "Chat 'chat'"),
        "status": "connected",
        "uri": "wss://al:ice@example.com:4000/socket/websocket?token=…",
        "topic_count": 3,
        "mailbox": {"depth": 5, "oldest": "Tick", "oldest_age": 2.5},
        "callback": {"name": "handle_cast", "seconds": 12.25},
        "reconnects": 2,
        "last_failure": {"type": "ConnectFailed", "text": "refused", "hint": "is it up?"},
        "connection": {
            "id": "urn:c",
            "joined_count": 2,
            "rates": {"bytes_in": 1000.0, "bytes_out": 234.0, "frames_in": 10.5, "frames_out": 0},
            "heartbeat": {"rtt": 0.0031},
        },
        **of,
    }


def process(*clients: dict[str, Any], pid: int = 7, **of: Any) -> Process:
    report = report_from(answer(pid=pid, clients=list(clients), command="worker.py"))
    return Process(key=f"/run/{pid}.sock", pid=pid, report=report, **of)


def rows(count: int) -> list[Row]:
    return [
        Row(process="p", pid=7, id=str(n), client=f"Chat-{n:03}", status="connected", mailbox=n)
        for n in range(count)
    ]


# from reports to rows


def test_a_row_has_all_of_a_client() -> None:
    [row] = rows_of([process(client())])
    assert msgspec.to_builtins(row) == {
        "process": "/run/7.sock",
        "pid": 7,
        "command": "worker.py",
        "silent_for": None,
        "trouble": None,
        "id": "urn:1",
        "client": "Chat 'chat'",
        "status": "connected",
        "host": "example.com:4000",
        "joined": 2,
        "topics": 3,
        "mailbox": 5,
        "oldest": "Tick",
        "oldest_age": 2.5,
        "callback": "handle_cast",
        "busy_for": 12.25,
        "round_trip": 0.0031,
        "messages_in": 10.5,
        "messages_out": 0.0,
        "bytes": 1234.0,
        "reconnects": 2,
        "failure": "refused",
        "hint": "is it up?",
    }


def test_what_is_missing_is_left_out() -> None:
    """As in a report of another version, or of a client that has not connected."""
    [row] = rows_of([process({"id": "urn:1"})])
    assert (row.client, row.host, row.round_trip, row.failure) == ("", None, None, None)
    [suspended] = rows_of([process(client(suspended=True))])
    assert suspended.status == "suspended"


def test_a_process_without_clients_has_a_row() -> None:
    silent = Process("/run/8.sock", 8, None, silent_for=12.0)
    found = rows_of([process(), silent])
    assert [(row.pid, row.client, row.silent_for) for row in found] == [
        (7, None, None),
        (8, None, 12.0),
    ]
    text = "\n".join(as_plain(found, summary(found, "/run"), None))
    assert "2 processes, 0 clients, pid 8 does not answer for 12.0s (/run)" in text
    assert "no answer 12.0s" in text


def test_a_plain_threads_connection_has_a_row() -> None:
    own = {"id": "urn:c", "owner": "Chat 'chat'"}
    former = {"id": "urn:f", "owner": "Chat 'chat'"}
    thread = {"id": "urn:t", "owner": "thread MainThread", "status": "connected", "topic_count": 1}
    whole = answer(clients=[client()], connections=[own, former, thread])
    found = rows_of([Process("p", report=report_from(whole))])
    assert [row.client for row in found] == ["Chat 'chat'", "thread MainThread"]


# Deeper than anybody reads.
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"nothing",
        b"[]",
        b'{"ok": false, "error": "no"}',
        b'{"ok": true, "result": {"pid": "x"}}',
        b'{"ok": true, "result": {"pid": 1, "clients": [5]}}',
        b'{"ok": true, "result": {"pid": 1, "clients": [{"id": "a", "mailbox": 5}]}}',
        b"\xff",
        pytest.param(DEEP, id="deep"),
        pytest.param(b'{"ok": true, "result": {"pid": 1, "more": ' + DEEP + b"}}", id="deeper"),
    ],
)
def test_what_is_no_report_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        report_from(line)


def test_what_a_dashboard_tells() -> None:
    body = {
        "time": 1000.0,
        "csrf": "s3cret",
        "processes": [
            {"key": "7", "pid": 7, "answers": True, "report": {"pid": 7, "clients": [client()]}},
            {"key": "8", "answers": False, "since": 990.0},
        ],
    }
    here, silent = dashboard_from(json.dumps(body).encode())
    assert (here.report is not None, here.silent_for) == (True, None)
    assert (silent.key, silent.pid, silent.silent_for) == ("8", None, 10.0)
    with pytest.raises(ValueError):
        dashboard_from(b'{"clients": []}')


def test_the_real_report_is_understood() -> None:
    """And of its secrets none is in a row, on a screen or in a line of JSON."""
    with planted() as ref:
        get_stuck(ref)
        # The second look has rates.
        eventually(lambda: debug.get_status(ref)["connection"]["rates"] is not None, "the rates")
        whole = json.dumps({"ok": True, "result": debug.report(stacks=True)}).encode()
    found = rows_of([Process("p", report=report_from(whole))])
    row = next(row for row in found if row.client == "Planted 'planted'")
    assert (row.status, row.joined, row.topics, row.callback) == ("connected", 1, 2, "handle_cast")
    assert row.messages_in is not None
    assert row.bytes is not None
    assert row.mailbox >= 1
    view = View()
    view.show(found)
    view.end(-1)
    shown = [line.text for line in lines_of(view, summary(found, "x"), 300, 60)]
    shown += as_plain(found, "x", None)
    shown += [json_line(one).decode() for one in found]
    assert leaked("\n".join(shown)) == []


def test_what_others_say_cannot_move_the_cursor() -> None:
    hostile = process(
        client(
            id="a",
            label=EVIL,
            status=EVIL,
            uri=f"ws://{EVIL}/",
            mailbox={"depth": 1, "oldest": EVIL},
            callback={"name": EVIL, "seconds": 1.0},
            last_failure={"text": EVIL, "hint": EVIL},
        )
    )
    assert hostile.report is not None
    hostile.report.command = EVIL
    hostile.trouble = hostile.key = EVIL
    found = rows_of([hostile])
    view = View()
    view.show(found)
    shown = [line.text for line in lines_of(view, summary(found, "x"), 300, 60)]
    shown += as_plain(found, "x", None)
    shown += [json_line(one).decode().removesuffix("\n") for one in found]
    assert all(line.isprintable() for line in shown)
    assert all("日本語" in line for line in shown[2:3])


def test_a_line_of_json_holds_nothing_that_a_terminal_obeys() -> None:
    value = {"text": EVIL, "e": "\U000e0001"}
    line = json_line(value).decode()
    assert line.removesuffix("\n").isprintable()
    assert json.loads(line) == value
    assert json_line({"a": "日本"}) == '{"a":"日本"}\n'.encode()


# order and filter


def test_the_greatest_stand_first() -> None:
    some = rows(3)
    assert [row.mailbox for row in ordered(some, "mailbox")] == [2, 1, 0]
    assert [row.mailbox for row in ordered(some, "mailbox", reverse=True)] == [0, 1, 2]
    assert [row.client for row in ordered(some[::-1], "client")] == [r.client for r in some]


@pytest.mark.parametrize("sort", SORTS)
def test_rows_without_a_value_can_be_ordered(sort: str) -> None:
    mixed = [*rows(2), *rows_of([process(client()), Process("q", None, None, silent_for=1.0)])]
    assert len(ordered(mixed, sort)) == len(mixed)


def test_a_filter_has_all_words() -> None:
    found = rows_of(
        [process(client(label="Chat 'a'"), client(label="Orders 'b'", status="waiting"))]
    )
    assert [row.client for row in filtered(found, "CHAT")] == ["Chat 'a'"]
    assert [row.client for row in filtered(found, "orders waiting")] == ["Orders 'b'"]
    assert filtered(found, "orders connected") == []
    assert len(filtered(found, "worker 7 example.com handle_cast")) == 2
    assert len(filtered(found, "")) == 2


# what is seen


def pressed(view: View, *keys: str) -> View:
    for key in keys:
        view.press(key)
    return view


def test_the_selected_row_stays_selected() -> None:
    view = View("mailbox")
    view.show(rows(5))
    pressed(view, "down", "j")
    assert view.row is not None
    assert view.row.client == "Chat-002"
    view.show([*rows(5), Row(process="p", id="new", client="new", mailbox=9)])
    assert (view.selected, view.row.client) == (3, "Chat-002")
    # One that has gone is followed by whoever stands there.
    view.show(rows(1))
    assert view.row.client == "Chat-000"
    view.show([])
    assert view.row is None
    pressed(view, "down", "end", "page up", "up")
    assert view.selected == 0


def test_keys_move() -> None:
    view = View()
    view.show(rows(500))
    view.visible(10)
    pressed(view, "page down", "page down", "up", "k")
    assert view.selected == 18
    assert [row.id for row in view.visible(10)] == [str(n) for n in range(9, 19)]
    pressed(view, "G")
    assert [row.id for row in view.visible(10)] == [str(n) for n in range(490, 500)]
    pressed(view, "home")
    assert view.visible(10)[0].id == "0"
    assert not view.over
    assert pressed(view, "q").over


def test_keys_order() -> None:
    view = View()
    view.show(rows(3))
    assert pressed(view, "s").sort == "client"
    assert [row.id for row in pressed(view, "r").rows] == ["2", "1", "0"]
    assert pressed(view, "<", "left").sort == "reconnects"
    assert not view.reverse


def test_a_filter_is_typed() -> None:
    view = View()
    view.show(rows(20))
    pressed(view, "/", *"chat-01")
    assert len(view.rows) == 10  # While it is typed.
    pressed(view, "9", "backspace", "enter")
    assert (view.filter, view.typed, len(view.rows)) == ("chat-01", None, 10)
    pressed(view, "/", "q", "escape")  # No command meanwhile.
    assert (view.over, view.filter) == (False, "chat-01")
    pressed(view, "escape")
    assert (view.filter, len(view.rows)) == ("", 20)


def test_keys_of_a_terminal() -> None:
    typed = "j\x1b[A\x1bOB\x1b[5~\x1b[1;5Cé\x7f\r\x1b"
    assert list(keys_in(typed)) == [
        "j",
        "up",
        "down",
        "page up",
        "é",
        "backspace",
        "enter",
        "escape",
    ]


# lines


@pytest.mark.parametrize(("width", "height"), WIDTHS)
@pytest.mark.parametrize("count", [0, 3, 500])
def test_a_screen_is_never_wider_nor_higher(width: int, height: int, count: int) -> None:
    view = View()
    view.show(rows(count))
    for key in ("end", "home", "page down", "/"):
        view.press(key)
        lines = lines_of(view, "title " * 50, width, height)
        assert len(lines) == height
        assert all(cell_len(line.text) <= width for line in lines)
        assert not any("\n" in line.text for line in lines)
        if count and height > 4:
            assert any(line.style == "reverse" for line in lines)


def test_what_a_width_has_room_for() -> None:
    assert [column.title for column, _ in room_for(80)] == [
        *("PID", "CLIENT", "STATUS", "TOPICS", "MAIL", "CALLBACK", "IN/S"),
    ]
    assert len(room_for(200)) == 14
    assert room_for(3) == []


def test_a_screen_tells_all_of_the_selected_row() -> None:
    view = View()
    view.show(rows_of([process(client())]))
    text = "\n".join(line.text for line in lines_of(view, "title", 80, 24))
    for part in (
        "in handle_cast for 12.2s",
        "topics 2 joined of 3  mailbox 5, the oldest Tick, for 2.5s at least",
        "round trip 3ms  in 10.5/s  out 0/s  1.2k bytes/s  reconnects 2",
        "last failure: refused",
        "hint: is it up?",
        "1/1 by process",
    ):
        assert part in text
    view.show(rows_of([process(client(), silent_for=130.0)]))
    assert "does not answer for 2m10s" in "\n".join(
        line.text for line in lines_of(view, "title", 80, 24)
    )


texts = st.text(max_size=30) | st.sampled_from([EVIL, "日本語" * 9, "e\u0301" * 9])


@given(
    st.lists(st.tuples(texts, texts, st.none() | st.floats(0, 1e9)), max_size=8),
    st.integers(1, 250),
    st.integers(1, 70),
)
def test_whatever_is_said_a_line_fits(
    said: list[tuple[str, str, float | None]], width: int, height: int
) -> None:
    clients = [
        client(id=str(n), label=label, status=status, callback={"name": label, "seconds": busy})
        for n, (label, status, busy) in enumerate(said)
    ]
    found = rows_of(
        [Process(key="p", report=msgspec.convert({"pid": 1, "clients": clients}, REPORT))]
    )
    view = View()
    view.show(found)
    lines = lines_of(view, "title", width, height)
    assert len(lines) == height
    assert all(cell_len(line.text) <= width for line in lines)
    assert all(line.text.isprintable() for line in lines)
    assert all(cell_len(line) <= width for line in as_plain(found, "title", width))
    assert natural(found)


REPORT = type(report_from(answer()))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0004, "0.4ms"),
        (0.25, "250ms"),
        (1.5, "1.5s"),
        (100.0, "1m40s"),
        (7325.0, "2h02m"),
    ],
)
def test_times(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (999, "999"), (1000, "1.0k"), (123_456, "123k"), (2.5e6, "2.5M")],
)
def test_sizes(value: float | None, text: str) -> None:
    assert size(value) == text
    assert per_second(0.25) == "0.2"
