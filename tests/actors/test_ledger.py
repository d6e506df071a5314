"""The ledger of pushes that ask for an outcome, and the buffer of those that wait for a join."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import Ref
from slipstream_actor.actors.ledger import Asked, Ledger
from slipstream_actor.actors.push_buffer import BufferedPush, PushBuffer


def asked(number: int, connection: Any) -> Asked:
    return Asked(Ref(str(number), "room", "1"), "event", connection)


def kept(number: int, topic: str = "room", size: int = 1, expires: float = 10.0) -> BufferedPush:
    ref = Ref(str(number), topic, None)
    return BufferedPush(topic, ref, "event", {}, size, expires, 1.0)


def refs(pushes: list[Any]) -> list[str]:
    return [str(push.ref) for push in pushes]


def test_a_push_is_settled_once() -> None:
    ledger = Ledger()
    push = asked(1, "a")
    ledger.ask(push)
    assert ledger.settle("1") is push
    assert ledger.settle("1") is None
    assert ledger.settle("2") is None


def test_the_pushes_of_one_connection_are_settled_together() -> None:
    ledger = Ledger()
    for number, connection in enumerate("abab"):
        ledger.ask(asked(number, connection))
    assert refs(ledger.settle_all("a")) == ["0", "2"]
    assert refs(ledger.settle_all("a")) == []
    assert refs(ledger.settle_all()) == ["1", "3"]


def test_of_two_who_settle_one_gets_it() -> None:
    ledger = Ledger()
    for number in range(5000):
        ledger.ask(asked(number, "a"))
    with ThreadPoolExecutor(2) as pool:
        all_of_them = pool.submit(ledger.settle_all)
        one_by_one = pool.submit(lambda: [ledger.settle(str(n)) for n in range(5000)])
        together = refs(all_of_them.result()) + refs([a for a in one_by_one.result() if a])
    assert sorted(together, key=int) == [str(number) for number in range(5000)]


def test_pushes_are_kept_in_order_by_topic() -> None:
    buffer = PushBuffer()
    for number, topic in enumerate(["a", "b", "a", "b", "a"]):
        assert buffer.add(kept(number, topic), 100, 100) == []
    assert buffer.topics() == {"a", "b"}
    assert refs(buffer.take("a")) == ["0", "2", "4"]
    assert refs(buffer.take("a")) == []
    assert refs(buffer.take_all()) == ["1", "3"]
    assert not buffer


def test_the_oldest_make_room() -> None:
    buffer = PushBuffer()
    for number in range(3):
        assert buffer.add(kept(number, size=10), 3, 1000) == []
    assert refs(buffer.add(kept(3, size=10), 3, 1000)) == ["0"]
    assert refs(buffer.add(kept(4, size=25), 100, 44)) == ["1", "2"]
    assert refs(buffer.take_all()) == ["3", "4"]
    # Their bytes are forgotten with them.
    assert buffer.add(kept(5, size=45), 100, 45) == []


def test_what_is_put_back_comes_first() -> None:
    buffer = PushBuffer()
    for number in range(4):
        buffer.add(kept(number), 100, 100)
    taken = buffer.take("room")
    buffer.add(kept(9), 100, 100)
    buffer.put_back(taken[1:])
    assert refs(buffer.take("room")) == ["1", "2", "3", "9"]


def test_they_expire() -> None:
    buffer = PushBuffer()
    assert buffer.expiry() is None
    for number, expires in enumerate([3.0, 1.0, 2.0]):
        buffer.add(kept(number, expires=expires), 100, 100)
    assert buffer.expiry() == 1.0
    assert buffer.expiry("0") == 3.0
    assert buffer.expiry("7") is None
    assert refs(buffer.take_expired(2.0)) == ["1", "2"]
    assert buffer.expiry() == 3.0


@given(st.lists(st.tuples(st.integers(1, 20), st.sampled_from("abc")), max_size=60))
def test_it_never_holds_more_than_it_may_and_loses_nothing(pushes: list[tuple[int, str]]) -> None:
    buffer = PushBuffer()
    dropped = []
    for number, (size, topic) in enumerate(pushes):
        dropped += buffer.add(kept(number, topic, size), 10, 50)
        assert len(buffer) <= 10
    left = buffer.take_all()
    assert sum(push.size for push in left) <= 50
    assert refs(dropped + left) == [str(number) for number in range(len(pushes))]
