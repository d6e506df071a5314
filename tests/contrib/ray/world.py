"""What the scenarios share: two shards on a cluster of one node, and how they wait."""

from __future__ import annotations

import select
import subprocess
import sys
from typing import Any

from slipstream_actor.contrib.ray import Shards
from slipstream_actor.contrib.ray.engine import start_time
from slipstream_actor.testing import PhoenixServer
from tests.contrib.ray.rooms import JoinLog, Rooms, uri_of
from tests.support.clients import eventually

TOPICS = [f"rooms:{number}" for number in range(20)]
PATIENCE = 30.0
# Longer than a busy machine keeps a process waiting.
LEASE = 15.0
PARAMS = "tests.contrib.ray.rooms:join_params"


class World:
    """The cluster's address, the server with its log, and two shards."""

    def __init__(self, address: str, server: PhoenixServer, log: JoinLog) -> None:
        self.address, self.server, self.log = address, server, log
        self.uri = uri_of(server)
        # What is still there when the cluster ends.
        self.left: Any = None
        self.shards: Shards[Rooms] = Shards(Rooms, self.uri, name="rooms", shards=2, lease=LEASE)
        for topic in TOPICS:
            self.shards.join(topic, PARAMS)
        for topic in TOPICS:
            self.shards.wait_until_joined(topic, PATIENCE)

    def shard_of(self, topic: str) -> Any:
        status = self.shards.status(timeout=PATIENCE)
        return status["shards"][self.shards.shard_of(topic)]

    def child(self, code: str) -> subprocess.Popen[str]:
        """Start a program that is attached to the shards as `rooms`."""
        beginning = (
            f"import sys, ray; ray.init(address={self.address!r}, log_to_driver=False)\n"
            "from slipstream_actor.contrib.ray import Shards\n"
            "rooms = Shards.attach('rooms')\n"
        )
        return subprocess.Popen(
            [sys.executable, "-c", beginning + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def in_force(shards: Shards[Rooms], count: int = 1) -> None:
    """Wait until each shard has so many subscriptions: what is broadcast before is not heard."""

    def all_have() -> bool:
        found = shards.status(timeout=PATIENCE)["shards"]
        numbers = [shard.get("subscriptions", -1) for shard in found]
        # Of a program that has died one may be left for a moment.
        return all(n == count or n > count > 0 for n in numbers)

    eventually(all_have, f"{count} subscriptions")


def line_of(child: subprocess.Popen[str]) -> str:
    """Return the next line that a program prints."""
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], PATIENCE)
    assert ready, "the program prints nothing"
    return child.stdout.readline()


def is_gone(pid: int) -> bool:
    return start_time(pid) is None
