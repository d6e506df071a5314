"""The lines of the table: for a terminal, of a width and a height, and for a pipe. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from slipstream_actor.cli.top.columns import (
    cells,
    header,
    natural,
    per_second,
    room_for,
    seconds,
    size,
)
from slipstream_actor.cli.top.rows import Row
from slipstream_actor.cli.top.view import View

__all__ = ["Line", "as_plain", "lines_of", "summary"]

# So many lines a terminal needs, for the selected row to be told of too.
TALL = 14
KEYS = "q quit  / filter  s sort  r reverse  arrows, PgUp, PgDn, Home, End move"


class Line(NamedTuple):
    """A line, with a style of rich's."""

    text: str
    style: str = ""


def summary(rows: Sequence[Row], where: str) -> str:
    """Return what there is in all, and who does not answer."""
    processes = {row.process: row for row in rows}
    clients = sum(row.client is not None for row in rows)
    told = [f"{counted(len(processes), 'process', 'es')}, {counted(clients, 'client', 's')}"]
    told += [
        f"pid {'?' if row.pid is None else row.pid} does not answer for {seconds(row.silent_for)}"
        for row in processes.values()
        if row.silent_for is not None
    ]
    return f"{', '.join(told)} ({where})"


def counted(number: int, noun: str, plural: str) -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"


def lines_of(view: View, title: str, width: int, height: int) -> list[Line]:
    """Return so many lines, none of them wider than that: all that a terminal shows."""
    columns = room_for(width)
    footer = list(footer_of(view, height))
    room = max(0, height - 2 - len(footer))
    rows = view.visible(room)
    table = [Line(cells(row, columns), style_of(row, chosen=row is view.row)) for row in rows]
    empty = [Line("")] * (room - len(table))
    titles = Line(header(columns), "bold")
    lines = [Line(title, "bold cyan"), titles, *table, *empty, *footer][:height]
    return [Line(cut(line.text, width), line.style) for line in lines]


def style_of(row: Row, *, chosen: bool) -> str:
    if chosen:
        return "reverse"
    if row.silent_for is not None or row.trouble is not None:
        return "yellow"
    return "" if row.client is None or row.status == "connected" else "red"


def cut(text: str, width: int) -> str:
    """Return a text in so many cells at most."""
    return text if cell_len(text) <= width else set_cell_size(text, width)


def footer_of(view: View, height: int) -> Iterator[Line]:
    """Yield what stands below the table."""
    row = view.row
    if row is not None and height >= TALL:
        yield Line("")
        yield from (Line(text) for text in details(row))
    if view.typed is not None:
        yield Line(f"/{view.typed}_   (Enter keeps it, Esc does not)", "reverse")
        return
    order = f"by {view.sort}{', reversed' if view.reverse else ''}"
    kept = f", with {view.filter!r}" if view.filter else ""
    place = f"{view.selected + 1 if row is not None else 0}/{len(view.rows)}"
    yield Line(f"{place} {order}{kept}  {KEYS}", "dim")


def details(row: Row) -> Iterator[str]:
    """Yield all that is known of a row, also what the width has no column for."""
    named = (row.command, row.client or "no client", row.status, row.host)
    pid = "pid ?" if row.pid is None else f"pid {row.pid}"
    yield "  ".join((pid, *(text for text in named if text)))
    if row.silent_for is not None:
        yield f"does not answer for {seconds(row.silent_for)}; what is shown was before that"
    else:
        yield row.trouble or callback_of(row)
    waits = f"mailbox {row.mailbox}"
    if row.oldest is not None:
        waits += f", the oldest {row.oldest}"
    if row.oldest_age is not None:
        waits += f", for {seconds(row.oldest_age)} at least"
    yield f"topics {row.joined} joined of {row.topics}  {waits}"
    yield (
        f"round trip {seconds(row.round_trip)}  in {per_second(row.messages_in)}/s"
        f"  out {per_second(row.messages_out)}/s  {size(row.bytes)} bytes/s"
        f"  reconnects {'-' if row.reconnects is None else row.reconnects}"
    )
    yield f"last failure: {row.failure or 'none'}"
    yield "" if row.hint is None else f"hint: {row.hint}"


def callback_of(row: Row) -> str:
    if row.callback is None:
        return "waits for a message"
    return f"in {row.callback} for {seconds(row.busy_for)}"


def as_plain(rows: Sequence[Row], title: str, width: int | None) -> Iterable[str]:
    """Yield the lines of a table for a pipe, or for a terminal of a width."""
    yield title if width is None else cut(title, width)
    if not rows:
        return
    columns = natural(rows) if width is None else room_for(width)
    yield header(columns)
    for row in rows:
        yield cells(row, columns)
