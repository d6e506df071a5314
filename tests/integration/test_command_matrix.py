"""Every fault as every command is given: the pairs hold, each push has its one outcome, and in the
end the client is where it wants to be. A sample of the cells, or all: `make fault-matrix`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration import command_cell, script_cell
from tests.integration.command_matrix import COMMANDS, Command, is_sampled
from tests.integration.fault_matrix import FAULTS, Fault
from tests.integration.script_cell import SCRIPTS

CLIENT_CELLS = [
    pytest.param(command, fault, id=f"{command}-{fault.name}")
    for column, command in enumerate(COMMANDS)
    for fault in FAULTS
    if is_sampled(fault, column)
]
SCRIPT_CELLS = [
    pytest.param(state, end, fault, id=f"{state}: {name}-{fault.name}")
    for column, (state, name, end) in enumerate(SCRIPTS)
    for fault in FAULTS
    if is_sampled(fault, column)
]


def test_each_fault_and_each_command_is_in_the_sample() -> None:
    sampled = [
        (str(command), fault.name)
        for column, command in enumerate(COMMANDS)
        for fault in FAULTS
        if is_sampled(fault, column)
    ]
    assert {command for command, _ in sampled} == {str(command) for command in COMMANDS}
    assert {fault for _, fault in sampled} == {fault.name for fault in FAULTS}


@pytest.mark.parametrize(("command", "fault"), CLIENT_CELLS)
def test_a_client_does_as_it_is_told(command: Command, fault: Fault) -> None:
    command_cell.run(command, fault)


@pytest.mark.parametrize(("state", "end", "fault"), SCRIPT_CELLS)
def test_a_plain_thread_ends_what_it_has_opened(state: Any, end: Any, fault: Fault) -> None:
    script_cell.run(state, end, fault)
