"""The columns of the table, and which of them a width has room for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from slipstream_actor.cli.top.rows import Row

__all__ = ["Column", "cells", "header", "natural", "per_second", "room_for", "seconds", "size"]

GAP = 1
NOTHING = "-"


def seconds(value: float | None) -> str:
    """Return a time as a person reads it."""
    if value is None:
        return NOTHING
    if value < 1.0:
        return f"{value * 1000:.0f}ms" if value >= 0.001 else f"{value * 1000:.1f}ms"
    if value < 100.0:
        return f"{value:.1f}s"
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def size(value: float | None) -> str:
    """Return a number with a unit of thousands."""
    if value is None:
        return NOTHING
    for unit in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.0f}{unit}" if not unit or value >= 100 else f"{value:.1f}{unit}"
        value /= 1000
    return f"{value:.0f}T"


def per_second(value: float | None) -> str:
    """Return how many there are in a second."""
    return f"{value:.1f}" if value is not None and 0 < value < 100 else size(value)


def status(row: Row) -> str:
    """Return how a client stands, or that nobody can tell."""
    if row.trouble is not None and row.silent_for is None:
        return row.trouble
    if row.silent_for is not None:
        return f"no answer {seconds(row.silent_for)}"
    return row.status or NOTHING


def callback(row: Row) -> str:
    if row.callback is None:
        return NOTHING
    return row.callback if row.busy_for is None else f"{row.callback} {seconds(row.busy_for)}"


def failure(row: Row) -> str:
    if row.failure is None:
        return NOTHING
    return row.failure if row.hint is None else f"{row.failure} ({row.hint})"


def whole(value: int | None) -> str:
    return NOTHING if value is None else size(value) if value >= 100_000 else str(value)


@dataclass(frozen=True)
class Column:
    """A column; `width` is the least that it needs, `share` of what is left over is its part."""

    title: str
    width: int
    text: Callable[[Row], str]
    share: int = 0
    right: bool = False


# As they stand beside each other, each with its rank: the last ones give way first.
COLUMNS: list[tuple[int, Column]] = [
    (0, Column("PID", 7, lambda row: whole(row.pid), right=True)),
    (10, Column("COMMAND", 12, lambda row: row.command or NOTHING, share=1)),
    (1, Column("CLIENT", 16, lambda row: row.client or NOTHING, share=3)),
    (2, Column("STATUS", 12, status, share=1)),
    (9, Column("HOST", 14, lambda row: row.host or NOTHING, share=2)),
    (5, Column("TOPICS", 7, lambda row: f"{whole(row.joined)}/{whole(row.topics)}", right=True)),
    (3, Column("MAIL", 5, lambda row: whole(row.mailbox), right=True)),
    (4, Column("CALLBACK", 15, callback, share=3)),
    (7, Column("RTT", 6, lambda row: seconds(row.round_trip), right=True)),
    (6, Column("IN/S", 6, lambda row: per_second(row.messages_in), right=True)),
    (8, Column("OUT/S", 6, lambda row: per_second(row.messages_out), right=True)),
    (12, Column("BYTES/S", 7, lambda row: size(row.bytes), right=True)),
    (13, Column("RECONN", 6, lambda row: whole(row.reconnects), right=True)),
    (11, Column("LAST FAILURE", 20, failure, share=6)),
]

Fitted = list[tuple[Column, int]]


def room_for(width: int) -> Fitted:
    """Return the columns that so many cells have room for, each with its own width."""
    chosen: list[Column] = []
    left = width + GAP
    for _, column in sorted(COLUMNS, key=lambda ranked: ranked[0]):
        if column.width + GAP > left:
            break
        chosen.append(column)
        left -= column.width + GAP
    shares = sum(column.share for column in chosen) or 1
    standing = [column for _, column in COLUMNS if column in chosen]
    return [(column, column.width + left * column.share // shares) for column in standing]


def natural(rows: Sequence[Row]) -> Fitted:
    """Return all columns, each as wide as what is in it."""
    return [
        (column, max(len(column.title), *(cell_len(column.text(row)) for row in rows), 0))
        for _, column in COLUMNS
    ]


def header(columns: Fitted) -> str:
    """Return the line of titles."""
    return joined([(column, width, column.title) for column, width in columns])


def cells(row: Row, columns: Fitted) -> str:
    """Return a row as a line, no wider than its columns."""
    return joined([(column, width, column.text(row)) for column, width in columns])


def joined(parts: list[tuple[Column, int, str]]) -> str:
    return (" " * GAP).join(fitted(text, width, column) for column, width, text in parts).rstrip()


def fitted(text: str, width: int, column: Column) -> str:
    """Return a text in exactly so many cells; what is cut says so."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
    padding = " " * (width - length)
    return padding + text if column.right else text + padding
