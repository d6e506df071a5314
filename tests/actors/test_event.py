"""The event that says whether an actor has ended."""

from __future__ import annotations

import threading

import pytest

from slipstream_actor.actors.event import LazyEvent, new_event

PATIENCE = 20.0
MANY = 500


def test_an_event_is_one_of_threadings() -> None:
    event = new_event()
    assert isinstance(event, threading.Event)
    assert not event.is_set()
    assert not event.wait(0.0)
    event.set()
    assert event.is_set()
    assert event.wait(0.0)
    event.clear()
    assert not event.is_set()
    assert not event.wait(0.001)


def test_an_event_that_nobody_waits_for_has_no_condition() -> None:
    event = new_event()
    event.set()
    assert event.wait()
    assert "_cond" not in vars(event)


def test_an_event_has_no_other_attributes_than_it_had() -> None:
    with pytest.raises(AttributeError, match="other"):
        _ = new_event().other  # type: ignore[attr-defined]


def test_all_who_wait_are_woken() -> None:
    """Also those who begin to wait while it is set."""
    for _ in range(MANY):
        event, woken = LazyEvent(), threading.Semaphore(0)

        def wait(event: threading.Event = event, woken: threading.Semaphore = woken) -> None:
            if event.wait(PATIENCE):
                woken.release()

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        event.set()
        for thread in threads:
            assert woken.acquire(timeout=PATIENCE)
            thread.join(PATIENCE)
