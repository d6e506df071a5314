"""Messages become tasks: the table, and the bridge with Redis, there, away and back."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu.connection import Connection

from slipstream_actor import ClientActor, ClientHandle, MessageReceived
from slipstream_actor.contrib.celery import Bridge, Route, stop_with_worker
from slipstream_actor.testing import PhoenixServer
from tests.support.programs import Program
from tests.support.redis_server import RedisServer, needs_redis

LOBBY = MessageReceived("rooms:lobby", "new:msg", {"body": "hello", "id": 5})


@pytest.mark.parametrize(
    ("patterns", "is_for"),
    [
        ({}, True),
        ({"topic": "rooms:lobby"}, True),
        ({"topic": "rooms:*"}, True),
        ({"topic": "orders:*"}, False),
        ({"topic": re.compile("rooms:.*")}, True),
        ({"event": "new:msg"}, True),
        ({"event": "new:*"}, True),
        ({"event": "other"}, False),
        ({"payload": {"id": 5}}, True),
        ({"payload": {"id": 6}}, False),
        ({"topic": lambda topic: topic.endswith("lobby")}, True),
    ],
)
def test_patterns(patterns: dict[str, Any], is_for: bool) -> None:
    assert Route("task", **patterns).is_for(LOBBY) is is_for


def test_arguments() -> None:
    def of(function: Any) -> Any:
        return Route("task", arguments=function).arguments_of(LOBBY)

    assert Route("task").arguments_of(LOBBY) == (
        ["rooms:lobby", "new:msg", {"body": "hello", "id": 5}],
        {},
    )
    assert of(lambda message: [message.payload["id"]]) == ([5], {})
    assert of(lambda message: (message.topic,)) == (["rooms:lobby"], {})
    assert of(lambda message: {"id": message.payload["id"]}) == ([], {"id": 5})
    with pytest.raises(TypeError, match="must return a list, a tuple or a dict, not a str"):
        of(lambda message: message.topic)


def test_the_first_route_counts() -> None:
    bridge = Bridge("nobody", [Route("one", event="other"), Route("two"), Route("three")])
    assert bridge.task_for(LOBBY) == ("two", ["rooms:lobby", "new:msg", LOBBY.payload], {})


def test_a_task_has_its_name() -> None:
    app = Celery("names", set_as_current=False)

    @app.task(name="names.task")  # type: ignore[untyped-decorator]
    def task() -> None:
        pass

    assert Route(task).name == "names.task"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Route(5),
        lambda: Route("task", arguments=5),  # type: ignore[arg-type]
        lambda: Bridge("nobody", []),
        lambda: Bridge(ClientActor, [Route("task")]),
        lambda: Bridge([ClientHandle(ClientActor)], [Route("task")]),
        lambda: Bridge(None, [Route("task")]),
        lambda: stop_with_worker(ClientActor),  # type: ignore[type-var]
        lambda: stop_with_worker("nobody"),  # type: ignore[type-var]
        lambda: Bridge("nobody", ["task"]),  # type: ignore[list-item]
        lambda: Route("task", {"n": 1}),
        lambda: Route("task", "rooms:*", ["new:msg"]),
        lambda: Bridge("nobody", [Route("task")], patience="long"),  # type: ignore[arg-type]
    ],
)
def test_what_is_none(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


@pytest.mark.parametrize("pattern", ["rooms:*:msg", "*:msg", "rooms:**"])
def test_a_prefix_has_its_star_at_the_end(pattern: str) -> None:
    for what in ("topic", "event"):
        text = f"Route: {what} {pattern!r}: a * may only stand at the end"
        with pytest.raises(TypeError, match=re.escape(text)):
            Route("task", **{what: pattern})  # type: ignore[arg-type]
    assert Route("task", re.compile(r"rooms:.*:msg")).is_for(
        MessageReceived("rooms:a:msg", "e", {})
    )


BRIDGE = """
import logging, sys
from celery import Celery
from slipstream_actor import ClientActor, ClientHandle, connect
from slipstream_actor.contrib.celery import Bridge, Route

uri, broker, patience = sys.argv[1:]
logging.basicConfig(format="%(levelname)s %(message).60s", stream=sys.stdout)
logging.getLogger("slipstream_actor").setLevel(logging.ERROR)
logging.getLogger("slipstream_actor.celery").setLevel(logging.INFO)

class Rooms(ClientActor):
    def init(self, uri):
        return connect(uri).join("bench:a")

    def handle_join(self, topic, response, socket):
        print("joined", flush=True)

    def handle_message(self, topic, event, payload, socket):
        if event == "crash":
            raise RuntimeError("as asked")

def arguments(message):
    return [message.payload["n"]]

