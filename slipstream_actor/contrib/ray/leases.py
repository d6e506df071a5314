"""The lease of a shard: at no time do two processes deliver for it.

What stands in the store, a key each of which is written once, by whoever puts it there first:

- `holder/<shard>/<generation>`: a claim. The highest generation counts.
- `held/<shard>/<generation>`: who made that claim has held the lease at some time.

A process that wants to be a shard puts a claim above the highest, waits for one lease, looks
whether its claim is the highest still, and then holds. A holder looks five times a lease whether
somebody has put a claim above its own. What it saw may have changed as soon as it had begun to
look, so it holds for one lease from that moment on, and is fenced after it: whoever put a claim
later has waited for longer. Fenced is for good; a process makes one claim in its life.

Nobody waits where there was no claim, nor when the claim before was of a process of this host
that has held, and is gone: all who had come before it were fenced when it held. (That it only put
a claim, and is gone, says nothing of those.)

The clocks of two hosts may differ in how fast they run, by `DRIFT` each: who holds counts one
lease short by it, and who waits counts it long. The clock has to run while a host sleeps, as
`CLOCK_BOOTTIME` does on Linux and `time.monotonic` does not.

A `Lease` does nothing by itself. `next(now)` returns what is to be done, and `next(now, outcome)`,
called when that is done or has failed, what is to be done then:

    operation = lease.next(clock())
    while not isinstance(operation, Leave):
        operation = lease.next(clock(), perform(operation))

The time that is passed has to be read after the outcome is known, and no step may take longer
than `patience`: an operation of the store that takes longer counts as failed, with the outcome
`UNKNOWN`. Whether it has been executed, or will be, may be unknown too.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar

import msgspec

__all__ = [
    "DRIFT",
    "UNKNOWN",
    "Claim",
    "Delete",
    "Get",
    "IsGone",
    "Keys",
    "Lease",
    "Leave",
    "Operation",
    "Pause",
    "Process",
    "PutNew",
    "Unknown",
    "latest_claim_key",
]

# How much faster or slower than true time a host's clock may run. Quartz is a hundred times better.
DRIFT = 0.01
# Seconds. Where both clocks run as wrongly as they may, one ends when the other begins, and the
# numbers in which they are counted are rounded.
ROUNDING = 1e-6
LOOKS_A_LEASE = 5
ANOTHER = "another process has claimed the shard"
# Seconds between two looks, where there is no lease.
UNLEASED_INTERVAL = 0.4


class Process(msgspec.Struct, frozen=True):
    """A process, as it can be found again on its host."""

    host: str
    pid: int
    started: str
    """When it was started, as the host's kernel says it: a pid is given out again."""


class Claim(msgspec.Struct, frozen=True):
    """What stands in the store under a generation of a shard."""

    generation: int
    incarnation: str
    process: Process


class Unknown(enum.Enum):
    """The outcome of an operation that has failed, or has not been answered in time."""

    UNKNOWN = "unknown"


UNKNOWN: Literal[Unknown.UNKNOWN] = Unknown.UNKNOWN


# operations


class Get(msgspec.Struct, frozen=True):
    """Read a key. Outcome: its value, or `None` when there is none."""

    key: str


class PutNew(msgspec.Struct, frozen=True):
    """Write a key unless it is there. Outcome: whether it was written now."""

    key: str
    value: bytes


class Keys(msgspec.Struct, frozen=True):
    """List the keys that begin with a prefix. Outcome: the keys."""

    prefix: str


class Delete(msgspec.Struct, frozen=True):
    """Delete a key, if it is there. Outcome: anything but `UNKNOWN`."""

    key: str


class IsGone(msgspec.Struct, frozen=True):
    """Outcome: whether a process ran on this host, and has ended, or is a zombie."""

    process: Process


class Pause(msgspec.Struct, frozen=True):
    """Wait for so many seconds; less does no harm. Outcome: anything."""

    seconds: float


class Leave(msgspec.Struct, frozen=True):
    """Deliver nothing more, stop the client, end the process: the last operation of a lease."""

    reason: str


Operation: TypeAlias = Get | PutNew | Keys | Delete | IsGone | Pause | Leave
T = TypeVar("T")
# Yields what is to be done, is sent its outcome, and returns what it has found.
Steps: TypeAlias = Generator[Operation, Any, T]


