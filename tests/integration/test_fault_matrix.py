"""Every fault at every moment: the client comes back, each push has its one outcome, `stop`
returns, and nothing is left."""

from __future__ import annotations

import pytest

from tests.integration.fault_cell import run
from tests.integration.fault_matrix import (
    FAULTS,
    MOMENTS,
    SCHEMES,
    Fault,
    Moment,
    Scheme,
    senseless,
)

CELLS = [
    pytest.param(scheme, moment, fault, id=f"{scheme}-{moment}-{fault.name}")
    for scheme in SCHEMES
    for moment in MOMENTS
    for fault in FAULTS
    if senseless(scheme, moment, fault) is None
]


@pytest.mark.parametrize(("scheme", "moment", "fault"), CELLS)
def test_a_client_lives_through_it(scheme: Scheme, moment: Moment, fault: Fault) -> None:
    run(scheme, moment, fault)
