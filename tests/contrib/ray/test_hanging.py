"""Who ends the process of a shard that hangs, and when nobody may: the test in the place of Ray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.hanging import SILENCE, Hanging
from slipstream_actor.contrib.ray.leases import Claim, Process, encode_claim
from slipstream_actor.contrib.ray.store import Spec, Store, encode_spec
from tests.contrib.ray.store_here import store_here

LEASE = 2.0


class Ray:
    """An actor that hangs, or answers; and how often it was started again."""

    def __init__(self) -> None:
        self.hangs = True
        self.restarted: list[Any] = []

    def value_of(self, *_: Any) -> Any:
        if self.hangs:
            raise TimeoutError
        return {"state": "running"}


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    ray = Ray()
    monkeypatch.setattr(engine, "tell", lambda actor, *_: actor)
    monkeypatch.setattr(engine, "value_of", ray.value_of)
    monkeypatch.setattr(engine, "restart_actor", ray.restarted.append)
    with store_here():
        Store("rooms").put("spec", encode_spec(Spec("", b"", b"", LEASE)))
        hold(1)
        yield ray


def hold(generation: int) -> None:
    claim = Claim(generation, f"incarnation {generation}", Process("host", generation, "then"))
    Store.of_claims("rooms").put(f"holder/0/{generation}", encode_claim(claim))


def see_to(here: Hanging, generation: int, silent: float = SILENCE + LEASE) -> bool:
    return here.see_to(0, "actor", f"incarnation {generation}", silent)


def test_a_process_that_hangs_is_ended_once_whoever_sees_it(ray: Ray) -> None:
    here, there = Hanging(Store("rooms")), Hanging(Store("rooms"))
    assert see_to(here, 1)
    assert ray.restarted == ["actor"]
    assert not see_to(there, 1)
    assert not see_to(here, 1)
    hold(2)
    assert see_to(there, 2)
    assert ray.restarted == ["actor"] * 2
    assert len(Store.of_claims("rooms").keys("ended/")) == 1


def test_one_lives_on_that_answers_or_was_heard_within_a_lease(ray: Ray) -> None:
    here = Hanging(Store("rooms"))
    assert not see_to(here, 1, SILENCE + LEASE - 0.01)
    ray.hangs = False
    assert not see_to(here, 1)
    assert not ray.restarted


def test_one_lives_on_that_has_followed_the_silent_one_or_has_not_held_yet(ray: Ray) -> None:
    here = Hanging(Store("rooms"))
    hold(2)
    assert not see_to(here, 1)
    Store.of_claims("rooms").clear()
    assert not see_to(here, 1)
    assert not ray.restarted


def test_one_is_ended_that_hangs_before_it_holds(ray: Ray) -> None:
    here = Hanging(Store("rooms"))
    Store.of_claims("rooms").clear()
    assert here.holder_of(0) is None
    assert here.see_to(0, "actor", None, SILENCE + LEASE)
    assert ray.restarted == ["actor"]


def test_nothing_is_done_while_the_head_is_away(ray: Ray) -> None:
    here = Hanging(Store("rooms", patience=0.01))
    with store_here() as head:
        head.answers.clear()
        assert not see_to(here, 1)
    assert not ray.restarted
