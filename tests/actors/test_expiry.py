"""Deadlines of what no actor waits for: in order, once, in a thread that does not stay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from slipstream_actor.actors import expiry
from slipstream_actor.actors.expiry import Clock, Expiry
from tests.support.clients import PATIENCE, eventually
from tests.support.interruptions import interrupted


def soon(clock: Clock, seconds: float, function: Callable[[], object]) -> Expiry:
    added = Expiry(time.monotonic() + seconds, function)
    clock.add(added)
    return added


def test_what_is_due_first_is_called_first() -> None:
    clock, done = Clock(), threading.Event()
    called: list[float] = []
    now = time.monotonic()
    with clock._changed:  # Its thread sees all of them at once.
        clock.add(Expiry(now + 0.04, done.set))
        for seconds in (0.03, 0.01, 0.02):
            clock.add(Expiry(now + seconds, partial(called.append, seconds)))
    assert done.wait(PATIENCE)
    assert called == [0.01, 0.02, 0.03]


def test_what_is_due_before_all_others_wakes_the_thread() -> None:
    clock, done = Clock(), threading.Event()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(expiry, "LINGER", 2 * PATIENCE)
        far = soon(clock, 4 * PATIENCE, lambda: None)
        eventually(lambda: clock._wakes_at)
        soon(clock, 0.0, done.set)
        assert done.wait(PATIENCE)
    far.cancel()
    soon(clock, 0.0, lambda: None)  # The thread lingers as it does otherwise.


def test_what_is_cancelled_is_forgotten_and_the_thread_ends() -> None:
    clock = Clock()
    expiries = [soon(clock, 60.0, lambda: None) for _ in range(100)]
    assert clock._running
    for each in expiries:
        each.cancel()
    eventually(lambda: not clock._running, "the end of the thread")
    assert not clock._heap
    done = threading.Event()
    soon(clock, 0.0, done.set)  # And comes back.
    assert done.wait(PATIENCE)


@pytest.mark.parametrize("error", [KeyError, SystemExit])
def test_what_fails_ends_nothing(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    clock, done = Clock(), threading.Event()

    def fail() -> None:
        raise error

    soon(clock, 0.0, fail)
    soon(clock, 0.001, done.set)
    assert done.wait(PATIENCE)
    assert error.__name__ in caplog.text


def refuse_threads(patched: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    patched.setattr(threading.Thread, "start", no_thread)


def test_what_no_thread_can_see_to_is_not_kept() -> None:
    clock, done = Clock(), threading.Event()
    with pytest.MonkeyPatch.context() as patched:
        refuse_threads(patched)
        with pytest.raises(RuntimeError, match="new thread"):
            soon(clock, 0.0, lambda: None)
    assert not clock._heap
    soon(clock, 0.0, done.set)
    assert done.wait(PATIENCE)


@pytest.mark.parametrize("comes_by", ["another deadline", "a thread that is lent"])
def test_what_is_not_to_fail_waits_for_a_thread(comes_by: str) -> None:
    clock, done = Clock(), threading.Event()
    with pytest.MonkeyPatch.context() as patched:
        refuse_threads(patched)
        clock.add_without_fail(Expiry(time.monotonic(), done.set))
    assert clock._heap
    if comes_by == "another deadline":
        soon(clock, 0.0, lambda: None)
        assert done.wait(PATIENCE)
    else:
        clock.lend_thread()
        assert done.is_set()


def test_a_thread_is_not_lent_where_nothing_waits_for_one() -> None:
    clock = Clock()
    clock.lend_thread()
    soon(clock, 0.0, lambda: None)
    clock.lend_thread()
    assert clock._running
    eventually(lambda: not clock._running, "the end of the thread")


def test_each_is_called_once_from_many_threads() -> None:
    clock = Clock()
    called: list[tuple[int, int]] = []

    def add(name: int) -> None:
        for n in range(100):
            soon(clock, n % 7 / 1000, partial(called.append, (name, n)))

    threads = [threading.Thread(target=add, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    eventually(lambda: not clock._heap and not clock._running, "the end of the thread")
    assert sorted(called) == [(name, n) for name in range(8) for n in range(100)]


def test_a_signal_handler_may_set_one_in_the_middle_of_another() -> None:
    """The lock is re-entrant, and there is one thread all the same."""
    before = set(threading.enumerate())
    all_called: list[list[str]] = []
    all_interrupted: list[list[str]] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        clock = Clock()
        called: list[str] = []
        all_called.append(called)

        def interrupt() -> None:
            all_interrupted.append(called)
            soon(clock, 0.0, lambda: called.append("second"))

        return lambda: soon(clock, 0.0, lambda: called.append("first")), interrupt

    assert all(not isinstance(result, Exception) for result in interrupted(prepare))
    assert len(all_interrupted) > 5
    for called in all_interrupted:
        eventually(lambda: len(called) == 2, f"both of {called}")  # noqa: B023
    started = [t for t in threading.enumerate() if t not in before]
    assert len(started) <= len(all_called)
