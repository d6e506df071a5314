"""The orders of a process at a shard: their turn, their outcomes, what is taken back."""

from __future__ import annotations

import pickle
from typing import Any

from slipstream_actor import ClientHandle, NotJoinedError, Reply
from slipstream_actor.contrib.ray.answers import Direct, Outbox, Pending
from slipstream_actor.contrib.ray.orders import (
    CANCEL,
    FAILED,
    MOVED,
    REPLIED,
    REQUEST,
    STOPPED,
    Batch,
    Order,
    Outcome,
    decode_batch,
    encode_batch,
    encode_outcomes,
)
from slipstream_actor.testing import SocketTest
from tests.contrib.ray.rooms import Rooms

LOBBY = "rooms:lobby"
PATIENCE = 20.0


def order(number: int, event: str = "echo", seconds: float | None = 20.0) -> Order:
    return Order(number, REQUEST, LOBBY, (event, False, b'{"a":1}'), seconds)


def test_a_batch_travels() -> None:
    batch = Batch("process", "token", 3, True, 7, [order(1), order(2)])
    assert decode_batch(encode_batch(batch)) == batch


def test_batches_run_in_their_order_whatever_order_they_come_in() -> None:
    outbox, ran = Outbox("token"), list[int]()
    for sequence in (2, 0, 3, 1):
        outbox.in_turn(sequence, lambda sequence=sequence: ran.append(sequence))  # type: ignore[misc]
    assert ran == [0, 1, 2, 3]


def test_outcomes_wait_and_come_together() -> None:
    outbox, begun = Outbox("token"), list[Pending]()
    for number in (1, 2):
        outbox.take(order(number), begun.append, None)
    assert len(outbox) == 2
    assert outbox.outcomes(0.01) == []
    begun[1].move(5)
    outbox.tell_of_end()
    begun[0].move(6)
    told = [Outcome(2, MOVED, 5), Outcome(0, STOPPED, None), Outcome(1, MOVED, 6)]
    assert outbox.outcomes(PATIENCE) == told
    assert len(outbox) == 0
    outbox.close()
    assert outbox.outcomes(PATIENCE) is None


def test_an_order_has_one_outcome() -> None:
    outbox, begun = Outbox("token"), list[Pending]()
    outbox.take(order(1), begun.append, None)
    begun[0].move(5)
    begun[0].fail(ValueError("late"))
    assert outbox.outcomes(PATIENCE) == [Outcome(1, MOVED, 5)]
    assert outbox.outcomes(0.01) == []


def test_what_is_cancelled_never_begins(socket_test: SocketTest) -> None:
    handle: ClientHandle[Rooms] = ClientHandle(Rooms, "ws://test.invalid/socket")
    outbox, begun = Outbox("token"), list[Pending]()
    outbox.take(order(1), begun.append, None)
    outbox.take(Order(0, CANCEL, "", 1, None), begun.append, None)
    assert begun[0].is_over
    begun[0].begin(handle)
    assert handle.status()["state"] == "not started"


def test_an_outcome_goes_back_directly_while_somebody_waits() -> None:
    direct, late = Direct(), Direct()
    assert direct.take(Outcome(1, MOVED, 5))
    assert direct.get(PATIENCE) == Outcome(1, MOVED, 5)
    assert late.get(0.0) is None
    assert not late.take(Outcome(1, MOVED, 5))


class InTest(Rooms):
    def init(self, uri: str, **options: Any) -> Any:
        return super().init(uri, **options).join(LOBBY)


def test_a_request_is_answered_and_one_on_a_topic_that_was_left_is_taken_back(
    socket_test: SocketTest,
) -> None:
    handle: ClientHandle[InTest] = ClientHandle(InTest, "ws://test.invalid/socket")
    outbox, begun = Outbox("token"), list[Pending]()
    elsewhere = order(2)._replace(topic="rooms:left")
    for one in (order(1), elsewhere, elsewhere._replace(number=3)):
        outbox.take(one, begun.append, None)
    with socket_test.override(handle):
        socket_test.serve(LOBBY, "echo", Reply("ok", {"b": 2}))
        begun[0].begin(handle)
        assert outbox.outcomes(PATIENCE) == [Outcome(1, REPLIED, ("ok", {"b": 2}))]
        taken_back: list[Pending] = []

        def is_left(pending: Pending) -> bool:
            taken_back.append(pending)
            return True

        begun[1].begin(handle, is_left)
        assert taken_back == [begun[1]]
        begun[2].begin(handle)
    [(number, kind, data)] = outbox.outcomes(PATIENCE) or []
    assert (number, kind) == (3, FAILED)
    assert isinstance(pickle.loads(data), NotJoinedError)


def test_an_outcome_that_cannot_travel_is_an_error_in_its_place() -> None:
    outcomes = [Outcome(1, MOVED, 5), Outcome(2, REPLIED, ("ok", lambda: None))]
    first, second = pickle.loads(encode_outcomes(outcomes))
    assert first == (1, MOVED, 5)
    assert second[:2] == (2, FAILED)
    assert isinstance(pickle.loads(second[2]), Exception)