app = Celery("bridge", broker=broker)
bridge = Bridge(
    ClientHandle(Rooms, uri),
    [
        Route("grown", event="aged", payload=lambda payload: payload["age"] >= 18),
        Route("numbers", event="number", arguments=arguments),
        Route("all", event="all"),
        Route("left", event="argument", arguments=lambda message: sys.exit(3)),
        Route("left", event="pattern", payload=lambda payload: sys.exit(3)),
    ],
    app=app, patience=float(patience),
)
sys.exit(bridge.run())
"""


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


def bridge_to(server: PhoenixServer, redis: RedisServer, patience: float = 300.0) -> Program:
    return Program(BRIDGE, server.uri, redis.url, str(patience))


def enqueued(redis: RedisServer, count: int) -> list[tuple[str, Any]]:
    """Take so many tasks: their names and arguments."""
    broker: Any = Connection
    with broker(redis.url) as connection, connection.SimpleQueue("celery") as tasks:
        found = []
        for _ in range(count):
            message = tasks.get(timeout=10)
            message.ack()
            found.append((message.headers["task"], message.payload[0]))
        return found


@needs_redis
def test_messages_become_tasks_in_their_order(server: PhoenixServer, redis: RedisServer) -> None:
    redis.start()
    with bridge_to(server, redis) as bridge:
        assert bridge.line() == "joined"
        server.broadcast("bench:a", "nobodys", {})
        server.broadcast("bench:a", "aged", {"not": "aged"})
        server.broadcast("bench:a", "number", {"not": "a number"})
        for n in range(100):
            server.broadcast("bench:a", "number", {"n": n})
        server.broadcast("bench:a", "all", {"n": 5})
        tasks = enqueued(redis, 101)
        bridge.process.send_signal(signal.SIGTERM)
        outcome = bridge.end()
    assert tasks == [
        *[("numbers", [n]) for n in range(100)],
        ("all", ["bench:a", "all", {"n": 5}]),
    ]
    assert outcome.code == 0
    errors = [line for line in outcome.output.splitlines() if line.startswith("ERROR")]
    assert errors == [f"ERROR no task can be made of {e} on bench:a" for e in ("aged", "number")]
    server.wait_for_connections(0)


@needs_redis
def test_the_broker_away_and_back(server: PhoenixServer, redis: RedisServer) -> None:
    """What comes meanwhile waits, and none is lost."""
    with bridge_to(server, redis) as bridge:
        assert bridge.line() == "joined"
        for n in range(10):
            server.broadcast("bench:a", "number", {"n": n})
        assert bridge.line().startswith("WARNING the broker is away, a message waits for it: ")
        redis.start()
        assert bridge.line().startswith("INFO the broker is back, after ")
        assert enqueued(redis, 10) == [("numbers", [n]) for n in range(10)]
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.end().code == 0


@needs_redis
def test_the_broker_stays_away(server: PhoenixServer, redis: RedisServer) -> None:
    with bridge_to(server, redis, patience=0.1) as bridge:
        assert bridge.line() == "joined"
        server.broadcast("bench:a", "number", {"n": 1})
        outcome = bridge.end()
    assert outcome.code == 1
    lines = outcome.output.splitlines()
    # How long an attempt takes is for Celery, kombu and redis-py.
    assert re.match(r"ERROR the broker is away for \d+ s, the bridge ends: ", lines[-2])
    assert lines[-1].startswith("ERROR the bridge ends, and what it could not enqueue is lost")
    server.wait_for_connections(0)


@needs_redis
def test_a_client_that_crashes(server: PhoenixServer, redis: RedisServer) -> None:
    """What came before that is enqueued; then it is for the service manager."""
    redis.start()
    with bridge_to(server, redis) as bridge:
        assert bridge.line() == "joined"
        for n in range(10):
            server.broadcast("bench:a", "number", {"n": n})
        server.broadcast("bench:a", "crash", {})
        assert bridge.end().code == 1
    assert enqueued(redis, 10) == [("numbers", [n]) for n in range(10)]


@pytest.mark.parametrize("event", ["argument", "pattern"])
def test_a_route_that_exits_ends_the_bridge(server: PhoenixServer, event: str) -> None:
    with Program(BRIDGE, server.uri, "memory://", "300") as bridge:
        assert bridge.line() == "joined"
        server.broadcast("bench:a", event, {})
        outcome = bridge.end()
    assert outcome.code == 1
    errors = [line for line in outcome.output.splitlines() if line.startswith("ERROR")]
    assert errors[0] == "ERROR the bridge ends: SystemExit"
    assert errors[-1].startswith("ERROR the bridge ends, and what it could not enqueue is lost")
    server.wait_for_connections(0)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals there")