class Lease:
    """The right of one process to be a shard, from when it holds until it is fenced.

    `seconds` is its length. `None` chooses availability: a process begins to hold without
    waiting, and is fenced only when it has read another's claim.
    """

    def __init__(
        self, shard: int, incarnation: str, process: Process, *, seconds: float | None
    ) -> None:
        self.claim: Claim | None = None
        self.patience: float = UNLEASED_INTERVAL if seconds is None else seconds / LOOKS_A_LEASE
        self.until: float = -math.inf
        """The time, of the clock that is passed to `next`, from which on nothing is delivered."""
        self._seconds = seconds
        self._incarnation = incarnation
        self._process = process
        self._holders = f"holder/{shard}/"
        self._held = f"held/{shard}/"
        self._chores: deque[PutNew | Delete] = deque()
        self._now = -math.inf
        self._steps = self._run()
        self._begun = False

    def next(self, now: float, outcome: object = None) -> Operation:
        """Return what is to be done next.

        `outcome` is of what was to be done before, and `now` the time, in seconds of a clock that
        never goes back, read after the outcome was known. Not for several threads at once.
        """
        self._now = now
        if self._begun:
            return self._steps.send(outcome)
        self._begun = True
        return next(self._steps)

    def holds(self, now: float) -> bool:
        """Whether the shard may deliver. For every thread, at each delivery."""
        return now < self.until

    @property
    def generation(self) -> int | None:
        """The number of its claim: of two that have held, the later one has the higher."""
        return None if self.claim is None else self.claim.generation

    def _run(self) -> Steps[NoReturn]:
        reason = (yield from self._acquire()) or (yield from self._keep())
        self.until = -math.inf
        while True:
            yield Leave(reason)

    def _acquire(self) -> Steps[str | None]:
        """Begin to hold, or return why not."""
        former_is_over = yield from self._make_claim()
        if self._seconds is not None and not former_is_over:
            yield from self._pause_until(self._now + self._seconds * (1 + DRIFT))
        while True:
            began = self._now
            generations = yield from self._generations()
            if generations is not UNKNOWN:
                break
            yield from self._pause_until(began + self.patience)
        *older, latest = generations
        if latest != self.generation:
            return ANOTHER
        self._hold_since(began)
        self._chores.append(PutNew(f"{self._held}{latest}", b""))
        for generation in older[1:]:
            self._chores.append(Delete(f"{self._holders}{generation}"))
            self._chores.append(Delete(f"{self._held}{generation}"))
        return None

    def _make_claim(self) -> Steps[bool]:
        """Put a claim above the highest; return whether whoever held before is over."""
        while True:
            began = self._now
            latest = yield from self._latest_claim()
            if isinstance(latest, Claim) and latest.incarnation == self._incarnation:
                self.claim = latest
                return False  # It was written when that was not known; so one waits.
            if latest is not UNKNOWN:
                over = yield from self._is_over(latest)
                if (yield from self._put_claim(latest.generation + 1 if latest else 1)):
                    return over
            yield from self._pause_until(began + self.patience)

    def _is_over(self, former: Claim | None) -> Steps[bool]:
        if former is None:
            return True
        held = yield Get(f"{self._held}{former.generation}")
        if held is None or held is UNKNOWN:
            return False
        gone = yield IsGone(former.process)
        return gone is True

    def _hold_since(self, began: float) -> None:
        seconds = math.inf if self._seconds is None else self._seconds * (1 - DRIFT)
        self.until = began + seconds - ROUNDING

    def _keep(self) -> Steps[str]:
        """Look again and again; return why that ended."""
        while True:
            began = self._now
            reason = yield from self._look(began)
            if reason is not None:
                return reason
            if self._chores and (yield self._chores[0]) is not UNKNOWN:
                self._chores.popleft()
            yield from self._pause_until(began + self.patience)

    def _look(self, began: float) -> Steps[str | None]:
        """Hold on if the claim is the highest still; return why not."""
        assert self.claim is not None
        # In this order, which is that of deletions: if the own claim is there when the next one
        # was not, nobody had put and deleted that.
        above = yield Get(f"{self._holders}{self.claim.generation + 1}")
        own = yield Get(f"{self._holders}{self.claim.generation}")
        if self._now >= self.until:
            return "for one lease it could not be seen that nobody else has claimed the shard"
        if own is None:
            return (yield from self._look_for_others())
        if own is UNKNOWN or above is UNKNOWN:
            return None
        if above is not None or decode_claim(own) != self.claim:
            return ANOTHER
        self._hold_since(began)
        return None

    def _look_for_others(self) -> Steps[str | None]:
        """Return why not to hold on when the own claim is gone."""
        generations = yield from self._generations()
        if generations is UNKNOWN:
            return None
        if generations[-1]:
            return ANOTHER
        return None if self._seconds is None else "the store has lost the claim"

    def _pause_until(self, time: float) -> Steps[None]:
        while self._now < time:
            yield Pause(time - self._now)

    def _generations(self) -> Steps[list[int] | Unknown]:
        """Return the generations that have been claimed, the highest last; none is 0."""
        keys: list[str] | Unknown = yield Keys(self._holders)
        if keys is UNKNOWN:
            return UNKNOWN
        return [0, *sorted(int(key.removeprefix(self._holders)) for key in keys)]

    def _latest_claim(self) -> Steps[Claim | Unknown | None]:
        generations = yield from self._generations()
        if generations is UNKNOWN:
            return UNKNOWN
        if generations[-1] == 0:
            return None
        value = yield Get(f"{self._holders}{generations[-1]}")
        # It has been deleted meanwhile, and so there is a higher one.
        return UNKNOWN if value is UNKNOWN or value is None else decode_claim(value)

    def _put_claim(self, generation: int) -> Steps[bool]:
        """Return whether the claim was written now; unknown is not."""
        self.claim = Claim(generation, self._incarnation, self._process)
        put = yield PutNew(f"{self._holders}{generation}", encode_claim(self.claim))
        return put is True


# how a claim stands in the store


def latest_claim_key(shard: int, keys: Iterable[str]) -> str | None:
    """Return the key of the claim that counts, `None` when there is none."""
    prefix = f"holder/{shard}/"
    generations = [int(key.removeprefix(prefix)) for key in keys]
    return f"{prefix}{max(generations)}" if generations else None


def encode_claim(claim: Claim) -> bytes:
    """Return what is stored of a claim."""
    return msgspec.json.encode(claim)


def decode_claim(value: bytes) -> Claim:
    """Return the claim that is stored."""
    return msgspec.json.decode(value, type=Claim)
