"""What is asked of all shards at once: how they stand, and that they end. Each within its time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, TypedDict

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.attachment import Attachment, actor_name
from slipstream_actor.contrib.ray.errors import StoreUnavailableError
from slipstream_actor.contrib.ray.shard import ShardStatus
from slipstream_actor.contrib.ray.store import Store
from slipstream_actor.errors import ClientEndedError

__all__ = ["ShardsStatus", "status_of", "stop"]

logger: Logger = get_logger("slipstream_actor.ray")


class ShardsStatus(TypedDict):
    """What `Shards.status()` returns; JSON can have it.

    `head`: whether Ray's head has answered in time; what it was to say is `None` otherwise.
    `layout`: the version of the latest layout, `wanted`: how many topics are wanted.
    """

    name: str
    head: bool
    layout: int | None
    wanted: int | None
    shards: list[ShardStatus]


def status_of(attachment: Attachment, timeout: float) -> ShardsStatus:
    """Return how all shards stand; those that do not answer in time are "unreachable"."""
    attachment.require_open()
    deadline = time.monotonic() + timeout
    store, head = attachment.store, True
    version: int | None = None
    wanted: int | None = None
    shards = attachment.known_shards
    try:
        layouts = engine.within(timeout / 2, store.layouts, "the layout")
        version = max(layouts, default=None)
        shards = layouts[version] if version is not None else 0
        left = deadline - time.monotonic()
        wanted = len(engine.within(max(left / 2, 0.05), store.wanted_topics, "the topics"))
    except StoreUnavailableError:
        head = False
    found = ask_each(attachment, range(shards), "status", (), deadline)
    return {
        "name": attachment.name,
        "head": head,
        "layout": version,
        "wanted": wanted,
        "shards": [
            found.get(shard) or ShardStatus(shard=shard, state="unreachable")
            for shard in range(shards)
        ],
    }


def ask_each(
    attachment: Attachment,
    shards: Sequence[int],
    method: str,
    arguments: tuple[Any, ...],
    deadline: float,
) -> dict[int, Any]:
    """Call a method of shards, of all at once; return what those have answered that did in time."""
    answers: dict[int, Any] = {}
    done = threading.Semaphore(0)

    def ask(shard: int) -> None:
        known = attachment.known_actor(shard)
        try:
            if known is None or not ask_actor(shard, known):
                # Which takes the head.
                found = engine.actor_of(actor_name(attachment.name, shard))
                if found is not None:
                    ask_actor(shard, found)
        except Exception as error:  # Of Ray, also where it is asked and nothing is raised yet.
            logger.info("shard %d does not answer: %s", shard, error)
        finally:
            done.release()

    def ask_actor(shard: int, actor: Any) -> bool:
        """Return whether it is there."""
        reference = engine.tell(actor, method, "control", *arguments)
        try:
            answers[shard] = engine.value_of(reference, max(0.0, deadline - time.monotonic()))
        except engine.Gone:
            return False
        return True

    for shard in shards:
        threading.Thread(
            target=ask, args=(shard,), name=f"slipstream_actor {method}", daemon=True
        ).start()
    for _ in shards:
        if not done.acquire(timeout=max(0.0, deadline - time.monotonic())):
            break
    return dict(answers)


def stop(attachment: Attachment, timeout: float, drain: float) -> None:
    """End all shards, and forget them. Raises `StoreUnavailableError`."""
    attachment.require_open()
    deadline = time.monotonic() + timeout
    with contextlib.suppress(ClientEndedError):
        attachment.read_layout()
    # The higher of a resize that is not over yet.
    shards = max(attachment.store.layouts().values(), default=0)
    # First: a shard that is started meanwhile finds that there is none.
    attachment.store.clear()
    ask_each(attachment, range(shards), "stop", (drain,), deadline)
    Store.of_claims(attachment.name).clear()
    try:
        left = max(attachment.store.patience, deadline - time.monotonic())
        engine.within(left, partial(end_all, attachment.name, shards), "the end of the shards")
    finally:
        error = ClientEndedError("shutdown", f"the shards {attachment.name!r} were stopped")
        attachment.end(error)


def end_all(name: str, shards: int) -> None:
    """End the processes of shards, for good."""
    for shard in range(shards):
        actor = engine.actor_of(actor_name(name, shard))
        if actor is not None:
            engine.end_actor(actor)
