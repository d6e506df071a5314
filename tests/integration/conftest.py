"""What tests over real sockets have in common."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.slow_client import letting


@pytest.fixture
def turns() -> Iterator[threading.Semaphore]:
    """What lets a `Slow` take a message."""
    with letting() as turns:
        yield turns
