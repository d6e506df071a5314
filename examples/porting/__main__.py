"""`python -m examples.porting`: the orders of an embedded server."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from examples.porting import client
from slipstream_actor import wait_until_joined
from slipstream_actor.testing import Channel, PhoenixServer


class OrdersChannel(Channel):
    """Two orders, one of which is shipped."""

    def join(self, params: Any) -> Any:
        """Answer with the open orders."""
        return {"orders": [{"id": 1}, {"id": 2}]}

    def handle_in(self, event: str, payload: Any) -> Any:
        """Tell a price, or ship."""
        if event == "price":
            return "ok", {"price": 9.5 * payload["id"]}
        self.broadcast("order:closed", payload)
        return "ok"


class Demo(client.Orders):
    """The client, and a flag for the demo to wait for."""

    disconnected = threading.Event()

    def handle_disconnect(self, reason: Any, socket: Any) -> Any:
        """The callers are answered, and the flag is set."""
        self.disconnected.set()
        return super().handle_disconnect(reason, socket)


def main() -> None:
    """Ask, ship, and come back after a disconnect."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    with PhoenixServer({"orders:*": OrdersChannel}) as server:
        config = {"uri": server.uri, "params": {"id": "rotterdam"}, "reconnect_jitter_msec": 0}
        ref = Demo.start(config, name="orders")
        wait_until_joined("orders", client.TOPIC)
        print("open:", client.open_orders())
        print("price of 2:", client.price(2))
        print("shipped:", client.ship(2).status)
        print("open:", client.open_orders())
        server.disconnect("rotterdam")
        Demo.disconnected.wait(10)
        wait_until_joined("orders", client.TOPIC)
        print("open:", client.open_orders())
        ref.stop()


if __name__ == "__main__":
    main()
