"""What tests of sockets have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slipstream_actor.actors import process


@pytest.fixture
def new_mailbox() -> Iterator[None]:
    """This thread has a mailbox that nothing has come to yet."""
    process._here.__dict__.pop("ref", None)
    yield
    process._here.__dict__.pop("ref", None)
