"""gevent's green threads: everything works as it does with threads, and nothing blocks the hub."""

from __future__ import annotations

import queue
import time
from pathlib import Path

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.integration.test_tls import CA, server_context
from tests.support.programs import Outcome, Program, run
from tests.support.raw_server import CLOSE, Peer, RawServer
from tests.support.raw_server import serve as serve_raw

pytest.importorskip("gevent")

BEGIN = """
from gevent import monkey
monkey.patch_all()
import gevent, os, ssl, sys, threading, time
from slipstream_actor import *

uri = sys.argv[1]

class Ticker:
    # A greenlet that runs all the time: it stands still while another one blocks.
    def __init__(self):
        self.ticks = 0
        gevent.spawn(self.run)

    def run(self):
        while True:
            gevent.sleep(0.005)
            self.ticks += 1

class Client(ClientActor):
    def init(self, uri, **options):
        self.heard = []
        return connect(uri, **options).join("bench:a")

    def handle_info(self, message, socket):
        self.heard.append(message)

    def handle_cast(self, message, socket):
        message(socket)

    def handle_call(self, message, from_, socket):
        return Answer(message)

    def echo(self, value):
        ref = self.socket.push("bench:a", "echo", {"value": value})
        return self.socket.await_reply(ref).unwrap()["value"]

    def wait_for(self, seconds):
        try:
            self.socket.await_message("bench:a", "never", timeout=seconds)
        except AwaitTimeoutError:
            return "waited"

    def later(self, seconds, message):
        self.send_after(seconds, message)

    def terminate(self, reason, socket):
        print("bye", reason, flush=True)

def start(**options):
    ref = Client.start(uri, **options)
    wait_until_joined(ref, "bench:a")
    return ref

def until(condition):
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.001)

ticker = Ticker()
"""

CONVERSATION = """
if len(sys.argv) > 2:
    options = {"ssl_context": ssl.create_default_context(cafile=sys.argv[2])}
else:
    options = {}
ref = start(heartbeat_interval_msec=200, **options)
client = ref.proxy()
assert client.echo("proxy").get() == "proxy"
assert call(ref, "call") == ref.ask("call") == "call"
client.later(0.05, "timer").get()
until(lambda: client.heard.get() == ["timer"])
connection = get_state(ref).connection
until(lambda: get_state(connection).heartbeat_rtt)

socket = connect(uri, **options).join("bench:b").await_join("bench:b")
assert socket.await_reply(socket.push("bench:b", "echo", {"a": 1})).unwrap() == {"a": 1}
socket.push("bench:b", "broadcast", {"n": 1})
assert socket.await_message("bench:b", "shout").payload == {"n": 1}
big = {"pad": "x" * 5_000_000}
assert socket.await_reply(socket.push("bench:b", "echo", big), timeout=30).unwrap() == big
assert 0 < socket.ping() < 5
socket = socket.leave("bench:b").await_leave("bench:b")
socket = socket.disconnect().await_disconnect()
assert not socket.connected
ref.stop()
assert wait(ref) == "normal" and not ref.is_alive()
print("done")
"""


def test_a_conversation(server: PhoenixServer) -> None:
    require_conversation(run(BEGIN + CONVERSATION, server.uri))


def require_conversation(outcome: Outcome) -> None:
    """It has ended well, and the log has said of its heartbeat what it says."""
    assert (outcome.code, outcome.output) == (0, "bye normal\ndone\n"), outcome
    said = [line for line in outcome.errors.splitlines() if "did not answer a heartbeat" in line]
    assert outcome.errors.splitlines() == said


def test_a_conversation_over_tls(tmp_path: Path) -> None:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with PhoenixServer(ssl_context=server_context()) as server:
        require_conversation(run(BEGIN + CONVERSATION, server.uri, str(tmp_path / "ca.pem")))


WAITING = """
ref = start()
socket = connect(uri).await_connect()
before = ticker.ticks
waiting = [
    lambda: ref.proxy().wait_for(0.2).get(),
    lambda: socket.await_message(timeout=0.2),
    lambda: wait(ref, 0.2),
    lambda: wait_until_joined(ref, "never", 0.2),
]
for wait_for in waiting:
    before = ticker.ticks
    try:
        wait_for()
    except AwaitTimeoutError:
        pass
    print(ticker.ticks - before >= 10)
ref.stop()
"""


