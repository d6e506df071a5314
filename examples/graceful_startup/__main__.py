"""`python -m examples.graceful_startup`: no service, a wrong one, and one that comes late."""

from __future__ import annotations

import logging
import sys
from typing import Any

from examples.graceful_startup.client import price, ready, start
from slipstream_actor.testing import Channel, PhoenixServer


class PricesChannel(Channel):
    """Knows one price."""

    def join(self, params: Any) -> Any:
        """Answer with it."""
        return {"coffee": 2.5}


def main() -> None:
    """Start three times."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")

    print("-- not configured --")
    program = start({})
    print(f"ready: {ready()}, coffee: {price('coffee')}")
    program.stop()

    print("-- configured wrongly --")
    program = start({"PRICES_URI": "http://localhost"})
    print(f"ready: {ready()}, coffee: {price('coffee')}")
    program.stop()

    print("-- the service is down --")
    with PhoenixServer({"prices:*": PricesChannel}) as server:
        server.stop()
        program = start({"PRICES_URI": server.uri}, reconnect_jitter_msec=0)
        print(f"ready: {ready(0.1)}, coffee: {price('coffee')}")
        print("-- and comes up --")
        server.start()
        print(f"ready: {ready(10)}, coffee: {price('coffee')}")
        program.stop()


if __name__ == "__main__":
    main()
