"""A resize as whoever asks for it sees it: with others at the same time, and when a shard is gone;
the test in the place of Ray and of the shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipstream_actor.contrib.ray import engine, hanging, resizing
from slipstream_actor.contrib.ray.attachment import Attachment
from slipstream_actor.contrib.ray.gaps import GAPS
from slipstream_actor.contrib.ray.layout import encode_layout, layout_key, release_key
from slipstream_actor.contrib.ray.resizing import Resizing
from slipstream_actor.contrib.ray.store import Store, encode
from tests.contrib.ray.store_here import store_here

PATIENCE = 20.0


class Cluster:
    """The shards that have a process, and those whose process hangs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.there: set[int] = set()
        self.hanging: set[int] = set()
        self.made: list[int] = []
        self.restarted: list[int] = []
        self.told: Callable[[int], object] = lambda shard: None

    def actor_of(self, name: str) -> int | None:
        shard = int(name.rpartition("/")[2])
        return shard if shard in self.there else None

    def create(self, _: type, name: str, *__: Any) -> int:
        shard = int(name.rpartition("/")[2])
        self.there.add(shard)
        self.made.append(shard)
        self.told(shard)
        return shard

    def restart(self, shard: int) -> None:
        self.hanging.discard(shard)
        self.restarted.append(shard)
        self.told(shard)

    def tell(self, shard: int, method: str, *_: Any) -> tuple[int, str]:
        if method == "hint" and shard not in self.hanging:
            self.told(shard)
        return shard, method

    def value_of(self, reference: tuple[int, str], seconds: float) -> Any:
        if reference[0] in self.hanging:
            raise TimeoutError
        return {"state": "running"}

    def release(self, version: int, shard: int) -> None:
        """Do what a shard does that comes to a layout, and has nothing to leave."""
        self.store.put(release_key(version, shard), b"")
        if shard < self.store.layouts().get(version, 0):
            self.store.put(f"{GAPS}{version}/{shard}", encode({f"topic:{shard}": 0.5}))

    def come_to_the_latest(self, shard: int) -> None:
        self.release(max(self.store.layouts(), default=0), shard)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with store_here():
        cluster = Cluster(Store("rooms"))
        cluster.store.put(layout_key(1), encode_layout(2))
        monkeypatch.setattr(engine, "actor_of", cluster.actor_of)
        monkeypatch.setattr(engine, "create_actor", cluster.create)
        monkeypatch.setattr(engine, "restart_actor", cluster.restart)
        monkeypatch.setattr(engine, "tell", cluster.tell)
        monkeypatch.setattr(engine, "value_of", cluster.value_of)
        monkeypatch.setattr(resizing, "HELP", 0.05)
        cluster.there = {0, 1}
        yield cluster


def resize(cluster: Cluster, shards: int, timeout: float = PATIENCE) -> dict[str, float]:
    return Resizing(Attachment("rooms", cluster.store), timeout).run(shards)


def test_a_resize_returns_the_gaps_and_tidies_up(cluster: Cluster) -> None:
    cluster.told = cluster.come_to_the_latest
    assert resize(cluster, 3) == {f"topic:{shard}": 0.5 for shard in range(3)}
    assert cluster.made == [2]
    assert cluster.store.layouts() == {2: 3}
    assert resize(cluster, 3) == {}
    assert len(resize(cluster, 1)) == 1
    assert cluster.store.layouts() == {3: 1}
    # Of the last one alone.
    assert cluster.store.keys(GAPS) == [f"{GAPS}3/0"]


def test_two_who_want_the_same_number_are_told_the_same(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.told = cluster.come_to_the_latest
    first = resize(cluster, 3)
    # It has written the same, and looks when the first one is ready.
    monkeypatch.setattr(Resizing, "_write", lambda *_: 2)
    cluster.told = lambda shard: None
    assert resize(cluster, 3) == first == {f"topic:{shard}": 0.5 for shard in range(3)}


def test_one_that_another_resize_overtakes_ends_with_what_is_known(cluster: Cluster) -> None:
    def overtaken(shard: int) -> None:
        # All have left what they had, and not all tell when they have joined.
        if cluster.store.layouts().keys() == {1, 2}:
            for each in range(3):
                cluster.store.put(release_key(2, each), b"")
            cluster.store.put(layout_key(3), encode_layout(4))

    cluster.there = {0, 1, 2}
    cluster.told = overtaken
    assert resize(cluster, 3) == {}
    assert cluster.store.layouts()[3] == 4


def test_a_later_one_makes_the_shards_that_an_earlier_one_needs(cluster: Cluster) -> None:
    # Whoever resized has died, and shard 1, which is to leave what it has, has ended for good.
    cluster.store.put(layout_key(2), encode_layout(3))
    cluster.there = {0}
    cluster.told = cluster.come_to_the_latest
    cluster.release(2, 0)
    assert resize(cluster, 2).keys() == {"topic:0", "topic:1"}
    assert cluster.made[:2] == [1, 2]


def test_a_later_one_has_those_started_again_that_hang_in_an_earlier_one(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hanging, "SILENCE", 0.1)
    monkeypatch.setattr(hanging, "UNLEASED", 0.1)
    cluster.store.put(layout_key(2), encode_layout(1))
    cluster.hanging = {1}
    cluster.told = cluster.come_to_the_latest
    cluster.release(2, 0)
    assert resize(cluster, 2).keys() == {"topic:0", "topic:1"}
    assert cluster.restarted == [1]


def test_one_that_is_only_busy_is_waited_for(cluster: Cluster) -> None:
    asked: list[str] = []

    def told(shard: int) -> None:
        if shard != 1:
            cluster.come_to_the_latest(shard)

    def value_of(reference: tuple[int, str], seconds: float) -> Any:
        if reference == (1, "status"):
            asked.append("status")
            if len(asked) == 3:
                cluster.come_to_the_latest(1)
            raise TimeoutError
        return {"state": "running"}

    cluster.told = told
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "value_of", value_of)
        assert resize(cluster, 3).keys() == {"topic:0", "topic:1", "topic:2"}
    assert not cluster.restarted
