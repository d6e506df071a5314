"""`stop_with_worker` in a process that ends as one of the prefork pool does."""

from __future__ import annotations

from tests.support.programs import run

# What billiard does at the end of such a process: it tells, with a lock of all of them in hand, and
# the pool answers with a SIGTERM, which is blocked in the thread that has told.
LEAVE = """
import os, signal, threading
from celery import signals
from slipstream_actor import ClientActor, ClientHandle, connect
from slipstream_actor.contrib.celery import stop_with_worker

class Orders(ClientActor):
    def init(self):
        return connect("ws://127.0.0.1:1/socket/websocket")

orders = stop_with_worker(ClientHandle(Orders))
orders.ref
signals.worker_process_shutdown.send(None)
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
print("has told", flush=True)
os._exit(0)
"""


def test_the_pools_answer_does_not_end_a_process_that_tells() -> None:
    assert run(LEAVE)[:2] == (0, "has told\n")
