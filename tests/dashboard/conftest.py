"""What happens is kept from the first look on; of one test nothing is left for the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor.debug import happenings
from slipstream_actor.telemetry import detach
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import do, recording


@pytest.fixture(autouse=True)
def nothing_has_happened() -> Iterator[None]:
    yield
    detach(happenings.HANDLER)
    happenings._kept.clear()


@pytest.fixture
def client(server: PhoenixServer) -> Iterator[tuple[Any, Any]]:
    """A client that has joined a topic, and what it has recorded."""
    with recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("bench:a"))
        log.take("join")
        yield ref, log
