"""The owner of a turn, as a connection's thread is one."""

from __future__ import annotations

import queue
import threading
from functools import partial

from slipstream_actor.actors.turn import ThreadEnds, Turn
from tests.support.clients import PATIENCE, eventually


class Owner(threading.Thread):
    """Sleeps once, from its start until it `wakes`; `slept` has what `regain` returned, or `None`
    where its thread was to end."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(name="owner")
        self.turn = turn
        self.asleep = threading.Event()
        self.wakes = threading.Event()
        self.slept: queue.Queue[bool | None] = queue.Queue()
        self.start()
        assert self.asleep.wait(PATIENCE)

    def run(self) -> None:
        self.turn.give()
        self.asleep.set()
        assert self.wakes.wait(PATIENCE)
        try:
            self.slept.put(self.turn.regain(lambda: None))
        except ThreadEnds:
            self.slept.put(None)

    def be_driven(self, *, for_long: bool = False) -> None:
        """Take its turn to drive, and have it parked."""
        assert self.turn.enter()
        eventually(partial(self._is_granted, for_long), "the owner's leave")
        assert self.turn.parked

    def _is_granted(self, for_long: bool) -> bool:
        """Ask it; a machine that is busy may take longer to wake it than is waited for that."""
        self.turn.ask(for_long=for_long)
        self.wakes.set()
        return self.turn.is_granted()
