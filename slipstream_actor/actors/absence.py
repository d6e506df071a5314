"""Who sees that a driver stays away: one thread for all connections of the process.

A client that drives its connection is away while a callback runs. Mostly it comes back at once, so
the connection's own thread is not woken each time. When it does not come back, that is recalled.
"""

from __future__ import annotations

import threading
import time

from slipstream_actor.actors.forks import reset_in_child
from slipstream_actor.actors.turn import Turn

__all__ = ["THREAD", "absence"]

THREAD = "slipstream_actor drivers"
# Seconds between two looks. Who is away in two of them stays away.
INTERVAL = 0.002
# Seconds for which the thread stays when nobody can be away any more.
LINGER = 0.1
# The steps of a turn at the last look, before the first.
NEVER = -1


class Absence:
    """The drivers that are away, and the thread that looks at them, while there is any driver."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Know of nobody: nothing else could free the lock in a child, where no thread is."""
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._gate = threading.Lock()
        self._gate.acquire()
        # Those whose owner is parked.
        self._parked: set[Turn] = set()
        # Those that nobody drives, by the steps that they had at the last look.
        self._away: dict[Turn, int] = {}
        self._running = False
        self._asleep = False

    def begin(self, turn: Turn) -> None:
        """Its owner is to be parked. Raises `RuntimeError` where there are no more threads."""
        with self._lock:
            self._parked.add(turn)
            if not self._running:
                try:
                    self._running = True
                    threading.Thread(target=self._run, name=THREAD, daemon=True).start()
                except BaseException:  # There are none, or a signal handler has raised.
                    self._running = False
                    self._parked.discard(turn)
                    raise

    def end(self, turn: Turn) -> None:
        """Its owner goes on."""
        self._parked.discard(turn)
        self._away.pop(turn, None)
        if self._asleep and not self._parked:
            self._wake()

    def note(self, turn: Turn) -> None:
        """Who drives is away."""
        if turn not in self._away:
            self._away[turn] = NEVER
        if self._asleep:
            self._wake()

    def _wake(self) -> None:
        self._asleep = False
        try:
            self._gate.release()
        except RuntimeError:
            pass  # Another thread was faster.

    def _run(self) -> None:
        while self._is_wanted():
            time.sleep(INTERVAL)
            for turn in list(self._away):
                self._look(turn)

    def _is_wanted(self) -> bool:
        """Wait until somebody is away; `False` when nobody can be, and the thread ends."""
        while not self._away:
            self._asleep = True
            if self._away:
                break
            if self._gate.acquire(timeout=-1 if self._parked else LINGER):
                continue
            with self._lock:
                if not self._parked:
                    self._running = self._asleep = False
                    return False
        self._asleep = False
        return True

    def _look(self, turn: Turn) -> None:
        """Recall its owner, if who drives stays away."""
        if turn.driven or not turn.parked:
            self._away.pop(turn, None)
            if turn.parked and not turn.driven:  # It has left between the two.
                self._away[turn] = NEVER
        elif turn.steps == self._away.get(turn):
            turn.recall()
            self._away[turn] = NEVER  # It may have no effect, and is tried again.
        else:
            self._away[turn] = turn.steps


absence: Absence = Absence()
reset_in_child(absence.reset)
