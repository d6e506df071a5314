"""The ported client, with the test as its server; as one tests it with Slipstream.SocketTest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from examples.porting.client import TOPIC, Orders, open_orders, price, ship, start
from slipstream_actor import Reply, get_state, wait
from slipstream_actor.testing import SocketTest

ORDERS = Reply("ok", {"orders": [{"id": 2}, {"id": 1}]})


class Asking(threading.Thread):
    """Somebody who waits for an answer."""

    def __init__(self, question: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.question = question
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        self.answer = self.question()

    def answered(self) -> Any:
        self.join(10)
        assert not self.is_alive()
        return self.answer


@pytest.fixture
def orders() -> Iterator[Any]:
    options = {"test_mode": True, "rejoin_jitter_msec": 0}
    ref = start({"uri": "ws://test.invalid/socket/websocket", **options})
    yield ref
    ref.stop()


def test_it_joins_and_has_the_open_orders(socket_test: SocketTest, orders: Any) -> None:
    socket_test.connect_and_assert_join(orders, TOPIC, {"shop": "rotterdam"}, ORDERS)
    assert open_orders() == [1, 2]


def test_orders_come_and_go(
    socket_test: SocketTest, orders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    socket_test.connect_and_assert_join(orders, TOPIC, reply=ORDERS)
    with caplog.at_level(logging.DEBUG, "examples.porting.client"):
        socket_test.push(orders, TOPIC, "order:new", {"id": 3})
        socket_test.push(orders, TOPIC, "order:closed", {"id": 1})
        socket_test.push(orders, TOPIC, "order:lost", {"id": 2})
        assert open_orders() == [2, 3]
    assert caplog.messages == ["nothing to do for order:lost on orders:eu"]


def test_a_price_takes_a_round_trip(socket_test: SocketTest, orders: Any) -> None:
    socket_test.connect_and_assert_join(orders, TOPIC, reply=ORDERS)
    asking = Asking(lambda: price(2))
    push = socket_test.assert_push(TOPIC, "price", {"id": 2})
    socket_test.reply(orders, push, Reply("ok", {"price": 9.5}))
    assert asking.answered() == 9.5


def test_shipping_is_answered_when_the_server_has_answered(
    socket_test: SocketTest, orders: Any
) -> None:
    socket_test.connect_and_assert_join(orders, TOPIC, reply=ORDERS)
    asking = Asking(lambda: ship(2))
    push = socket_test.assert_push(TOPIC, "ship", {"id": 2})
    assert open_orders() == [1, 2]  # It is free meanwhile.
    socket_test.reply(orders, push, Reply("ok", {"parcel": "17"}))
    assert asking.answered() == Reply("ok", {"parcel": "17"})


def test_a_disconnect_answers_those_who_wait(socket_test: SocketTest, orders: Any) -> None:
    socket_test.connect_and_assert_join(orders, TOPIC, reply=ORDERS)
    asking = Asking(lambda: ship(2))
    socket_test.assert_push(TOPIC, "ship")
    socket_test.disconnect(orders)
    assert asking.answered() == Reply("error", "disconnected")
    assert get_state(orders).socket.reconnect_counter == 1
    socket_test.connect_and_assert_join(orders, TOPIC, reply=ORDERS)


def test_an_unauthorized_shop_stops(socket_test: SocketTest, orders: Any) -> None:
    refusal = Reply("error", {"reason": "unauthorized"})
    socket_test.connect_and_assert_join(orders, TOPIC, reply=refusal)
    assert wait(orders, 5) == ("shutdown", "unauthorized")
    assert Orders.restart == "transient"  # So no supervisor starts it again.
    socket_test.assert_disconnect()


def test_any_other_refusal_is_tried_again(socket_test: SocketTest, orders: Any) -> None:
    socket_test.connect_and_assert_join(orders, TOPIC, reply=Reply("error", {"reason": "busy"}))
    socket_test.assert_join(TOPIC, {"shop": "rotterdam"}, ORDERS)
    assert open_orders() == [1, 2]
