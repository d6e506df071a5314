"""What was taken out of an inbox goes back where it was, whatever else has been taken since."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pykka._envelope import Envelope

from slipstream_actor.actors.envelopes import TAKE, Burst
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.places import Order, Place


class Item:
    """An event, or a message: each is another one."""

    def __init__(self, number: int) -> None:
        self.number = number


def lying(inbox: Inbox) -> list[int]:
    """What lies in an inbox, one after the other."""
    inbox._stash_all()
    found: list[int] = []
    for envelope in inbox._stash:
        held = envelope.message
        items = held.events if type(held) is Burst else (held,)
        found += [item.number for item in items]
    return found


def take(inbox: Inbox, number: int) -> list[Place]:
    """Take one out as an await does that somebody takes note of; return its place."""
    taken: list[Place] = []
    inbox.taken = taken
    inbox.receive(lambda item, _: TAKE if item.number == number else 0, 0.0)
    inbox.taken = None
    return taken


# How many there are in each burst; 0 is a message that comes alone.
LINES = st.lists(st.integers(0, 4), min_size=1, max_size=8)


@given(LINES, LINES, st.randoms(use_true_random=False))
def test_an_order_outlives_what_is_taken_besides(
    first: list[int], later: list[int], chance: Any
) -> None:
    inbox, order, count = Inbox(), Order(), 0
    back: list[Place] = []

    def come(sizes: list[int]) -> None:
        nonlocal count
        for size in sizes:
            items = [Item(count + n) for n in range(size or 1)]
            count += len(items)
            inbox.put(Envelope(Burst(None, items) if size else items[0]))

    def take_some() -> None:
        for number in chance.sample(left, chance.randint(0, len(left))):
            left.remove(number)
            taken = take(inbox, number)
            if chance.random() < 0.5:
                gone.append(number)
                continue
            inbox.put_back(taken)
            order.note(inbox.kept_stash())
            for place in taken:
                if place.burst is not None:
                    order.note(place.burst.events)
                place.take(back)

    gone: list[int] = []
    come(first)
    left = list(range(count))
    take_some()
    before = count
    come(later)
    left += range(before, count)
    take_some()
    assert lying(inbox) == sorted(left)
    for place in chance.sample(back, len(back)):
        order.put_back(place)
    assert lying(inbox) == [number for number in range(count) if number not in gone]
