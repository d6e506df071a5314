"""Our futures: they follow others, are completed once, call back, and keep Pykka's ways."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from slipstream_actor.actors.awaitable import Resumptions
from slipstream_actor.actors.future import Future
from slipstream_actor.errors import CancelledError

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


def test_a_callback_that_exits_ends_nobodys_thread() -> None:
    """It is called by whoever has an answer for the future: a connection, the deadlines' thread."""
    future: Future[int] = Future()
    called: list[Any] = []

    def leave(_: Future[int]) -> None:
        raise SystemExit

    def complete() -> None:
        future.set(7)
        called.append("goes on")

    future.add_done_callback(leave)
    future.add_done_callback(called.append)
    completing = threading.Thread(target=complete)
    completing.start()
    completing.join(PATIENCE)
    assert called == [future, "goes on"]
    with pytest.raises(SystemExit):
        future.add_done_callback(leave)  # Here it may be a signal handler's.


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


# awaited, cancelled, handed on


def completing(future: Future[Any], value: Any, delay: float = 0.0) -> threading.Thread:
    """Have another thread complete it."""

    def complete() -> None:
        threading.Event().wait(delay)
        if isinstance(value, BaseException):
            future.fail(value)
        else:
            future.set(value)

    thread = threading.Thread(target=complete)
    thread.start()
    return thread


@pytest.fixture(params=["asyncio", "trio"])
def run_loop(request: pytest.FixtureRequest) -> Any:
    """Run a coroutine function in a loop of either kind."""
    if request.param == "asyncio":
        return lambda main: asyncio.run(main())
    return pytest.importorskip("trio").run


def test_it_is_awaited(run_loop: Any) -> None:
    future: Future[int] = Future()

    async def main() -> int:
        completing(future, 7)
        return await future + await future

    assert run_loop(main) == 14


def test_an_await_raises_what_it_has_failed_with(run_loop: Any) -> None:
    future: Future[int] = Future()

    async def main() -> None:
        completing(future, ValueError("no"))
        await future

    with pytest.raises(ValueError, match="no"):
        run_loop(main)


def test_an_await_blocks_no_loop() -> None:
    future: Future[int] = Future()

    async def main() -> int:
        async def complete() -> None:
            future.set(1)

        task = asyncio.create_task(complete())
        result = await future
        await task
        return result

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == 1


def test_a_thousand_are_awaited_without_a_thread_for_each() -> None:
    futures: list[Future[int]] = [Future() for _ in range(1000)]
    before = threading.active_count()

    async def main() -> list[int]:
        async def one(future: Future[int]) -> int:
            return await future

        tasks = [asyncio.create_task(one(future)) for future in futures]
        await asyncio.sleep(0)
        assert threading.active_count() == before
        for n, future in enumerate(futures):
            future.set(n)
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == list(range(1000))


class Cancellable(Future[int]):
    """One that can be cancelled, as that of a request."""

    def cancel(self) -> bool:
        return self.fail(CancelledError("it was cancelled"))


def test_a_cancelled_task_cancels_in_asyncio() -> None:
    future = Cancellable()

    async def main() -> None:
        async def wait() -> int:
            return await future

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    with pytest.raises(CancelledError):
        future.get()
    assert not future._callbacks


def test_a_cancelled_scope_cancels_in_trio() -> None:
    trio = pytest.importorskip("trio")
    future = Cancellable()

    async def main() -> None:
        with trio.move_on_after(0.01) as scope:
            await future
        assert scope.cancelled_caught

    trio.run(main)
    with pytest.raises(CancelledError):
        future.get()


def test_a_loop_that_is_closed_meanwhile_is_nobodys() -> None:
    future: Future[int] = Future()
    loop = asyncio.new_event_loop()

    async def wait() -> int:
        return await future

    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    future.set(1)  # Raises nothing in the thread that completes it.
    assert future.get() == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_an_await_where_no_loop_runs_raises() -> None:
    async def wait() -> int:
        return await Future[int]()

    with pytest.raises(RuntimeError, match="no running event loop"):
        wait().send(None)


def test_a_mapped_one_is_awaited(run_loop: Any) -> None:
    future: Future[int] = Future()
    mapped = future.map(lambda value: value + 1).map(str)

    async def main() -> Any:
        completing(future, 1)
        return await mapped

    assert run_loop(main) == "2"
    assert mapped.get() == "2"


def test_what_is_made_of_some_is_awaited(run_loop: Any) -> None:
    first, second = Future[Any](), Future[Any]()
    theirs = pykka.ThreadingFuture[int]()
    made: list[Future[Any]] = [
        first.filter(lambda value: value > 1),
        first.reduce(lambda a, b: a + b),
        first.map(sum).join(second, theirs).map(list),
    ]

    async def main() -> list[Any]:
        completing(second, 7)
        completing(first, [1, 2, 3])
        theirs.set(9)
        return [await future for future in made]

    assert run_loop(main) == [[2, 3], 6, [6, 7, 9]]


def test_to_cancel_what_is_made_of_some_cancels_each() -> None:
    futures = [Cancellable() for _ in range(3)]

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(futures[0].join(*futures[1:]), 0.01)

    asyncio.run(main())
    assert all(future.done for future in futures)


