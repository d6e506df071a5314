"""The way to one shard, with the test in the place of Ray and of the shard."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipstream_actor import AwaitTimeoutError, CancelledError, ClientEndedError, Reply
from slipstream_actor.contrib.ray import ShardLostError, engine
from slipstream_actor.contrib.ray import link as links
from slipstream_actor.contrib.ray.link import Link
from slipstream_actor.contrib.ray.operation import Operation
from slipstream_actor.contrib.ray.orders import (
    CANCEL,
    MOVED,
    REPLIED,
    REQUEST,
    STALE,
    Batch,
    Outcome,
    decode_batch,
    encode_outcomes,
)
from tests.contrib.ray.fed_stream import next_of
from tests.support.clients import eventually

PATIENCE = 20.0


class Ray:
    """What `engine` asks of Ray: streams that the test feeds, batches that it acknowledges."""

    def __init__(self) -> None:
        self.streams: queue.SimpleQueue[queue.SimpleQueue[Any]] = queue.SimpleQueue()
        self.batches: queue.SimpleQueue[tuple[Batch, Callable[[Any], object]]] = queue.SimpleQueue()
        self.silences: queue.SimpleQueue[tuple[int, Any, str]] = queue.SimpleQueue()
        self.again: list[Operation] = []
        self.versions: list[int] = []

    def link(self, find: Callable[[int], Any]) -> Link:
        told = self.versions.append
        return Link(3, "process", find, lambda: 7, told, self.send_again, self.silent)

    def send_again(self, operation: Operation) -> None:
        self.again.append(operation)

    def silent(self, shard: int, actor: Any, incarnation: str, seconds: float) -> None:
        """A shard has said nothing for so long."""
        self.silences.put((shard, actor, incarnation))

    def stream(self, *_: Any) -> queue.SimpleQueue[Any]:
        made: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.streams.put(made)
        return made

    def opened(self, token: str) -> queue.SimpleQueue[Any]:
        """Return the stream that the link has asked for, with its token given."""
        stream = self.streams.get(timeout=PATIENCE)
        stream.put(token)
        return stream

    def batch(self) -> tuple[Batch, Callable[[Any], object]]:
        return self.batches.get(timeout=PATIENCE)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()
    monkeypatch.setattr(engine, "stream", ray.stream)
    monkeypatch.setattr(engine, "next_of", next_of)
    monkeypatch.setattr(engine, "tell", lambda *_: None)
    monkeypatch.setattr(engine, "bound", lambda *_: decode_batch)
    monkeypatch.setattr(engine, "when_done", lambda batch, told: ray.batches.put((batch, told)))
    return ray


@pytest.fixture
def link(ray: Ray) -> Iterator[Link]:
    before = set(threading.enumerate())
    link = ray.link(lambda shard: "actor")
    yield link
    link.close(ClientEndedError("normal"))
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("slipstream_actor link"):
            thread.join(PATIENCE)


def request(number: int = 0, timeout: float | None = PATIENCE) -> Operation:
    body = "echo", False, b"{}"
    return Operation(REQUEST, f"rooms:{number}", body, 2, "<Shards>", timeout)


def replied(*operations: Operation) -> bytes:
    return encode_outcomes([Outcome(o.number, REPLIED, ("ok", {})) for o in operations])


def test_what_comes_while_batches_are_under_way_goes_together(ray: Ray, link: Link) -> None:
    operations = [request(number) for number in range(10)]
    link.submit(operations[0])  # It waits for the shard.
    stream = ray.opened("one")
    first, acknowledge = ray.batch()
    assert (first.token, first.sequence, first.wait, first.version) == ("one", 0, True, 7)
    link.submit(operations[1])
    second, _ = ray.batch()
    assert ([order.number for order in second.orders], second.wait) == (
        [operations[1].number],
        False,
    )
    for operation in operations[2:]:
        link.submit(operation)
    acknowledge(replied(operations[0]))
    third, _ = ray.batch()
    assert [order.number for order in third.orders] == [o.number for o in operations[2:]]
    assert third.sequence == 2
    stream.put(replied(*operations[1:]))
    for operation in operations:
        assert operation.get(timeout=PATIENCE) == Reply("ok", {})


def test_what_was_sent_to_a_shard_that_is_lost_may_have_been_done(ray: Ray, link: Link) -> None:
    stream = ray.opened("one")
    sent, waiting = request(1), request(2)
    link.submit(sent)
    ray.batch()
    link.submit(request(3))
    ray.batch()
    link.submit(waiting)
    stream.put(engine.Gone(RuntimeError("it died"), for_good=False))
    with pytest.raises(ShardLostError, match="it died") as lost:
        sent.get(timeout=PATIENCE)
    assert (lost.value.maybe_sent, lost.value.shard) == (True, 3)
    ray.opened("two")
    # It was not sent, and goes to whoever has its topic by now.
    assert ray.again == [waiting]
    assert not waiting.done
    assert not waiting.maybe_sent
    waiting.cancel()


@pytest.mark.parametrize("stale", [True, False], ids=["stale", "lost on the way"])
def test_a_batch_that_was_not_taken_is_followed_by_none_of_its_token(
    ray: Ray, link: Link, stale: bool
) -> None:
    ray.opened("one")
    first = request(1)
    link.submit(first)
    _, acknowledge = ray.batch()
    acknowledge(STALE if stale else RuntimeError("no way"))
    stream = ray.opened("two")
    if stale:  # It was not taken.
        assert ray.again == [first]
        assert not first.maybe_sent
        first.cancel()
    else:
        with pytest.raises(ShardLostError, match="no way"):
            first.get(timeout=PATIENCE)
    second = request(2)
    link.submit(second)
    batch, _ = ray.batch()
    assert (batch.token, batch.sequence) == ("two", 0)
    stream.put(replied(second))
    assert second.get(timeout=PATIENCE).ok


def test_what_a_shard_has_not_taken_is_sent_again_whatever_the_link_does_meanwhile(
    ray: Ray, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_again = threading.Event()
    stop_sending = link._break

    def break_and_be_slow(token: str) -> None:
        stop_sending(token)
        asked_again.wait(0.3)  # As long as the link's own thread takes, if nothing stops it.

    def stream(*_: Any) -> Any:
        asked_again.set()
        return ray.stream()

    ray.opened("one")
    operation = request()
    link.submit(operation)
    _, acknowledge = ray.batch()
    monkeypatch.setattr(link, "_break", break_and_be_slow)
    monkeypatch.setattr(engine, "stream", stream)
    acknowledge(STALE)
    ray.opened("two")
    assert ray.again == [operation]
    assert not operation.done
    operation.cancel()


def test_what_comes_while_a_shard_is_looked_for_goes_elsewhere_when_there_is_none(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "FIRST_DELAY", PATIENCE)
    looked = threading.Event()

    def find(shard: int) -> Any:
        looked.set()
        raise ClientEndedError("normal", "there is no such shard")

    again: queue.SimpleQueue[Operation] = queue.SimpleQueue()
    monkeypatch.setattr(ray, "send_again", again.put)
    link = ray.link(find)
    assert looked.wait(PATIENCE)
    eventually(lambda: "no such shard" in link.standing())
    operation = request()
    link.submit(operation)
    link.close()
    assert again.get(timeout=PATIENCE) is operation
    operation.cancel()


def test_a_topic_that_has_moved_is_looked_for_elsewhere(ray: Ray, link: Link) -> None:
    stream = ray.opened("one")
    operation = request()
    link.submit(operation)
    ray.batch()
    moved = encode_outcomes([Outcome(operation.number, MOVED, 8)])
    stream.put(moved)
    closing = request(1)
    link.submit(closing)
    stream.put(replied(closing))
    assert closing.get(timeout=PATIENCE).ok
    assert (ray.again, ray.versions) == ([operation], [8])
    assert not operation.maybe_sent
    operation.cancel()


def test_what_times_out_or_is_cancelled_is_taken_back(ray: Ray, link: Link) -> None:
    unsent, sent = request(1, timeout=0.01), request(2)
    link.submit(unsent)
    unsent.watch()
    with pytest.raises(AwaitTimeoutError, match="shard 3 is not there") as told:
        unsent.get(timeout=PATIENCE)
    assert not told.value.maybe_sent
    ray.opened("one")
    link.submit(sent)
    batch, _ = ray.batch()
    assert [order.number for order in batch.orders] == [sent.number]
    assert sent.cancel()
    batch, _ = ray.batch()
    assert [(order.kind, order.body) for order in batch.orders] == [(CANCEL, sent.number)]
    with pytest.raises(CancelledError):
        sent.get(timeout=PATIENCE)


def test_a_silence_is_told_of_the_process_that_has_begun(ray: Ray, link: Link) -> None:
    ray.opened("incarnation.unique")
    assert ray.silences.get(timeout=PATIENCE) == (3, "actor", "incarnation")


def test_a_link_that_is_closed_leaves_nothing_without_an_outcome(ray: Ray, link: Link) -> None:
    ray.opened("one")
    operations = [request(number) for number in range(4)]
    for operation in operations:
        link.submit(operation)
    link.close(ClientEndedError("normal", "closed"))
    for operation in operations:
        with pytest.raises(ClientEndedError, match="closed"):
            operation.get(timeout=PATIENCE)