def test_who_waits_lets_the_others_run(server: PhoenixServer) -> None:
    outcome = run(BEGIN + WAITING, server.uri)
    assert outcome == (0, "True\n" * 4 + "bye normal\n", "")


MANY = """
refs = [start() for _ in range(20)]
owners = []

def own(n):
    socket = connect(uri).join("bench:b").await_join("bench:b")
    for m in range(10):
        reply = socket.await_reply(socket.push("bench:b", "echo", {"m": [n, m]}))
        assert reply.unwrap() == {"m": [n, m]}
    owners.append(socket.socket_pid)
    socket.disconnect().await_disconnect()

jobs = [gevent.spawn(own, n) for n in range(20)]
answers = [(n, ref.proxy().echo(n)) for n, ref in enumerate(refs) for _ in range(10)]
assert all(answer.get() == n for n, answer in answers)
gevent.joinall(jobs, raise_error=True)
assert len(set(owners)) == 20
print("done", flush=True)
"""


def test_many_clients_and_greenlets_that_own_sockets(server: PhoenixServer) -> None:
    assert run(BEGIN + MANY, server.uri) == (0, "done\n" + "bye normal\n" * 20, "")
    server.wait_for_connections(0)


ABANDONED = """
def own():
    connect(uri).join("room").await_join("room")

gevent.spawn(own).join()
print("over", flush=True)
gevent.os.tp_read(0, 1)
"""


def test_a_greenlet_that_ends_closes_its_connection() -> None:
    with RawServer(serve_raw) as server, Program(BEGIN + ABANDONED, server.uri) as program:
        assert program.line() == "over"
        assert server.next_frame(opcode=CLOSE).code == 1000
        program.say()
        code, output, errors = program.end()
        assert (code, output) == (0, "")
        assert "ResourceWarning: the last socket of connection of thread" in errors


NAMES = """
from urllib.parse import urlsplit
socket = connect(f"ws://localhost:{urlsplit(uri).port}/socket/websocket", proxy=False)
socket.await_connect().disconnect().await_disconnect()
try:
    connect("ws://name.invalid", connect_timeout_msec=5000).await_connect(10)
except ConnectFailedError as error:
    print(error.reason.kind)
"""


def test_names_are_resolved(server: PhoenixServer) -> None:
    code, output, errors = run(BEGIN + NAMES, server.uri)
    assert (code, errors) == (0, "")
    assert output in ("resolve\n", "timeout\n")


MUTE = """
ref = Client.start(uri)
gevent.sleep(0)
print("ready", flush=True)
gevent.os.tp_read(0, 2)
before = time.monotonic()
ref.stop()
print(time.monotonic() - before < 1)
"""


def test_a_stop_of_a_client_that_is_connecting() -> None:
    reached: queue.Queue[None] = queue.Queue()

    def script(peer: Peer) -> None:
        peer.request()
        reached.put(None)
        peer.hold()

    with RawServer(script) as server, Program(BEGIN + MUTE, server.uri) as program:
        assert program.line() == "ready"
        reached.get(timeout=10)
        program.say()
        assert program.end() == (0, "bye normal\nTrue\n", "")


EXITS = {
    "the end of the script": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "SIGTERM": (
        """
import signal
def leave(*_):
    sys.exit(5)
signal.signal(signal.SIGTERM, leave)
gevent.spawn_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
wait(ref)
""",
        5,
    ),
}


@pytest.mark.parametrize("end", EXITS)
def test_the_interpreters_exit(end: str) -> None:
    do, code = EXITS[end]
    begin = """
ref = Client.start(uri)
wait_until_joined(ref, "bench:a")
socket = connect(uri).await_connect()
"""
    with RawServer(serve_raw) as server:
        started = time.monotonic()
        assert run(BEGIN + begin + do, server.uri) == (code, "bye normal\n", "")
        assert time.monotonic() - started < 15.0
        assert [server.next_frame(opcode=CLOSE).code for _ in range(2)] == [1000] * 2