def test_coroutines_whose_futures_are_done_together_wake_the_loop_once() -> None:
    futures: list[Future[int]] = [Future() for _ in range(100)]
    woken: list[Any] = []

    async def main() -> list[int]:
        loop: Any = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        async def one(future: Future[int]) -> int:
            return await future

        tasks = [asyncio.create_task(one(future)) for future in futures]
        await asyncio.sleep(0)

        def counted(*args: Any) -> Any:
            woken.append(args)
            return wake(*args)

        loop.call_soon_threadsafe = counted
        for n, future in enumerate(futures):
            future.set(n)
        loop.call_soon_threadsafe = wake
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [*range(100)]
    assert len(woken) == 1


def test_a_loop_that_is_closed_is_not_taken_for_one_that_was_woken() -> None:
    loop = asyncio.new_event_loop()
    resumptions = Resumptions(loop)
    loop.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            resumptions.add(loop, None)


def test_one_of_pykkas_own_is_awaited_by_ours(run_loop: Any) -> None:
    theirs = pykka.ThreadingFuture[int]()
    ours: Future[int] = Future()
    ours.set(theirs)

    async def main() -> int:
        theirs.set(3)
        return await ours

    assert run_loop(main) == 3


def test_it_becomes_a_concurrent_future() -> None:
    future: Future[int] = Future()
    twin = future.as_concurrent()
    assert not twin.done()
    completing(future, 4).join(PATIENCE)
    assert twin.result(PATIENCE) == 4
    failed: Future[int] = Future()
    failed.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        failed.as_concurrent().result(PATIENCE)
    mapped: Future[int] = Future()
    other = mapped.map(lambda value: value + 1).as_concurrent()
    mapped.set(1)
    assert other.result(PATIENCE) == 2


def test_who_completes_it_does_not_wait_for_the_lock_of_its_twin() -> None:
    """A signal handler that raises may leave that locked in whoever waits for the twin."""
    future: Future[int] = Future()
    twin = future.as_concurrent()
    with twin._condition:
        completer = completing(future, 4)
        completer.join(PATIENCE)
        assert not completer.is_alive()
        assert not twin.done()
    assert twin.result(PATIENCE) == 4


def test_a_twin_that_is_locked_is_completed_where_there_are_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    future: Future[int] = Future()
    twin = future.as_concurrent()
    patched, tried = threading.Event(), threading.Event()

    def start(_: threading.Thread) -> None:
        tried.set()
        raise RuntimeError("can't start new thread")

    def complete() -> None:
        patched.wait(PATIENCE)
        future.set(4)

    with twin._condition:
        completer = threading.Thread(target=complete)
        completer.start()
        monkeypatch.setattr(threading.Thread, "start", start)
        patched.set()
        assert tried.wait(PATIENCE)
    completer.join(PATIENCE)
    assert twin.result(PATIENCE) == 4


def test_what_is_called_behind_its_end_does_not_wait_for_the_lock_either() -> None:
    future: Future[int] = Future()
    twin: Any = future.as_concurrent()
    called, locked = threading.Event(), threading.Event()

    def wait_until_locked(_: Any) -> None:
        called.set()
        locked.wait(PATIENCE)

    twin._done_callbacks.insert(0, wait_until_locked)
    completer = completing(future, 4)
    assert called.wait(PATIENCE)
    with twin._condition:
        locked.set()
        completer.join(PATIENCE)
        assert not completer.is_alive()


def test_one_of_pykkas_own_becomes_a_concurrent_future() -> None:
    theirs = pykka.ThreadingFuture[int]()
    ours: Future[int] = Future()
    ours.set(theirs)
    twin = ours.as_concurrent()
    theirs.set(5)
    assert twin.result(PATIENCE) == 5


def test_to_cancel_either_cancels_both() -> None:
    first, second = Cancellable(), Cancellable()
    twin = first.as_concurrent()
    assert twin.cancel()
    with pytest.raises(CancelledError):
        first.get()
    twin = second.as_concurrent()
    second.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        twin.result(PATIENCE)


def test_a_wrapped_one_is_cancelled_with_its_task() -> None:
    future = Cancellable()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future.as_concurrent()), 0.01)

    asyncio.run(main())
    with pytest.raises(CancelledError):
        future.get(timeout=PATIENCE)


def test_what_was_told_cannot_be_taken_back() -> None:
    assert not Future[int]().cancel()


class Raises:
    """What waits for a loop; to complete it raises, as a signal handler may, the first time."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = [*errors]
        self.completed = 0

    def done(self) -> bool:
        return bool(self.completed)

    def set_result(self, _: Any) -> None:
        if self.errors:
            raise self.errors.pop()
        self.completed += 1


def test_a_signal_handler_strands_no_coroutine() -> None:
    waiters = [Raises(), Raises(ValueError("handler")), Raises()]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        resumptions = Resumptions(loop)
        for waiter in waiters:
            resumptions.add(loop, waiter)
        while not all(waiter.completed for waiter in waiters):
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert [waiter.completed for waiter in waiters] == [1, 1, 1]
