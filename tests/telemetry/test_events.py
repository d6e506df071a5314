"""The table of events is complete, and the documentation has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipstream_actor import ClientActor
from slipstream_actor.client import defaults
from slipstream_actor.telemetry.events import CALLBACK_NAMES, EVENTS, KEYS, find, names, tables

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "telemetry.md"


def test_every_callback_has_its_events() -> None:
    callbacks = {
        name
        for name in dir(ClientActor)
        if name in ("init", "terminate") or name.startswith("handle_")
    }
    assert set(CALLBACK_NAMES) == callbacks == set(defaults.CALLBACK_NAMES)
    for callback in CALLBACK_NAMES:
        for end in ("start", "stop", "exception"):
            assert ("slipstream", "client", callback, end) in names()


def test_names_are_unique() -> None:
    assert len(set(names())) == len(names())


def test_every_key_is_described_and_every_description_is_of_a_key() -> None:
    keys = {key for event in EVENTS for key in (*event.measurements, *event.metadata)}
    assert keys == set(KEYS)


def test_slipstreams_names_are_among_them() -> None:
    """Those of its guide and its tests."""
    for name in (
        "client.connect.start",
        "client.connect.stop",
        "client.join.start",
        "client.join.stop",
        "client.handle_reply.stop",
        "connection.connect.start",
        "connection.connect.stop",
        "connection.handle.start",
        "connection.handle.stop",
    ):
        assert ("slipstream", *name.split(".")) in names()


def test_events_are_found_and_there_are_no_others() -> None:
    for name in names():
        assert name in find(name).names()
    with pytest.raises(KeyError):
        find(("slipstream", "client", "else"))


def test_the_guide_has_the_tables() -> None:
    assert tables() in GUIDE.read_text(encoding="utf-8"), (
        "docs/guides/telemetry.md: put there what `python -m slipstream_actor.telemetry` prints"
    )
