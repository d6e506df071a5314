"""Our futures: they follow others, are completed once, call back, and keep Pykka's ways."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from slipstream_actor.actors.future import Future

PATIENCE = 20.0


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set(value)
    return future


def failed(error: BaseException) -> Future[Any]:
    future: Future[Any] = Future()
    future.fail(error)
    return future


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


# completion


def test_a_value_is_returned_as_often_as_it_is_asked_for() -> None:
    future = done(5)
    assert [future.get(), future.get(timeout=0), future.get(timeout=None)] == [5, 5, 5]
    assert future.done


def test_an_exception_is_raised_as_often_as_it_is_asked_for() -> None:
    error = KeyError("k")
    future = failed(error)
    for _ in range(2):
        with pytest.raises(KeyError) as raised:
            future.get(timeout=0)
        assert raised.value is error


def test_set_exception_takes_what_is_being_handled() -> None:
    future: Future[Any] = Future()
    error = ZeroDivisionError()
    try:
        raise error
    except ZeroDivisionError:
        future.set_exception()
    with pytest.raises(ZeroDivisionError) as raised:
        future.get()
    assert raised.value is error


def test_set_exception_takes_a_type_alone() -> None:
    future: Future[Any] = Future()
    future.set_exception((OSError, None, None))
    with pytest.raises(OSError):
        future.get()


def test_a_value_that_is_an_exception_is_a_value() -> None:
    error = KeyError()
    assert done(error).get() is error


def test_a_second_completion_is_ignored() -> None:
    future = done(1)
    future.set(2)
    future.fail(KeyError())
    future.set_exception((KeyError, KeyError(), None))
    future.set(done(3))
    assert future.get() == 1
    other = failed(KeyError())
    other.set(1)
    with pytest.raises(KeyError):
        other.get()


def test_of_many_completions_at_once_one_counts() -> None:
    for _ in range(200):
        future: Future[Any] = Future()
        called: list[Any] = []
        future.add_done_callback(lambda f, called=called: called.append(f.get()))  # type: ignore[misc]
        barrier = threading.Barrier(4)

        def complete(n: int, future: Future[Any] = future, b: Any = barrier) -> None:
            b.wait()
            future.set(n)

        threads = [in_thread(lambda n=n: complete(n)) for n in range(4)]  # type: ignore[misc]
        value = future.get(timeout=PATIENCE)
        for thread in threads:
            thread.join(PATIENCE)
        assert future.get() == value
        assert called == [value]


# waiting


@pytest.mark.parametrize("timeout", [0, 0.001, -1])
def test_a_timeout_is_pykka_s(timeout: float) -> None:
    future: Future[Any] = Future()
    with pytest.raises(pykka.Timeout):
        future.get(timeout=timeout)
    assert not future.done
    future.set(1)
    assert future.get(timeout=timeout) == 1


@pytest.mark.parametrize("timeout", [None, float("inf"), PATIENCE])
def test_waiting_ends_with_the_value(timeout: float | None) -> None:
    future: Future[Any] = Future()
    results: list[Any] = []
    threads = [in_thread(lambda: results.append(future.get(timeout=timeout))) for _ in range(5)]
    future.set(7)
    for thread in threads:
        thread.join(PATIENCE)
    assert results == [7] * 5


class Gate:
    """The gate of a future, with a getter that is seen on its way through it."""

    def __init__(self, lock: Any, before: Callable[[], object], passing: Callable[[], object]):
        self._lock = lock
        self._before: Callable[[], object] | None = before
        self._passing = passing

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        before, self._before = self._before, None
        if before is not None:
            before()
        passed: bool = self._lock.acquire(*args, **kwargs)
        if before is not None:
            self._passing()
        return passed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)


def get_while(future: Future[Any], value: Any, passing: Callable[[], object]) -> Any:
    """Complete `future` while a getter waits, and call `passing` while that one has the gate."""
    gate = Gate(future._gate, lambda: future.set(value), passing)
    future._gate = gate  # type: ignore[assignment]
    return future.get(timeout=PATIENCE)


def test_a_getter_on_its_way_hides_the_value_from_nobody() -> None:
    future: Future[Any] = Future()
    seen: list[Any] = []
    look = lambda: seen.append((future.done, future.get(timeout=0)))  # noqa: E731
    assert get_while(future, 7, look) == 7
    assert seen == [(True, 7)]


def test_a_getter_on_its_way_loses_no_callback() -> None:
    future: Future[Any] = Future()
    called: list[Any] = []
    get_while(future, 7, lambda: future.add_done_callback(called.append))
    assert called == [future]


def test_a_getter_on_its_way_loses_no_follower() -> None:
    future: Future[Any] = Future()
    follower: Future[Any] = Future()
    get_while(future, 7, lambda: follower.set(future))
    assert follower.get(timeout=0) == 7


def test_getters_callbacks_and_a_completion_at_once() -> None:
    for _ in range(200):
        future: Future[Any] = Future()
        called: list[Any] = []
        barrier = threading.Barrier(7)

        def run(
            function: Callable[[Future[Any]], object],
            future: Future[Any] = future,
            barrier: threading.Barrier = barrier,
        ) -> None:
            barrier.wait()
            function(future)

        functions: list[Callable[[Future[Any]], object]] = [
            lambda f: f.set(1),
            *[lambda f: f.get(timeout=PATIENCE)] * 3,
            *[lambda f, called=called: f.add_done_callback(called.append)] * 3,
        ]
        threads = [in_thread(lambda f=f: run(f)) for f in functions]  # type: ignore[misc]
        for thread in threads:
            thread.join(PATIENCE)
        assert called == [future] * 3


# following


def test_set_to_a_future_it_follows_it() -> None:
    inner: Future[Any] = Future()
    outer: Future[Any] = Future()
    outer.set(inner)
    assert not outer.done
    with pytest.raises(pykka.Timeout):
        outer.get(timeout=0)
    inner.set("value")
    assert outer.done
    assert outer.get(timeout=0) == "value"


def test_a_chain_of_futures() -> None:
    futures: list[Future[Any]] = [Future() for _ in range(50)]
    for outer, inner in itertools.pairwise(futures):
        outer.set(inner)
    waiting: list[Any] = []
    thread = in_thread(lambda: waiting.append(futures[0].get(timeout=PATIENCE)))
    futures[-1].set("value")
    thread.join(PATIENCE)
    assert waiting == ["value"]


def test_it_follows_an_exception() -> None:
    outer: Future[Any] = Future()
    inner: Future[Any] = Future()
    outer.set(inner)
    inner.fail(KeyError("k"))
    with pytest.raises(KeyError):
        outer.get(timeout=0)


def test_it_follows_what_is_done() -> None:
    assert done(done(done(1))).get(timeout=0) == 1
    with pytest.raises(KeyError):
        done(failed(KeyError())).get(timeout=0)


def test_following_is_a_completion() -> None:
    inner: Future[Any] = Future()
    outer = done(inner)
    outer.set("too late")
    inner.set("value")
    assert outer.get(timeout=0) == "value"


@pytest.mark.parametrize("depth", [1, 2])
def test_it_follows_a_plain_future_of_pykka(depth: int) -> None:
    plain: pykka.Future[Any] = pykka.ThreadingFuture()
    outer: Any = plain
    for _ in range(depth):
        outer = done(outer)
    with pytest.raises(pykka.Timeout):
        outer.get(timeout=0)
    plain.set("value")
    assert outer.get(timeout=0) == "value"
    assert outer.get(timeout=0) == "value"


def test_it_follows_a_plain_future_s_exception() -> None:
    plain: pykka.Future[Any] = pykka.ThreadingFuture()
    outer = done(plain)
    plain.set_exception((KeyError, KeyError("k"), None))
    with pytest.raises(KeyError):
        outer.get(timeout=0)


def test_it_follows_a_map_of_its_own_kind() -> None:
    inner: Future[Any] = Future()
    outer = done(inner.map(lambda n: n + 1))
    inner.set(1)
    assert outer.get(timeout=PATIENCE) == 2
    assert done(outer).get(timeout=PATIENCE) == 2


# callbacks


def test_a_callback_is_called_once_when_done() -> None:
    future: Future[Any] = Future()
    called: list[Any] = []
    future.add_done_callback(called.append)
    future.add_done_callback(called.append)
    assert called == []
    future.set(1)
    future.set(2)
    assert called == [future, future]


def test_a_callback_is_called_at_once_when_it_is_done() -> None:
    called: list[Any] = []
    for future in (done(1), failed(KeyError())):
        future.add_done_callback(called.append)
        assert called.pop() is future


def test_a_callback_sees_the_future_done_in_the_thread_that_completes_it() -> None:
    future: Future[Any] = Future()
    seen: list[Any] = []
    future.add_done_callback(lambda f: seen.append((f.get(timeout=0), threading.get_ident())))
    thread = in_thread(lambda: future.set(1))
    thread.join(PATIENCE)
    assert seen == [(1, thread.ident)]


def test_a_callback_may_add_another() -> None:
    future: Future[Any] = Future()
    called: list[Any] = []
    future.add_done_callback(lambda f: f.add_done_callback(called.append))
    future.set(1)
    assert called == [future]


def test_a_callback_that_raises_hurts_nobody() -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError

    future: Future[Any] = Future()
    called: list[Any] = []
    future.add_done_callback(fail)
    future.add_done_callback(called.append)
    future.set(1)
    assert called == [future]
    assert future.get() == 1


# Pykka's ways


def test_a_get_hook_is_asked_once() -> None:
    asked: list[Any] = []
    future: Future[Any] = Future()

    def hook(timeout: float | None) -> Any:
        asked.append(timeout)
        return "value"

    future.set_get_hook(hook)
    assert [future.get(timeout=3), future.get()] == ["value", "value"]
    assert asked == [3]


def test_map_filter_join_and_reduce() -> None:
    one, two = done([1, 2, 3]), done(4)
    assert two.map(lambda n: n + 1).get(timeout=PATIENCE) == 5
    assert one.filter(lambda n: n > 1).get(timeout=PATIENCE) == [2, 3]
    assert two.join(done(5)).get(timeout=PATIENCE) == [4, 5]
    assert one.reduce(lambda a, b: a + b).get(timeout=PATIENCE) == 6
    assert pykka.get_all([one, two]) == [[1, 2, 3], 4]


def test_a_callback_that_was_removed_is_not_called() -> None:
    future: Future[Any] = Future()
    called: list[str] = []
    kept, removed = lambda _: called.append("kept"), lambda _: called.append("removed")
    for function in (removed, kept, removed):
        future.add_done_callback(function)
    future.remove_done_callback(removed)  # Once added, once removed.
    future.remove_done_callback(removed)
    future.remove_done_callback(removed)
    future.set(1)
    future.remove_done_callback(kept)
    assert called == ["kept"]


def test_map_passes_exceptions_and_timeouts_on() -> None:
    with pytest.raises(KeyError):
        failed(KeyError()).map(str).get(timeout=PATIENCE)
    with pytest.raises(ZeroDivisionError):
        done(0).map(lambda n: 1 / n).get(timeout=PATIENCE)
    pending: Future[Any] = Future()
    with pytest.raises(pykka.Timeout):
        pending.map(str).get(timeout=0)


def test_await_and_for_yield_the_value() -> None:
    async def ask() -> Any:
        return await done(5)

    assert asyncio.run(ask()) == 5
