"""The key-value store of Ray's head, in this process: what the shards' store is tested with where
there is no cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slipstream_actor.contrib.ray import engine


class StoreHere:
    """Takes the place of the head's client. While it `hangs`, nothing is answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[bytes, bytes], bytes] = {}
        self.answers: threading.Event = threading.Event()
        self.answers.set()

    def internal_kv_get(self, key: bytes, space: bytes) -> bytes | None:
        self.answers.wait()
        return self._values.get((space, key))

    def internal_kv_multi_get(self, keys: list[bytes], space: bytes) -> dict[bytes, bytes]:
        self.answers.wait()
        with self._lock:
            return {key: self._values[space, key] for key in keys if (space, key) in self._values}

    def internal_kv_keys(self, prefix: bytes, space: bytes) -> list[bytes]:
        self.answers.wait()
        with self._lock:
            return [key for there, key in self._values if there == space and key.startswith(prefix)]

    def internal_kv_put(self, key: bytes, value: bytes, overwrite: bool, space: bytes) -> bool:
        self.answers.wait()
        with self._lock:
            there = (space, key) in self._values
            if overwrite or not there:
                self._values[space, key] = value
            return not there

    def internal_kv_del(self, key: bytes, by_prefix: bool, space: bytes) -> None:
        self.answers.wait()
        with self._lock:
            for entry in list(self._values):
                same = entry[1].startswith(key) if by_prefix else entry[1] == key
                if entry[0] == space and same:
                    del self._values[entry]


@contextmanager
def store_here() -> Iterator[StoreHere]:
    """Have everybody in this process use such a store, and none of Ray."""
    found = StoreHere()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "kv_client", lambda: found)
        patch.setattr(engine, "rpc_errors", tuple)
        yield found
        found.answers.set()
    end_workers()


def end_workers() -> None:
    """End the threads that wait for the store, each when it has answered."""
    deadline, nap = time.monotonic() + 20.0, threading.Event()
    while any(thread.name.endswith("shards' store") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        while engine._idle:
            engine._idle.pop().jobs.put(None)
        nap.wait(0.01)
