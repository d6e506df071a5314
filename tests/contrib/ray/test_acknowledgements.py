"""A thread for what Ray's threads tell, also where the system has none."""

from __future__ import annotations

import queue
import threading

import pytest

from slipstream_actor.contrib.ray import acknowledgements
from slipstream_actor.contrib.ray.acknowledgements import Acknowledgements

PATIENCE = 20.0


def test_what_is_acknowledged_while_there_are_no_more_threads_is_told_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    heard, start = Acknowledgements(), threading.Thread.start
    refused: list[threading.Thread] = []

    def start_unless_refused(thread: threading.Thread) -> None:
        if not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(acknowledgements, "LINGER", 0.0)
    monkeypatch.setattr(threading.Thread, "start", start_unless_refused)
    with pytest.raises(RuntimeError):
        heard.put(lambda: told.put(1))
    heard.put(lambda: told.put(2))
    assert [told.get(timeout=PATIENCE) for _ in range(2)] == [1, 2]