FORKED = """
import warnings
from slipstream_actor.actors import forks
warnings.simplefilter("ignore", ResourceWarning)  # Of the greenlet that ends.
refs = [start() for _ in range(3)]
ref = refs[0]
seen, waiting, begun = [], [], []

def await_a_while(socket):
    try:
        socket.await_message(timeout=0.2)
    except AwaitTimeoutError:
        pass

cast(refs[1], await_a_while)
cast(refs[2], lambda socket: socket.await_message(timeout=None))

def own():
    socket = connect(uri).join("bench:b").await_join("bench:b")
    waiting.append(True)
    try:
        socket.await_message(timeout=0.2)
    except AwaitTimeoutError:
        seen.append("timeout")
    except ForkedError:
        seen.append("forked")

gevent.spawn(own)
until(lambda: waiting)
forks.after_fork(lambda: begun.append(start().proxy().echo("begun").get()))
pid = os.fork()
if pid == 0:
    until(lambda: begun == ["begun"])
    try:
        ref.tell("m")
    except ForkedError:
        other = start()
        print("forked", other.proxy().echo("child").get(), flush=True)
        other.stop()
    # Those of the parent would find by now that their sockets are closed.
    gevent.sleep(0.3)
    print(seen, flush=True)
    os._exit(0)
print(os.waitpid(pid, 0)[1], ref.proxy().echo("parent").get(), flush=True)
ref.stop()
"""


def test_a_fork(server: PhoenixServer) -> None:
    child, parent = "forked child\nbye normal\n['forked']\n", "0 parent\n" + "bye normal\n" * 3
    assert run(BEGIN + FORKED, server.uri) == (0, child + parent, "")


COPIED = """
import json, logging, socket
from slipstream_actor import debug
logging.disable()

def answerer(peer):
    peer.sendall(b'{"request": "report"}\\n')
    return json.loads(peer.makefile().readline())["result"]["pid"]

class Crashing(ClientActor):
    def init(self, uri):
        starts.append(os.getpid())
        return connect(uri)

    def handle_cast(self, message, socket):
        raise ValueError(message)

starts, me = [], os.getpid()
handle = ClientHandle(Crashing, uri)
peer = socket.socket(socket.AF_UNIX)
with debug.serve(sys.argv[2]) as server:
    peer.connect(server.path)
    assert answerer(peer) == me
    given_up = handle.request("nowhere", "event", timeout=0.4)
    handle.cast("crash")
    until(lambda: handle.status()["state"] == "restarting")
    pid = os.fork()
    if pid == 0:
        gevent.sleep(1)  # By then all was due that is the parent's.
        print("child", handle.status()["state"], starts == [me], flush=True)
        os._exit(0)
    print(os.waitpid(pid, 0)[1], answerer(peer) == me, starts == [me, me], flush=True)
handle.stop()
"""


def test_what_a_fork_copies_does_nothing(server: PhoenixServer, tmp_path: Path) -> None:
    """No client of the parent's is started again in the child, and nothing is said there."""
    outcome = run(BEGIN + COPIED, server.uri, str(tmp_path / "debug"))
    assert outcome == (0, "child not started True\n0 True True\n", "")


IN_A_START = """
import logging
logging.disable()

class Crashing(ClientActor):
    def init(self, uri):
        starts.append(os.getpid())
        until(lambda: forked or len(starts) != 2)
        return connect(uri)

    def handle_cast(self, message, socket):
        raise ValueError(message)

starts, forked = [], []
handle = ClientHandle(Crashing, uri)
handle.cast("crash")
until(lambda: len(starts) == 2)
pid = os.fork()
forked.append(True)
if pid == 0:
    logging.disable(logging.NOTSET)
    gevent.sleep(0.5)
    print("child", handle.status()["state"], len(starts), flush=True)
    os._exit(0)
print(os.waitpid(pid, 0)[1], handle.status()["connected"], flush=True)
handle.stop()
"""


def test_a_fork_while_a_handle_starts_its_client_again(server: PhoenixServer) -> None:
    """The copied start fails in the child, and is not made again there, nor told of."""
    outcome = run(BEGIN + IN_A_START, server.uri)
    assert outcome == (0, "child not started 2\n0 True\n", "")


def test_to_patch_too_late_is_said_at_the_start() -> None:
    source = """
from slipstream_actor import ClientActor
from gevent import monkey
monkey.patch_all()
try:
    ClientActor.start()
except RuntimeError as error:
    print(error)
"""
    said = run(source).output
    assert said.startswith("slipstream_actor was imported before gevent.monkey.patch_all()")
