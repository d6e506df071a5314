"""A shard in this process: without Ray, with the store here and a server. It has no lease, whose
end would be that of the process."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from slipstream_actor import Reply, Socket
from slipstream_actor.contrib.ray import convergence, engine
from slipstream_actor.contrib.ray import shard as shard_module
from slipstream_actor.contrib.ray.layout import encode_layout, layout_key
from slipstream_actor.contrib.ray.orders import (
    CAST,
    LAYOUT,
    REPLIED,
    REQUEST,
    Batch,
    Order,
    encode_batch,
)
from slipstream_actor.contrib.ray.shard import Shard
from slipstream_actor.contrib.ray.store import Spec, Store, encode_spec
from tests.contrib.ray.rooms import JoinLog, Rooms, phoenix, uri_of
from tests.contrib.ray.store_here import store_here
from tests.support.clients import eventually

PATIENCE = 20.0
TOPIC = "rooms:a"

may_start = threading.Event()
loading, may_load = threading.Event(), threading.Event()


class Late(Rooms):
    """Starts when it may."""

    def init(self, uri: str, **options: Any) -> Socket:
        assert may_start.wait(PATIENCE)
        return super().init(uri, **options)


def load() -> str:
    loading.set()
    assert may_load.wait(PATIENCE)
    return "first"


class SlowToLoad:
    def __reduce__(self) -> Any:
        return load, ()


class Running:
    """The shard, and what it has told Ray and the server."""

    def __init__(self, store: Store, log: JoinLog) -> None:
        self.store = store
        self.log = log
        self.ended = threading.Event()
        self.shard = Shard("rooms", 0)
        self.stream: Generator[Any, None, None] = self.shard.answers("a process")
        self.token = next(self.stream)

    def submit(self, sequence: int, order: Order, *, wait: bool = False) -> Any:
        orders = [order]
        batch = Batch("a process", self.token, sequence, wait, 1, orders)
        return self.shard.submit(encode_batch(batch))

    def outcome(self, kind: int) -> tuple[int, Any]:
        """Return the next outcome of a kind, and of which order it is."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for number, found, value in pickle.loads(next(self.stream)):
                if found == kind:
                    return number, value
        raise TimeoutError


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    for event in (may_start, loading, may_load):
        event.clear()
    monkeypatch.setattr(engine, "node_id", lambda: "here")
    monkeypatch.setattr(shard_module, "LATER", 0.01)
    with store_here(), phoenix() as (server, log):
        store = Store("rooms")
        arguments = engine.dumps(((uri_of(server),), {}))
        store.put("spec", encode_spec(Spec("Late", engine.dumps(Late), arguments, None)))
        store.put(layout_key(1), encode_layout(1))
        store.want(TOPIC, {"params": {}})
        running = Running(store, log)
        monkeypatch.setattr(engine, "end_this_actor", running.ended.set)
        yield running
        may_start.set()
        may_load.set()
        running.ended.clear()
        running.shard.stop(0.0)
        running.stream.close()
        # By itself: whoever has stopped it may be gone.
        assert running.ended.wait(PATIENCE)


def test_what_came_before_the_client_began_is_before_what_comes_then(running: Running) -> None:
    running.submit(0, Order(1, CAST, TOPIC, engine.dumps(SlowToLoad()), None))
    may_start.set()
    assert loading.wait(PATIENCE)
    second = Order(2, CAST, TOPIC, engine.dumps("second"), None)
    submitting = threading.Thread(target=running.submit, args=(1, second))
    submitting.start()
    submitting.join(0.2)  # As long as it takes, if it overtakes.
    may_load.set()
    submitting.join(PATIENCE)
    host = running.shard._host
    assert host is not None
    eventually(lambda: len(host.handle.invoke(Rooms.all_heard).get(timeout=PATIENCE)) == 2)
    assert host.handle.invoke(Rooms.all_heard).get(timeout=PATIENCE) == ["first", "second"]


def test_an_answer_that_is_big_comes_by_the_stream(running: Running) -> None:
    may_start.set()
    running.log.wait(lambda log: log.are_joined([TOPIC]), PATIENCE)
    body = "echo", False, b'{"a":"' + b"x" * 100_000 + b'"}'
    assert running.submit(0, Order(1, REQUEST, TOPIC, body, PATIENCE), wait=True) is None
    number, (status, response) = running.outcome(REPLIED)
    assert (number, Reply(status, response)) == (1, Reply("ok", {"a": "x" * 100_000}))


def test_a_process_is_told_of_the_layout_when_its_stream_begins(running: Running) -> None:
    # Of the first one too: it may have heard of an older one from the process before.
    may_start.set()
    assert running.outcome(LAYOUT) == (0, 1)
    again = running.shard.answers("another process")
    next(again)
    assert [outcome[1:] for outcome in pickle.loads(next(again))] == [(LAYOUT, 1)]
    again.close()


def test_a_shard_ends_that_whoever_has_stopped_the_others_has_forgotten(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_start.set()
    running.log.wait(lambda log: log.are_joined([TOPIC]), PATIENCE)
    monkeypatch.setattr(convergence, "FORGOTTEN", 0.05)
    running.store.clear()

    def has_left() -> bool:
        running.shard.hint(None)
        return not running.log.joined[TOPIC]

    eventually(has_left)
    assert running.ended.wait(PATIENCE)
