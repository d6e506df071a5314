"""`Shards.subscribe` in one process, with the test in the place of Ray and of the shards."""

from __future__ import annotations

import gc
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipstream_actor import ANY, MessageReceived, SlipstreamError
from slipstream_actor.contrib.ray import ShardRestarted, ShardSubscription, engine
from slipstream_actor.contrib.ray.messages import PatternFailed, encode_messages
from tests.contrib.ray.fed_stream import next_of
from tests.contrib.ray.rooms import taken
from tests.support.programs import run

PATIENCE = 20.0


class Ray:
    """What `engine` asks of Ray: a stream that the test feeds, and what the shard is told."""

    def __init__(self) -> None:
        self.stream: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(self, *numbers: int) -> None:
        messages = [MessageReceived("rooms:a", "new", {"n": number}) for number in numbers]
        self.stream.put(encode_messages(0, messages))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()
    monkeypatch.setattr(engine, "stream", lambda *_: ray.stream)
    monkeypatch.setattr(engine, "next_of", next_of)
    monkeypatch.setattr(engine, "tell", lambda actor, method, *_: ray.told.put(method))
    return ray


@pytest.fixture
def subscribe(ray: Ray) -> Iterator[Callable[[], ShardSubscription]]:
    before, made = set(threading.enumerate()), weakref.WeakSet[ShardSubscription]()

    def begin() -> ShardSubscription:
        subscription = ShardSubscription((ANY, ANY, ANY), 5, "wait", lambda shard: "actor")
        made.add(subscription)
        subscription._read(1)
        ray.stream.put("incarnation")
        return subscription

    yield begin
    for subscription in made:
        subscription.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)


def test_messages_come_in_their_order_and_behind_a_restart(
    ray: Ray, subscribe: Callable[[], ShardSubscription]
) -> None:
    subscription = subscribe()
    ray.send(*range(7))  # More than wait here, as one list may be.
    ray.stream.put("another")
    ray.send(7)
    found = [taken(subscription) for _ in range(9)]
    assert found[7] == ShardRestarted(0)
    assert [found[n].payload["n"] for n in (*range(7), 8)] == list(range(8))


def test_one_that_nobody_has_any_more_ends_at_the_shards_too(
    ray: Ray, subscribe: Callable[[], ShardSubscription]
) -> None:
    def use() -> Any:
        return taken(subscribe())

    # Full, so that the shard's connection would read no more.
    for _ in range(4):
        ray.send(*range(5))
    assert use().payload == {"n": 0}
    gc.collect()
    assert ray.told.get(timeout=PATIENCE) == "close_messages"


def test_one_that_is_closed_ends_what_has_begun_at_the_shard_since(
    ray: Ray, subscribe: Callable[[], ShardSubscription]
) -> None:
    subscription = subscribe()
    subscription.close()
    for _ in range(2):  # At once, and when nobody reads any more.
        assert ray.told.get(timeout=PATIENCE) == "close_messages"


def test_a_pattern_that_a_shard_cannot_take_is_an_error(
    ray: Ray, subscribe: Callable[[], ShardSubscription]
) -> None:
    ray.stream.put(ModuleNotFoundError("no module 'patterns'"))
    with pytest.raises(SlipstreamError, match=r"cannot take the pattern.*no module"):
        taken(subscribe())


def test_a_pattern_that_fails_at_a_shard_is_an_error_behind_what_was_taken(
    ray: Ray, subscribe: Callable[[], ShardSubscription]
) -> None:
    subscription = subscribe()
    ray.send(1)
    ray.stream.put(PatternFailed("KeyError('age')"))
    assert taken(subscription) == MessageReceived("rooms:a", "new", {"n": 1})
    with pytest.raises(SlipstreamError, match=r"has failed at shard 0: KeyError\('age'\)"):
        taken(subscription)


FORKED = """
import os, signal, threading
from slipstream_actor import ANY, ForkedError
from slipstream_actor.contrib.ray import ShardSubscription

subscription = ShardSubscription((ANY, ANY, ANY), 5, "wait", lambda shard: "actor")
held, go_on = threading.Event(), threading.Event()

def hold():
    with subscription._lock:
        held.set()
        go_on.wait(60)

threading.Thread(target=hold).start()
assert held.wait(10)
if (pid := os.fork()) == 0:
    signal.alarm(15)
    subscription.close()
    try:
        next(subscription)
    except ForkedError:
        os._exit(5)
    os._exit(6)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
go_on.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_one_of_the_parents_is_of_no_use_in_a_forked_child() -> None:
    assert run(FORKED) == (0, "5\n", "")
