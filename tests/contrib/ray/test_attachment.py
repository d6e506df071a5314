"""What one process knows of the shards, and how long it waits for Ray's head: with the store in
this process."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import ClientEndedError
from slipstream_actor.contrib.ray import StoreUnavailableError, attachment, engine, everybody
from slipstream_actor.contrib.ray.attachment import Attachment, close_all
from slipstream_actor.contrib.ray.everybody import status_of
from slipstream_actor.contrib.ray.layout import encode_layout, layout_key
from slipstream_actor.contrib.ray.store import Store
from tests.contrib.ray.store_here import StoreHere, store_here
from tests.support.clients import eventually

PATIENCE = 20.0


@pytest.fixture
def head() -> Iterator[StoreHere]:
    with store_here() as head:
        Store("rooms").put(layout_key(1), encode_layout(2))
        yield head


def test_one_that_is_closed_or_dropped_leaves_nothing_for_the_exit(head: StoreHere) -> None:
    store = Store("rooms")
    kept = [Attachment("rooms", store) for _ in range(2)]
    exits = weak_methods()
    for close in (True, False) * 20:
        attachment = Attachment("rooms", store)
        if close:
            attachment.close()
    del attachment
    assert weak_methods() <= exits
    close_all()
    for here in kept:
        with pytest.raises(ClientEndedError):
            here.require_open()


def weak_methods() -> int:
    gc.collect()
    return sum(type(found) is weakref.WeakMethod for found in gc.get_objects())


def test_a_layout_that_is_told_of_while_another_is_read_is_read_too(head: StoreHere) -> None:
    store = Store("rooms")
    here = Attachment("rooms", store)
    here.read_layout()
    read, reading, go_on = here.read_layout, threading.Event(), threading.Event()

    def slowly() -> int:
        version = read()
        reading.set()
        assert go_on.wait(PATIENCE)
        return version

    here.read_layout = slowly  # type: ignore[method-assign]
    store.put(layout_key(2), encode_layout(3))
    here.learn_of_layout(2)
    assert reading.wait(PATIENCE)
    store.put(layout_key(3), encode_layout(4))
    here.learn_of_layout(3)
    go_on.set()
    eventually(lambda: (here.version, here.known_shards) == (3, 4))
    here.close()


def test_what_has_ended_takes_no_subscription(head: StoreHere) -> None:
    here = Attachment("rooms", Store("rooms"))
    here.read_layout()

    def make() -> Any:
        here.close()  # While it is made.
        return Unread()

    class Unread:
        def _read(self, shards: int) -> Any:
            raise AssertionError("nobody would end it")

    with pytest.raises(ClientEndedError):
        here.subscribe(make, 0.0)


def test_a_status_comes_in_time_while_the_head_hangs(
    head: StoreHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"actor 0": {"shard": 0, "state": "running"}}
    monkeypatch.setattr(engine, "tell", lambda actor, *_: actor)
    monkeypatch.setattr(engine, "value_of", lambda actor, _: answers[actor])

    def hang(name: str) -> Any:
        head.answers.wait(PATIENCE)

    monkeypatch.setattr(engine, "actor_of", hang)
    here = Attachment("rooms", Store("rooms", patience=2 * PATIENCE))
    here.read_layout()
    here._actors[0] = "actor 0"
    head.answers.clear()
    began = time.monotonic()
    status = status_of(here, 0.4)
    assert time.monotonic() - began < PATIENCE / 2  # A busy machine takes its time.
    assert (status["head"], status["layout"], status["wanted"]) == (False, None, None)
    # The one was asked; who the other is only the head knows.
    assert [shard["state"] for shard in status["shards"]] == ["running", "unreachable"]
    head.answers.set()
    status = status_of(here, PATIENCE)
    assert (status["head"], status["layout"], status["wanted"]) == (True, 1, 0)
    here.close()


def test_whatever_ray_raises_a_status_says_that_a_shard_is_unreachable(
    head: StoreHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> Any:
        raise RuntimeError("the head is gone")

    monkeypatch.setattr(engine, "actor_of", fail)
    here = Attachment("rooms", Store("rooms"))
    status = status_of(here, PATIENCE)
    assert [shard["state"] for shard in status["shards"]] == ["unreachable", "unreachable"]
    here.close()


def test_a_head_that_hangs_for_long_takes_so_many_threads_and_no_more(
    head: StoreHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_busy", threading.BoundedSemaphore(3))
    store, before = Store("rooms", patience=0.02), threading.active_count()
    head.answers.clear()
    for _ in range(10):
        with pytest.raises(StoreUnavailableError):
            store.layouts()
    assert threading.active_count() <= before + 3
    head.answers.set()
    eventually(lambda: len(engine._idle) >= 3)
    assert Store("rooms").layouts() == {1: 2}


def test_a_stop_leaves_claims_until_the_shards_have_ended(
    head: StoreHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that finds its claim gone ends at once, whatever it has under way."""
    store, claims = Store("rooms"), Store.of_claims("rooms")
    claims.put("holder/0/1", b"")
    seen: list[Any] = []

    def tell(actor: Any, method: str, *_: Any) -> Any:
        seen.append((method, store.layouts(), claims.keys("holder/")))

    monkeypatch.setattr(engine, "actor_of", lambda name: name)
    monkeypatch.setattr(engine, "tell", tell)
    monkeypatch.setattr(engine, "value_of", lambda *_: True)
    monkeypatch.setattr(engine, "end_actor", seen.append)
    here = Attachment("rooms", store)
    everybody.stop(here, PATIENCE, 0.0)
    assert seen[:2] == [("stop", {}, ["holder/0/1"])] * 2
    assert seen[2:] == ["rooms/0", "rooms/1"]
    assert claims.keys("") == []
    assert attachment.actor_name("rooms", 1) == "rooms/1"
