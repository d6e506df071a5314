"""The owner of a turn, as a connection's thread is one."""

from __future__ import annotations

import queue
import threading

from slipstream_actor.actors.turn import Turn
from tests.support.clients import PATIENCE


class Owner(threading.Thread):
    """Sleeps once, from its start until it `wakes`; `slept` has what `regain` returned."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(name="owner")
        self.turn = turn
        self.asleep = threading.Event()
        self.wakes = threading.Event()
        self.slept: queue.Queue[bool] = queue.Queue()
        self.start()
        assert self.asleep.wait(PATIENCE)

    def run(self) -> None:
        self.turn.release()
        self.asleep.set()
        assert self.wakes.wait(PATIENCE)
        self.slept.put(self.turn.regain())

    def be_driven(self) -> None:
        """Take its turn to drive, and have it parked."""
        assert self.turn.enter()
        self.turn.ask()
        self.wakes.set()
        assert self.turn.is_granted()
        assert self.turn.parked
