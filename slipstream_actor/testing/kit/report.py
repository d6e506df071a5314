"""What a failed assertion shows of the requests that have come."""

from __future__ import annotations

from collections.abc import Sequence

from slipstream_actor.testing.kit.expectations import Expectation
from slipstream_actor.testing.kit.formatting import describe, indented
from slipstream_actor.testing.kit.request_log import ClientEnded, Entry

__all__ = ["report"]

# Of what is shown: entries, and differences of each.
MOST_ENTRIES = 20
MOST_DIFFERENCES = 10


def report(
    entries: Sequence[Entry],
    expectation: Expectation,
    culprit: Entry | None = None,
    *,
    several: bool = False,
) -> list[str]:
    """Return the lines that show what came, and where it is not as expected.

    With `several` clients each line says whose it is; `culprit` is what was not to come. Of too
    much to be read it is the last that is shown, but what the assertion is about before all else,
    and the nearest miss in any case.
    """
    if not entries:
        return ["nothing has come"]
    chosen = selected(entries, expectation, culprit)
    some = "" if len(chosen) == len(entries) else f", {len(chosen)} of them shown"
    lines = [f"what has come since the connect ({len(entries)}{some}):"]
    for number, entry in chosen:
        first, *rest = entry_lines(entry, culprit, several=several)
        lines += [f"{number:>3}. {first}", *indented(rest)]
        if not entry.taken and culprit is None:
            found = expectation.differences_of(entry.what)
            if more := len(found[MOST_DIFFERENCES:]):
                found[MOST_DIFFERENCES:] = [f"and {more} more"]
            lines += indented(indented(found))
    return lines


def selected(
    entries: Sequence[Entry], expectation: Expectation, culprit: Entry | None
) -> list[tuple[int, Entry]]:
    """Return the entries that are shown, with their numbers, in order."""
    numbered = list(enumerate(entries, 1))
    if len(numbered) <= MOST_ENTRIES:
        return numbered

    def is_miss(entry: Entry) -> bool:
        return not entry.taken and type(entry.what) is expectation.kind

    misses = [entry for entry in reversed(entries) if is_miss(entry)]
    distances = [len(expectation.differences_of(miss.what)) for miss in misses]
    nearest = misses[distances.index(min(distances))] if misses else None

    def rank(item: tuple[int, Entry]) -> tuple[int, int]:
        number, entry = item
        if entry in (culprit, nearest):
            return 0, -number
        if isinstance(entry.what, ClientEnded) and entry.what.crashed:
            return 1, -number
        return 2 if is_miss(entry) else 3, -number

    return sorted(sorted(numbered, key=rank)[:MOST_ENTRIES])


def entry_lines(entry: Entry, culprit: Entry | None, *, several: bool) -> list[str]:
    """Return the lines of one entry; with `several` clients it is said whose it is."""
    if isinstance(entry.what, ClientEnded):
        return [f"{entry.connection.label} {entry.what}"]
    first, *rest = describe(entry.what)
    note = "  <- this" if entry is culprit else "  (taken)" if entry.taken else ""
    who = f"{entry.connection.label}: " if several else ""
    return [f"{who}{first}{note}", *rest]
