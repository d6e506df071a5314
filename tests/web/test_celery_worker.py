"""A Celery worker's pools: tasks that push, each process with a client of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import eventually
from tests.support.programs import ROOT, Program
from tests.support.redis_server import RedisServer, needs_redis
from tests.web.phoenix import Phoenix
from tests.web.server import connections_to, process_tree

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone"),
    needs_redis,
]

WORKER = """
import sys
from celery.__main__ import main
sys.argv[0] = "celery"
sys.path.insert(0, "")
main()
"""
# Enqueues, and waits for the results from 16 threads at once.
ASK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from celery import Celery

app = Celery("ask", broker=sys.argv[1], backend=sys.argv[1])

def ask(n):
    return app.send_task("examples.celery_app.tasks.say", [str(n)]).get(timeout=60)

with ThreadPoolExecutor(16) as pool:
    answers = list(pool.map(ask, range(int(sys.argv[2]))))
assert answers == [{"body": str(n)} for n in range(len(answers))], answers[:5]
print(len(answers))
"""
POOLS = {
    "prefork": ["--pool", "prefork", "--concurrency", "2"],
    "threads": ["--pool", "threads", "--concurrency", "8"],
    "gevent": ["--pool", "gevent", "--concurrency", "50"],
}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis.start()


@pytest.fixture
def phoenix() -> Iterator[Phoenix]:
    with Phoenix() as phoenix:
        yield phoenix


def environment(phoenix: Phoenix, redis: RedisServer) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PHOENIX_URI": phoenix.uri,
        "BROKER_URL": redis.url,
        "RESULT_URL": redis.url,
    }


def worker(pool: str, phoenix: Phoenix, redis: RedisServer) -> Program:
    arguments = ["--app", "examples.celery_app.tasks", "worker", "--loglevel", "ERROR"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", *POOLS[pool]]
    plain = [sys.executable]
    return Program(
        WORKER, *arguments, *quiet, python=plain, deadline=120.0, env=environment(phoenix, redis)
    )


def ask(count: int, phoenix: Phoenix, redis: RedisServer) -> Program:
    return Program(
        ASK, redis.url, str(count), python=[sys.executable], env=environment(phoenix, redis)
    )


# How many: `make web-matrix` asks for more.
COUNT = int(os.environ.get("SLIPSTREAM_TASKS", "300"))


@pytest.mark.parametrize("pool", POOLS)
def test_each_process_has_one_client(pool: str, phoenix: Phoenix, redis: RedisServer) -> None:
    phoenix.start()
    with worker(pool, phoenix, redis) as program, ask(COUNT, phoenix, redis) as asking:
        asked = asking.end()
        assert (asked.code, asked.output) == (0, f"{COUNT}\n"), asked.errors
        # A process that no task has come to has none.
        tree = process_tree(program.process.pid)
        found = [count for p in tree if (count := connections_to(p, phoenix.port))]
        assert found == [1] * phoenix.connections
        program.terminate()
        outcome = program.end()
        assert outcome.code == 0
        # By now, and not by the end of the processes alone: they have closed it in order.
        eventually(lambda: phoenix.connections == 0, "the clients' leave")


def test_phoenix_away_at_boot(phoenix: Phoenix, redis: RedisServer) -> None:
    """Tasks are tried again, as they say, and none is lost."""
    with worker("prefork", phoenix, redis) as program, ask(4, phoenix, redis) as asking:
        eventually(lambda: len(redis_clients(redis)) > 2, "the worker")
        phoenix.start()
        asked = asking.end()
        assert (asked.code, asked.output) == (0, "4\n"), asked.errors
        program.terminate()
        assert program.end().code == 0


def redis_clients(redis: RedisServer) -> list[str]:
    """Return the lines of Redis that say who is connected."""
    import redis as library

    with library.Redis.from_url(redis.url) as client:
        return [str(one) for one in client.client_list()]


ORDERLY = """
import os
from celery import Celery
from slipstream_actor import ClientActor, ClientHandle, connect
from slipstream_actor.contrib.celery import stop_with_worker

app = Celery("orderly", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])

class Rooms(ClientActor):
    def init(self, uri):
        return connect(uri).join("rooms:lobby")

    def terminate(self, reason, socket):
        with open(os.environ["ENDS"], "a") as ends:
            ends.write(f"{reason}\\n")

rooms = stop_with_worker(ClientHandle(Rooms, os.environ["PHOENIX_URI"]))

@app.task(name="examples.celery_app.tasks.say")
def say(body):
    return rooms.request("rooms:lobby", "new:msg", {"body": body}).get().unwrap()
"""


def test_children_of_the_pool_end_their_clients_in_order(
    phoenix: Phoenix, redis: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "orderly.py").write_text(ORDERLY)
    ends = tmp_path / "ends"
    variables = {**environment(phoenix, redis), "ENDS": str(ends)}
    arguments = ["--app", "orderly", "worker", "--loglevel", "ERROR", "--concurrency", "1"]
    plain = [sys.executable]
    phoenix.start()
    with (
        Program(WORKER, *arguments, python=plain, cwd=tmp_path, env=variables) as program,
        ask(2, phoenix, redis) as asking,
    ):
        assert asking.end().output == "2\n"
        program.terminate()
        assert program.end().code == 0
    assert ends.read_text() == "normal\n"
