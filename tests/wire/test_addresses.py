"""The order in which addresses are tried, and what is remembered of them."""

from __future__ import annotations

import itertools
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.wire import addresses
from slipstream_actor.wire.addresses import MOST, in_order, remember, remembering
from slipstream_actor.wire.waiter import AttemptFailed, Route

V4, V6 = socket.AF_INET, socket.AF_INET6
HOST, PORT = "many.test", 80


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_last", {})


def info(name: str) -> Any:
    """What `getaddrinfo` says of an address; those of IPv6 are called "6…"."""
    family = V6 if name.startswith("6") else V4
    return family, socket.SOCK_STREAM, 6, "", (name, PORT)


def address(name: str) -> Any:
    family, kind, proto, _, at = info(name)
    return family, kind, proto, at


def order(*names: str) -> list[str]:
    return [at[0] for _, _, _, at in in_order(HOST, PORT, [info(name) for name in names])]


def test_the_families_take_turns() -> None:
    assert order("6a", "6b", "6c", "4a", "4b") == ["6a", "4a", "6b", "4b", "6c"]
    assert order("4a", "6a", "6b") == ["4a", "6a", "6b"]
    assert order("4a", "4b") == ["4a", "4b"]
    assert order() == []


def test_each_address_once() -> None:
    assert order("4a", "4b", "4a") == ["4a", "4b"]


@given(st.lists(st.sampled_from(["4a", "4b", "4c", "4d", "6a", "6b", "6c"])))
def test_nothing_is_lost_and_the_families_keep_their_order(names: list[str]) -> None:
    ordered = order(*names)
    assert sorted(ordered) == sorted(set(names))
    unique = list(dict.fromkeys(names))
    for family in "46":
        mine = [n for n in unique if n.startswith(family)]
        assert [n for n in ordered if n.startswith(family)] == mine
    # No family comes twice in a row while the other one has some left.
    few = 2 * min(sum(n.startswith(f) for n in unique) for f in "46")
    assert all(a[0] != b[0] for a, b in itertools.pairwise(ordered[:few]))


def test_the_address_that_worked_comes_first() -> None:
    remember(Route(HOST, PORT, address("4b")), True)
    assert order("6a", "6b", "4a", "4b") == ["4b", "6a", "4a", "6b"]
    # Of another port or host nothing is known.
    found = [info("4a"), info("4b")]
    assert in_order(HOST, PORT + 1, found)[0] == address("4a")
    assert in_order("other.test", PORT, found)[0] == address("4a")


def test_the_address_that_led_nowhere_comes_last() -> None:
    remember(Route(HOST, PORT, address("6a")), False)
    assert order("6a", "6b", "4a") == ["6b", "4a", "6a"]
    assert order("6a") == ["6a"]


def test_an_address_that_the_host_has_no_more_is_not_tried() -> None:
    remember(Route(HOST, PORT, address("4z")), True)
    assert order("4a", "4b") == ["4a", "4b"]


def test_what_is_remembered_is_bounded() -> None:
    for port in range(MOST + 50):
        remember(Route(HOST, port, address("4a")), True)
        remember(Route(HOST, 0, address("4a")), True)
    assert len(addresses._last) == MOST
    # What was used last is kept.
    assert {(HOST, 0), (HOST, MOST + 49)} <= set(addresses._last)


def test_many_threads_remember_at_once() -> None:
    failures: list[BaseException] = []

    def note(first: int) -> None:
        try:
            for n in range(5_000):
                remember(Route(f"{first + n}", PORT, address("4a")), True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=note, args=(n * 10_000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(addresses._last) <= MOST + 4


@pytest.mark.parametrize(
    ("failed", "first"),
    [
        (None, "4b"),
        (AttemptFailed("upgrade", "", status=403), "4b"),
        (AttemptFailed("upgrade", "", status=503), "4a"),
        (AttemptFailed("upgrade", ""), "4a"),
        (AttemptFailed("tls", ""), "4a"),
        (AttemptFailed("timeout", ""), "4a"),
    ],
)
def test_what_an_attempt_says_of_its_address(failed: AttemptFailed | None, first: str) -> None:
    waiter: Any = SimpleNamespace(route=Route(HOST, PORT, address("4b")))
    try:
        with remembering(waiter):
            if failed is not None:
                raise failed
    except AttemptFailed:
        pass
    assert order("4a", "4b")[0] == first
    # Either way the address is remembered: as the first, or as the last.
    assert order("4b", "4a")[0] == first


def test_an_attempt_without_an_answer_says_nothing() -> None:
    waiter: Any = SimpleNamespace(route=None)
    with pytest.raises(AttemptFailed), remembering(waiter):
        raise AttemptFailed("refused", "")
    assert not addresses._last
