"""Every fault as every command is given: the pairs hold, each push has its one outcome, and in the
end the client is where it wants to be. A sample of the cells, or all: `make fault-matrix`."""

from __future__ import annotations

import pytest

from tests.integration import command_cell
from tests.integration.command_matrix import COMMANDS, Command, is_sampled
from tests.integration.fault_matrix import FAULTS, Fault

CELLS = [
    pytest.param(command, fault, id=f"{command}-{fault.name}")
    for column, command in enumerate(COMMANDS)
    for fault in FAULTS
    if is_sampled(fault, column)
]


@pytest.mark.parametrize(("command", "fault"), CELLS)
def test_a_client_does_as_it_is_told(command: Command, fault: Fault) -> None:
    command_cell.run(command, fault)
