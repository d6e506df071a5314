"""What happens is kept from the first look on; of one test nothing is left for the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slipstream_actor.debug import happenings
from slipstream_actor.telemetry import detach


@pytest.fixture(autouse=True)
def nothing_has_happened() -> Iterator[None]:
    yield
    detach(happenings.HANDLER)
    happenings._kept.clear()
