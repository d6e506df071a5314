"""What one does for all: nobody waits, nothing is forgotten, and whoever asks next may do it."""

from __future__ import annotations

import threading

from slipstream_actor.actors.one_at_a_time import OneAtATime
from tests.support.clients import PATIENCE
from tests.support.interruptions import interrupted


def elsewhere(sending: OneAtATime, wanted: list[int], done: list[int]) -> None:
    """Do what is wanted in another thread, if that is free for it."""
    thread = threading.Thread(
        target=sending.do, args=(lambda: wanted, lambda: done.append(wanted.pop()))
    )
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_what_comes_meanwhile_is_left_to_who_does() -> None:
    sending, wanted, done = OneAtATime(), [1], []

    def take() -> None:
        done.append(wanted.pop())
        if len(done) == 1:
            wanted.append(2)
            elsewhere(sending, wanted, done)
            assert done == [1]

    sending.do(lambda: wanted, take)
    assert done == [1, 2]


def test_who_is_called_back_may_ask() -> None:
    sending, wanted, done = OneAtATime(), [1], []

    def take() -> None:
        done.append(wanted.pop())
        if len(done) == 1:
            wanted.append(2)
            sending.do(lambda: wanted, take)
            assert done == [1, 2]
            wanted.append(3)
            elsewhere(sending, wanted, done)
            assert done == [1, 2]

    sending.do(lambda: wanted, take)
    assert done == [1, 2, 3]


def test_what_a_signal_handler_raises_leaves_it_to_the_next() -> None:
    sending, wanted, done = OneAtATime(), [], []

    def ask() -> None:
        wanted.append(1)
        sending.do(lambda: wanted, lambda: done.append(wanted.pop()))

    def ring() -> None:
        raise TimeoutError

    for _ in interrupted(lambda: (ask, ring)):
        wanted.append(2)
        elsewhere(sending, wanted, done)
        assert wanted == []
