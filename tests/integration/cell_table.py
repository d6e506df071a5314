"""A plugin of pytest: at the end of a run of the fault matrices it prints how many of their cells
have passed, of each fault, in each state of a client.

    python -m pytest -p tests.integration.cell_table tests/integration/test_command_matrix.py
"""

from __future__ import annotations

from collections import defaultdict
from typing import get_args

import pytest

from tests.integration.command_matrix import State
from tests.integration.fault_matrix import FAULTS, MOMENTS, SCHEMES

TITLES = {
    "test_a_client_lives_through_it": "a client, and moments of its connection",
    "test_a_client_does_as_it_is_told": "a client, and commands in each of its states",
    "test_a_plain_thread_ends_what_it_has_opened": "a plain thread",
}
NAMES = [fault.name for fault in FAULTS]
STATES = list(dict.fromkeys([*MOMENTS, *get_args(State)]))
Row = dict[str, list[bool]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a table for each matrix, and a line of all."""
    passed: dict[tuple[str, str], bool] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                test, _, cell = report.nodeid.rpartition("::")[2].rstrip("]").partition("[")
                if test in TITLES:
                    passed[test, cell] = passed.get((test, cell), True) and not report.failed
    tables: dict[str, dict[str, Row]] = {}
    for (test, cell), is_passed in passed.items():
        fault, column = fault_and_column(cell)
        rows = tables.setdefault(test, {name: defaultdict(list) for name in NAMES})
        rows[fault][column].append(is_passed)
    for test in sorted(tables, key=list(TITLES).index):
        terminalreporter.section(TITLES[test])
        for line in lines(tables[test]):
            terminalreporter.line(line)
    terminalreporter.section(f"{sum(passed.values())} of {len(passed)} cells passed")


def fault_and_column(cell: str) -> tuple[str, str]:
    """Return the fault that a test's id ends with, and its moment or state."""
    fault = next(name for name in NAMES if cell.endswith(f"-{name}"))
    column = cell.removesuffix(f"-{fault}")
    is_moment = column.startswith(SCHEMES)
    return fault, column.partition("-")[2] if is_moment else column.partition(":")[0]


def lines(rows: dict[str, Row]) -> list[str]:
    """Format a table."""
    columns = sorted({column for row in rows.values() for column in row}, key=STATES.index)
    width = max(map(len, columns)) + 2

    def shown(outcomes: list[bool]) -> str:
        return f"{sum(outcomes)}/{len(outcomes)}" if outcomes else ""

    head = " " * 32 + "".join(f"{column:>{width}}" for column in columns)
    return [
        head,
        *(
            f"{name:<32}" + "".join(f"{shown(row.get(c, [])):>{width}}" for c in columns)
            for name, row in rows.items()
        ),
    ]
