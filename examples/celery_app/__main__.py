"""`python -m examples.celery_app`: a bridge and a worker, against an embedded server.

In one process, with a broker in memory; what is run is Celery's own worker.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import Any

from celery.contrib.testing.worker import start_worker

from slipstream_actor.testing import Channel, PhoenixServer

counted: queue.Queue[Any] = queue.Queue()


class Lobby(Channel):
    """Tells everybody what is said, and takes what is counted."""

    def handle_in(self, event: str, payload: Any) -> Any:
        """Broadcast, or remember."""
        if event == "counted":
            counted.put(payload)
        else:
            self.broadcast(event, payload)
        return "ok"


def main() -> None:
    """Say something, by a task; have it counted, by another one."""
    with PhoenixServer({"rooms:*": Lobby}) as server:
        os.environ.update(PHOENIX_URI=server.uri, BROKER_URL="memory://")
        from examples.celery_app.bridge import bridge
        from examples.celery_app.tasks import app, rooms, say

        with start_worker(app, pool="solo", perform_ping_check=False, loglevel="ERROR"):
            rooms.wait_until_joined("rooms:lobby")
            say.delay("hello")
            say.delay("good morning")
            teller = threading.Thread(target=tell, args=(rooms,))
            teller.start()
            # Until the client ends: a signal would do that in a service.
            print("exit status:", bridge.run())
            teller.join()


def tell(rooms: Any) -> None:
    """Print what was counted, and end the client."""
    for _ in range(2):
        print("counted:", counted.get(timeout=20)["length"])
    rooms.stop(drain=2.0)


if __name__ == "__main__":
    main()
