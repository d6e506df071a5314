"""A resize, as whoever asks for it sees it: the layout is written, and the shards come to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.attachment import Attachment, actor_name
from slipstream_actor.contrib.ray.errors import StoreUnavailableError
from slipstream_actor.contrib.ray.everybody import ask_each
from slipstream_actor.contrib.ray.gaps import GAPS, LEFT
from slipstream_actor.contrib.ray.hanging import Hanging
from slipstream_actor.contrib.ray.layout import (
    encode_layout,
    is_settled,
    layout_key,
    next_version,
    obsolete_keys,
    releases,
)
from slipstream_actor.contrib.ray.store import decode
from slipstream_actor.errors import AwaitTimeoutError

__all__ = ["Resizing"]

# Seconds between two looks at what the shards have marked, and whether those have a process that
# have not, and answer within the next of them.
LOOK, HELP, ANSWER = 0.1, 1.0, 1.0


class Resizing:
    """One resize, within its time."""

    def __init__(self, attachment: Attachment, timeout: float) -> None:
        self._attachment = attachment
        self._store = attachment.store
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._nap = threading.Event()
        self._help_at = time.monotonic() + HELP
        # One that hangs would be waited for; Ray starts it again, on another node or its own.
        self._hanging = Hanging(attachment.store)
        # Who did not answer when it was asked last, and since when.
        self._silent: dict[int, tuple[str | None, float]] = {}

    def run(self, shards: int) -> dict[str, float]:
        """Have so many shards; return the gap of each topic that has moved.

        Raises `AwaitTimeoutError`.
        """
        self._await(self._is_settled, "the end of the resize before")
        attachment = self._attachment
        attachment.read_layout()
        before = attachment.shards
        # So that no topic waits for the start of a process.
        for shard in range(before, shards):
            attachment.create(shard)
        self._await(lambda: self._run(before, shards), f"{shards} shards that run")
        version = self._write(shards)
        if version is None:
            return {}
        attachment.read_layout()
        self._hint(max(before, shards))
        self._await(lambda: self._is_over(version, shards), f"{shards} shards")
        gaps = self._gaps(version)
        self._tidy(version)
        return gaps

    def _write(self, shards: int) -> int | None:
        """Write the next layout; return its version, `None` when that number is there."""
        while True:
            version = next_version(self._store.layouts(), shards)
            if version is None or self._store.put_first(layout_key(version), encode_layout(shards)):
                return version
            self._await(self._is_settled, "the end of another resize")

    def _hint(self, shards: int) -> None:
        for shard in range(shards):
            actor = self._actor(shard)
            if actor is not None:
                engine.tell(actor, "hint", "control", None)

    def _is_settled(self) -> bool:
        layouts = self._store.layouts()
        return len(layouts) < 2 or is_settled(layouts, releases(self._store.release_keys()))

    def _run(self, first: int, end: int) -> bool:
        """Whether those shards run; those that have ended meanwhile are made anew."""
        left = max(0.1, self._deadline - time.monotonic())
        found = ask_each(
            self._attachment, range(first, end), "status", (), time.monotonic() + min(left, ANSWER)
        )
        for shard in set(range(first, end)) - found.keys():
            self._attachment.create(shard)
        return len(found) == max(0, end - first) and all(
            s["state"] == "running" for s in found.values()
        )

    def _is_over(self, version: int, shards: int) -> bool:
        if max(self._store.layouts(), default=0) > version:
            return True  # Another resize goes on from there: this one was over for it.
        told = self._store.keys(f"{GAPS}{version}/")
        return len(told) >= shards and self._is_settled()

    def _help(self) -> None:
        """See to it that those have a process that works whom the latest layout waits for: whoever
        resized before may have died, and shards that had ended be in it again."""
        now = time.monotonic()
        if now < self._help_at:
            return
        awaited = self._awaited()
        answered = ask_each(self._attachment, awaited, "status", (), now + ANSWER)
        for shard in awaited:
            if shard in answered:
                self._silent.pop(shard, None)
            else:
                self._see_to(shard, now)
        self._help_at = time.monotonic() + HELP

    def _see_to(self, shard: int, now: float) -> None:
        """Have one run that does not answer: it has ended for good, or hangs, or is busy."""
        actor = self._actor(shard)
        if actor is None:
            self._attachment.create(shard)
            return
        if shard not in self._silent:
            self._silent[shard] = self._hanging.holder_of(shard), now
        incarnation, since = self._silent[shard]
        if self._hanging.see_to(shard, actor, incarnation, now - since):
            del self._silent[shard]

    def _awaited(self) -> list[int]:
        """Return the shards that have not released what they had, or told what they have."""
        layouts = self._store.layouts()
        if len(layouts) < 2:
            return []
        version = max(layouts)
        released = releases(self._store.release_keys())
        told = self._store.keys(f"{GAPS}{version}/")
        return [
            shard
            for shard in range(max(layouts.values()))
            if version not in released.get(shard, ())
            or (shard < layouts[version] and f"{GAPS}{version}/{shard}" not in told)
        ]

    def _actor(self, shard: int) -> Any:
        name = actor_name(self._attachment.name, shard)
        return engine.within(self._store.patience, partial(engine.actor_of, name), "a shard")

    def _gaps(self, version: int) -> dict[str, float]:
        keys = self._store.keys(f"{GAPS}{version}/")
        found: dict[str, float] = {}
        for value in self._store.get_many(keys).values():
            found.update(decode(value))
        return found

    def _tidy(self, version: int) -> None:
        """Delete what nobody needs any more: first the layouts, then the marks. What is told of
        this version stays: another may wait for it, who wanted the same."""
        for _ in range(2):
            layouts = self._store.layouts()
            released = releases(self._store.release_keys())
            for key in obsolete_keys(layouts, released):
                self._store.delete(key)
        for prefix in (LEFT, GAPS):
            for key in self._store.keys(prefix):
                if int(key.removeprefix(prefix).partition("/")[0]) < version:
                    self._store.delete(key)

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        while True:
            try:
                if condition():
                    return
                self._help()
            except StoreUnavailableError:
                if time.monotonic() > self._deadline:
                    raise
            if time.monotonic() > self._deadline:
                raise AwaitTimeoutError(
                    what, self._timeout, hint=": the shards go on by themselves"
                )
            self._nap.wait(LOOK)
