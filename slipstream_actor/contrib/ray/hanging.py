"""The process of a shard that hangs on a healthy node: Ray sees nothing, and so whoever hears
nothing has it started again."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.errors import StoreUnavailableError
from slipstream_actor.contrib.ray.leases import decode_claim, latest_claim_key
from slipstream_actor.contrib.ray.store import Store

__all__ = ["SILENCE", "Hanging"]

logger: Logger = get_logger("slipstream_actor.ray")

# Seconds of silence, longer than a shard is ever silent, that come on top of its lease.
SILENCE = 3.0
# That lease where there is none.
UNLEASED = 10.0
# Seconds that a shard has to say that it is there: one is not ended that is only busy.
ANSWER = 3.0


class Hanging:
    """Ends the processes of shards that hang, each at most once, whoever sees it.

    Never while one could still deliver: it has been silent for a lease, and is fenced when it goes
    on. Should it only be out of reach from here, it is started again needlessly, once; the next one
    waits for the lease as ever.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._claims = Store.of_claims(store.name, store.patience)
        self._lease: float | None = None

    def holder_of(self, shard: int) -> str | None:
        """Return the incarnation that has claimed the shard last."""
        key = latest_claim_key(shard, self._claims.keys(f"holder/{shard}/"))
        value = self._claims.get(key) if key is not None else None
        return decode_claim(value).incarnation if value is not None else None

    def see_to(self, shard: int, actor: Any, incarnation: str | None, silent: float) -> bool:
        """Have the process of that incarnation started again, which has said nothing for so many
        seconds, if that is long enough; return whether that was done."""
        if silent < SILENCE:
            return False
        try:
            return silent >= SILENCE + self._seconds() and self._end(shard, actor, incarnation)
        except (StoreUnavailableError, engine.Gone):
            return False  # Ray's head or the actor itself is not there: Ray sees to both.

    def _seconds(self) -> float:
        if self._lease is None:
            spec = self._store.spec()
            self._lease = (spec.lease if spec is not None else None) or UNLEASED
        return self._lease

    def _end(self, shard: int, actor: Any, incarnation: str | None) -> bool:
        # Where another has claimed the shard since, Ray has started that one already.
        if self.holder_of(shard) != incarnation or answers(actor):
            return False
        # Once for each: the next one may take its time, too.
        mark = f"ended/{shard}/{incarnation}"
        if not self._claims.put_first(mark, uuid.uuid4().bytes):
            return False
        logger.error("shard %d hangs, and is started again", shard)
        restart = partial(engine.restart_actor, actor)
        engine.within(self._store.patience, restart, f"the end of shard {shard}")
        for key in self._claims.keys(f"ended/{shard}/"):
            if key != mark:
                self._claims.delete(key)
        return True


def answers(actor: Any) -> bool:
    """Whether the process of a shard says that it is there. Raises `Gone`."""
    try:
        engine.value_of(engine.tell(actor, "status", "control"), ANSWER)
    except TimeoutError:
        return False
    return True
