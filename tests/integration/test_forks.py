"""Forks: a child never touches the connections of its parent, and says what to do instead."""

from __future__ import annotations

import os
import queue
import sys
from pathlib import Path

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.integration.test_tls import CA, server_context
from tests.support.programs import DEADLINE, Program, run
from tests.support.raw_server import CLOSE, Peer, RawServer, serve

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone"),
]

BEGIN = """
import asyncio, os, ssl, sys, threading, time, warnings
import slipstream_actor as slipstream
from slipstream_actor import *

# What is lost here is lost on purpose.
warnings.simplefilter("ignore", ResourceWarning)

class Client(ClientActor):
    def init(self, uri, **options):
        return connect(uri, **options).join("bench:a")

    def echo(self, value):
        ref = self.socket.push("bench:a", "echo", {"value": value})
        return self.socket.await_reply(ref).unwrap()["value"]

    def handle_call(self, message, from_, socket):
        self.socket = socket.assign("from", from_)
        return Next()

    def run(self, function):
        return function(self.socket)

def start(uri, name=None, **options):
    ref = Client.start(uri, name=name, **options)
    wait_until_joined(ref, "bench:a")
    return ref

def join(uri, **options):
    return connect(uri, **options).join("bench:b").await_join("bench:b")

def ask(socket, value):
    return socket.await_reply(socket.push("bench:b", "echo", {"value": value})).unwrap()["value"]

def child(function):
    # Run it in a child and return its exit code.
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

# What may be done with what the parent has started: each is one line.
ATTEMPTS = [
    'ref.tell("m")',
    'ref.ask("m")',
    'ref.ask("m", block=False)',
    "ref.stop()",
    "ref.stop(block=False)",
    "ref.proxy()",
    "proxy.echo(1)",
    "proxy.socket",
    "proxy.echo.defer(1)",
    "proxy.stop()",
    'call(ref, "m")',
    'call(proxy, "m")',
    'call("name", "m")',
    "get_state(ref)",
    'get_state("name")',
    "wait(ref)",
    "wait(ref, 0)",
    'wait("name")',
    'wait_until_joined(ref, "bench:a")',
    "future.get()",
    "awaited(future)",
    "awaited(mapped)",
    "future.as_concurrent()",
    'request(ref, "bench:a", "echo", {}).get()',
    "requested.get()",
    "awaited(requested)",
    "invoke(ref, Client.echo, 1).get()",
    "subscribe(ref)",
    'subscribe("name")',
    "with handle.override(ref): handle.subscribe()",
    "next(subscription)",
    "list(subscription)",
    "awaited(anext(subscription))",
    "next(of_handle)",
    "awaited(anext(of_handle))",
    "slipstream.debug.get_status(ref)",
    "slipstream.debug.get_status(connection)",
    "slipstream.debug.statistics(ref, True)",
    "slipstream.debug.trace(ref, True)",
    "slipstream.debug.suspend(ref)",
    "slipstream.debug.resume(ref)",
    "slipstream.debug.replace_state(ref, lambda socket: socket)",
    "Supervisor.which_children(supervisor)",
    "supervisor.stop()",
    "run(ref)",
    'reply(from_, "answer")',
    'connection.tell("m")',
    "connection.stop()",
    "get_state(connection)",
    'socket.socket_pid.tell("m")',
    'socket.push("bench:b", "echo")',
    'socket.push("bench:c", "echo")',
    'socket.push("bench:b", "echo", buffer=True, reply_timeout=1)',
    'socket.join("bench:c")',
    'socket.join("bench:b")',
    'socket.rejoin("bench:b")',
    'socket.leave("bench:b")',
    "socket.connect(uri)",
    "socket.reconnect()",
    "socket.disconnect()",
    "socket.collect_garbage()",
    "socket.ping()",
    "socket.await_connect()",
    "socket.await_disconnect()",
    'socket.await_join("bench:b")',
    'socket.await_leave("bench:b")',
    "socket.await_reply(pushed)",
    "socket.await_message()",
    "next(socket.messages())",
    'their.push("bench:a", "echo")',
    "their.await_message()",
    "unconnected.connect(uri)",
    "scheduled.reconnect()",
    "scheduled.disconnect()",
]

# What the parent has, for the attempts.
STARTED = """
uri, *attempts = sys.argv[1:]
ref = start(uri, "name")
proxy = ref.proxy()
their = get_state(ref).socket
connection = their.channel_pid
asked = ref.ask("m", block=False)
from_ = ref.proxy().run(lambda socket: socket.assigns["from"]).get()
go_on = threading.Event()
future = proxy.run(lambda _: go_on.wait(60))
mapped = future.map(str)
requested = request(ref, "bench:a", "never", timeout=None)
subscription, handle = subscribe(ref), ClientHandle(Client, uri)
of_handle, supervisor = handle.subscribe(), Supervisor.start()
stopped = ref.stop(block=False)

async def wait_for(awaitable):
    return await asyncio.wait_for(awaitable, 10)

def awaited(awaitable):
    return asyncio.run(wait_for(awaitable))

socket = join(uri)
pushed = socket.push("bench:b", "echo")
unconnected = new_socket()
scheduled = connect("ws://127.0.0.1:1")
try:
    scheduled.await_connect()
except ConnectFailedError as error:
    scheduled = error.socket.reconnect()
"""

REFUSED = """
def in_child():
    for attempt in attempts:
        try:
            exec(attempt, globals())
        except ForkedError as error:
            assert isinstance(error, ActorDeadError) and isinstance(error, SlipstreamError)
        except BaseException as error:
            print(attempt, repr(error))
        else:
            print(attempt, "raised nothing")
    assert stopped.get() is False  # Pykka: it was dead already.
    assert not ref.is_alive() and not connection.is_alive() and not socket.socket_pid.is_alive()
    assert cast(ref, "m") is None and cast("name", "m") is None
    assert subscription.close() is None and of_handle.close() is None
    assert whereis("name") is None and not socket.connected and socket.channel_pid is None
    assert socket.assign(a=1).assigns == {"a": 1}

print(child(in_child))
go_on.set()
assert future.get(timeout=5) and stopped.get(timeout=5)
supervisor.stop()
handle.stop()
socket.disconnect().await_disconnect()
"""


def test_every_call_says_that_the_process_was_forked(server: PhoenixServer) -> None:
    outcome = run(BEGIN + STARTED + REFUSED, server.uri, *ATTEMPTS)
    assert outcome == (0, "0\n", "")


DOWN = """
heard = []

class Watcher(ClientActor):
    def init(self, targets):
        self.targets = targets
        for target in targets:
            monitor(target)

    def handle_info(self, message, socket):
        heard.append((self.targets.index(message.ref), message.reason))
        if len(heard) == len(self.targets):
            return Stop("normal", socket)

ref, ended, socket = start(sys.argv[1], "name"), start(sys.argv[1]), join(sys.argv[1])
ended.stop()
wait(ended)
targets = [ref, "name", ended, get_state(ref).connection, socket.socket_pid, "nobody"]

def in_child():
    wait(Watcher.start(targets), 10)
    print(sorted(heard), flush=True)

print(child(in_child))
socket.disconnect().await_disconnect()
"""


def test_what_was_the_parents_is_down(server: PhoenixServer) -> None:
    reasons = enumerate(["forked", "forked", "normal", "forked", "forked", "noproc"])
    assert run(BEGIN + DOWN, server.uri) == (0, f"{[*reasons]}\n0\n", "")


HELD = """
ref = start(sys.argv[1])
subscription, watch = subscribe(ref), monitor(ref)
held, go_on = threading.Event(), threading.Event()

def hold():
    with subscription._lock, watch._lock:
        held.set()
        go_on.wait(60)

def in_child():
    signal.alarm(15)
    subscription.close()
    watch.cancel()
    try:
        next(subscription)
    except ForkedError:
        print("forked", flush=True)

threading.Thread(target=hold).start()
assert held.wait(10)
print(child(in_child))
go_on.set()
"""


def test_a_subscription_that_another_thread_was_using(server: PhoenixServer) -> None:
    assert run("import signal" + BEGIN + HELD, server.uri) == (0, "forked\n0\n", "")


SAID = """
ref = start(sys.argv[1])
def in_child():
    try:
        ref.tell("m")
    except ForkedError as error:
        print(error)
child(in_child)
"""


def test_the_error_says_what_to_do_instead(server: PhoenixServer) -> None:
    said = run(BEGIN + SAID, server.uri).output
    assert said.startswith("Client-")
    assert "this one was forked from" in said
    assert "start the client after the fork" in said
    assert "post_fork" in said


UNDISTURBED = """
options = {}
if len(sys.argv) > 2:
    options["ssl_context"] = ssl.create_default_context(cafile=sys.argv[2])
ref, socket = start(sys.argv[1], "name", **options), join(sys.argv[1], **options)

def in_child():
    own, other = start(sys.argv[1], "name", **options), join(sys.argv[1], **options)
    assert own.proxy().echo("child").get() == ask(other, "child") == "child"
    assert whereis("name") is own
    own.stop()

def leaves_by_the_interpreters_exit():
    if os.fork() == 0:
        start(sys.argv[1], **options), join(sys.argv[1], **options)
        sys.exit(3)
    return os.waitstatus_to_exitcode(os.wait()[1])

for n in range(3):
    assert child(in_child) == 0
    assert ref.proxy().echo(n).get() == ask(socket, n) == n
    assert leaves_by_the_interpreters_exit() == 3
    assert ref.proxy().echo(n).get() == ask(socket, n) == n
assert get_state(ref).socket.channel_pid.is_alive()
print("undisturbed", len(os.listdir("/proc/self/fd")) < 40)
ref.stop()
socket.disconnect().await_disconnect()
"""


def test_the_parents_connections_go_on(server: PhoenixServer) -> None:
    assert run(BEGIN + UNDISTURBED, server.uri) == (0, "undisturbed True\n", "")
    server.wait_for_connections(0)


def test_the_parents_connections_go_on_over_tls(tmp_path: Path) -> None:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with PhoenixServer(ssl_context=server_context()) as server:
        outcome = run(BEGIN + UNDISTURBED, server.uri, str(tmp_path / "ca.pem"))
        assert outcome == (0, "undisturbed True\n", "")
        server.wait_for_connections(0)


# The child stays; its parent goes without a farewell, so that no FIN is sent but by the system.
OUTLIVED = """
socket = connect(sys.argv[1], ssl_context=ssl.create_default_context(cafile=sys.argv[3]))
if sys.argv[2] == "connected":
    socket.await_connect()
print("ready", flush=True)
sys.stdin.readline()
if os.fork():
    os._exit(0)
sockets = [name for name in os.listdir("/proc/self/fd")
           if os.path.exists(path := f"/proc/self/fd/{name}") and "socket" in os.readlink(path)]
print("left", sockets, flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.mark.parametrize(
    ("scheme", "phase"),
    [
        ("ws", "upgrade"),
        ("ws", "connected"),
        ("wss", "handshake"),
        ("wss", "upgrade"),
        ("wss", "connected"),
    ],
)
def test_a_child_keeps_no_connection_of_its_parent_open(
    scheme: str, phase: str, tmp_path: Path
) -> None:
    in_tls = scheme == "wss" and phase != "handshake"
    begun: queue.Queue[object] = queue.Queue()

    def script(peer: Peer) -> None:
        if phase == "handshake":
            begun.put(peer.read(1))
        elif phase == "upgrade":
            begun.put(peer.request())
        else:
            begun.put(peer.upgrade())
        peer.hold()

    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with RawServer(script, ssl_context=server_context() if in_tls else None) as server:
        uri = f"{scheme}:{server.uri.partition(':')[2]}"
        with Program(BEGIN + OUTLIVED, uri, phase, str(tmp_path / "ca.pem")) as program:
            assert program.line() == "ready"
            begun.get(timeout=DEADLINE)
            program.say()
            assert program.line() == "left []"
            assert server.hung_up.wait(DEADLINE)


CALLBACK = """
from slipstream_actor.actors.process import current
ref = start(sys.argv[1])

def fork_here(socket):
    def in_child():
        assert current() is not socket.socket_pid and not socket.socket_pid.is_alive()
        assert ask(join(sys.argv[1]), "child") == "child"
    return child(in_child)

print(ref.proxy().run(fork_here).get(), ref.proxy().echo("parent").get())
ref.stop()
"""


def test_a_fork_in_a_callback(server: PhoenixServer) -> None:
    assert run(BEGIN + CALLBACK, server.uri) == (0, "0 parent\n", "")


RETURNING = """
ref = start(sys.argv[1])
pid = ref.proxy().run(lambda _: os.fork()).get()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), ref.proxy().echo("parent").get())
ref.stop()
"""


def test_a_child_that_returns_from_a_callback_ends(server: PhoenixServer) -> None:
    """It has no mailbox to wait in, and nobody who could write to it."""
    assert run(BEGIN + RETURNING, server.uri) == (0, "0 parent\n", "")


THREADS = """
from slipstream_actor.actors import process
reached, go_on = threading.Barrier(4), threading.Event()
heard = []

def own():
    socket = join(sys.argv[1])
    reached.wait(10)
    go_on.wait(10)
    heard.append(ask(socket, "thread"))

def end(self, parent=os.getpid(), end=process.ThreadRef.end):
    if os.getpid() != parent:
        print("ended in a child", flush=True)
    end(self)

process.ThreadRef.end = end
threads = [threading.Thread(target=own) for _ in range(3)]
for thread in threads:
    thread.start()
reached.wait(10)
# All of them seem to end in the child, where their sockets are not theirs.
print([child(lambda: None) for _ in range(5)])
go_on.set()
for thread in threads:
    thread.join(10)
print(heard)
"""


def test_the_threads_that_a_child_does_not_have_keep_their_sockets(server: PhoenixServer) -> None:
    lines = f"{[0] * 5}\n{['thread'] * 3}\n"
    assert run(BEGIN + THREADS, server.uri) == (0, lines, "")


LOCKED = """
import pykka, signal
from slipstream_actor.actors import names
from slipstream_actor.client import subscriptions
from slipstream_actor.contrib.opentelemetry import SlipstreamInstrumentor

lock = {
    "registry": pykka.ActorRegistry._actor_refs_lock,
    "names": names._names_lock,
    "subscriptions": subscriptions._changing,
    "opentelemetry": SlipstreamInstrumentor._lock,
}[sys.argv[2]]
held, go_on = threading.Event(), threading.Event()

def hold():
    with lock:
        held.set()
        go_on.wait(60)

def in_child():
    signal.alarm(15)
    SlipstreamInstrumentor().instrument()
    ref = start(sys.argv[1], "name")
    subscribe(ref).close()
    ref.stop()

threading.Thread(target=hold).start()
assert held.wait(10)
print(child(in_child))
go_on.set()
"""


@pytest.mark.parametrize("lock", ["registry", "names", "subscriptions", "opentelemetry"])
def test_a_lock_that_another_thread_held_is_free_in_the_child(
    lock: str, server: PhoenixServer
) -> None:
    assert run(BEGIN + LOCKED, server.uri, lock) == (0, "0\n", "")


STRESS = """
import logging
logging.basicConfig(level=logging.CRITICAL)
flooded = start(sys.argv[1])
done = threading.Event()

def flood():
    socket = join(sys.argv[1])
    while not done.is_set():
        refs = [socket.push("bench:b", "broadcast", {"n": n}) for n in range(50)]
        for ref in refs:
            socket.await_reply(ref)

def ask_all_the_time():
    while not done.is_set():
        assert flooded.proxy().echo("x").get() == "x"

def come_and_go():
    while not done.is_set():
        connect(sys.argv[1]).await_connect().disconnect().await_disconnect()

threads = [threading.Thread(target=f) for f in (flood, ask_all_the_time, come_and_go)]
for thread in threads:
    thread.start()

def in_child():
    assert not flooded.is_alive()
    for attempt in (lambda: flooded.tell(1), lambda: call(flooded, 1), lambda: wait(flooded)):
        try:
            attempt()
        except ForkedError:
            continue
        raise AssertionError("no ForkedError")

codes = [child(in_child) for _ in range(int(sys.argv[2]))]
done.set()
for thread in threads:
    thread.join()
print(set(codes), flooded.proxy().echo("still").get())
flooded.stop()
"""


def test_forks_beside_busy_threads(server: PhoenixServer) -> None:
    assert run(BEGIN + STRESS, server.uri, "200") == (0, "{0} still\n", "")
    server.wait_for_connections(0)


# A file, since the children that are spawned import it.
MULTIPROCESSING = """
import multiprocessing

def work(uri, answers, inherited):
    if inherited is not None:
        try:
            inherited.tell("m")
        except ForkedError:
            answers.put("forked")
    answers.put(start(uri).proxy().echo("client").get())
    # Both are left to the exit.
    answers.put(ask(join(uri), "thread"))

if __name__ == "__main__":
    uri, method = sys.argv[1:]
    context = multiprocessing.get_context(method)
    parent = start(uri)
    answers = context.SimpleQueue()
    # References cannot be pickled: they could mean nothing elsewhere.
    inherited = parent if method == "fork" else None
    workers = [context.Process(target=work, args=(uri, answers, inherited)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print([worker.exitcode for worker in workers])
    while not answers.empty():
        print(answers.get())
    print(parent.proxy().echo("parent").get())
"""


FORKED: dict[str, list[str]] = {"fork": ["forked"], "spawn": [], "forkserver": []}


@pytest.mark.parametrize("method", FORKED)
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(BEGIN + MULTIPROCESSING)
    with RawServer(serve) as server:
        code, output, errors = run(program, server.uri, method)
        assert (code, errors) == (0, "")
        codes, *answers, parent = output.splitlines()
        assert (codes, parent) == ("[0, 0]", "parent")
        assert sorted(answers) == sorted(2 * ["client", "thread", *FORKED[method]])
        # Each of the five takes its leave: a child of `multiprocessing` ends by `os._exit`.
        assert [server.next_frame(opcode=CLOSE).code for _ in range(5)] == [1000] * 5


BEGUN_IN_A_HOOK = """
import multiprocessing
from slipstream_actor.actors import forks

forks.after_fork(lambda: start(sys.argv[1]))
worker = multiprocessing.get_context("fork").Process(target=print, args=("worked",))
worker.start()
worker.join()
print(worker.exitcode)
"""


def test_what_began_in_the_fork_itself_takes_its_leave_too() -> None:
    """`multiprocessing` forgets in a new child whatever was to be done at its end."""
    with RawServer(serve) as server:
        warm = BEGIN + "start(sys.argv[1]).stop()\n" + BEGUN_IN_A_HOOK
        assert run(warm, server.uri) == (0, "worked\n0\n", "")
        assert [server.next_frame(opcode=CLOSE).code for _ in range(2)] == [1000] * 2


BEGINNINGS = """
from slipstream_actor.actors import forks
begun = []

def begin():
    begun.append(start(sys.argv[1]).proxy().echo("begun").get())

def fail():
    raise ValueError("boom")

def forgotten():
    begun.append("forgotten")

forks.after_fork(fail)
forks.after_fork(forgotten)
forks.after_fork(begin)
forks.forget(forgotten)
forks.forget(forgotten)

def in_child():
    print(begun)
    # What is to begin in the child's children too is to be said in the child.
    assert child(lambda: print(begun)) == 0

print(child(in_child), begun)
"""


def test_what_begins_anew_in_a_child(server: PhoenixServer) -> None:
    code, output, errors = run(BEGIN + BEGINNINGS, server.uri)
    assert (code, output) == (0, "['begun']\n['begun']\n0 []\n")
    assert "ValueError: boom" in errors
    assert errors.count("Traceback") == 1


SUPERVISED = """
uri = sys.argv[1]
unmarked = Supervisor.start([ChildSpec(Client, uri, name="unmarked")])
nested = ChildSpec(
    Supervisor, [ChildSpec(Client, uri, name="nested")], restart_after_fork=True, id="nested"
)
spec = ChildSpec(Client, uri, name="one")
supervisor = Supervisor.start([spec, nested], name="all", restart_after_fork=True)
Supervisor.start_child("all", ChildSpec(Client, uri, name="two", id="two"))
NAMES = ["one", "two", "nested"]

def answers():
    for name in NAMES:
        wait_until_joined(name, "bench:a")
    return [whereis(name).proxy().echo(name).get() for name in NAMES]

def in_child():
    again = whereis("all")
    assert again.is_alive() and not supervisor.is_alive() and not unmarked.is_alive()
    ids = [c.id for c in Supervisor.which_children("all")]
    assert ids == [Client, "nested", "two"], ids
    print("child", answers(), flush=True)
    try:
        get_state("unmarked")
    except ActorDeadError as error:
        print("start the client after the fork" in str(error))
    assert child(lambda: print("grandchild", answers(), flush=True)) == 0
    whereis("all").stop()
    # One that has ended begins nowhere again.
    assert child(lambda: print("no more", whereis("all"), whereis("nested"), flush=True)) == 0

assert answers() == NAMES
assert child(in_child) == 0
print("parent", answers())
supervisor.stop()
unmarked.stop()
"""


def test_a_supervisor_begins_anew_in_a_child(server: PhoenixServer) -> None:
    code, output, errors = run(BEGIN + SUPERVISED, server.uri)
    names = "['one', 'two', 'nested']"
    assert errors == ""
    assert output.splitlines() == [
        f"child {names}",
        "True",
        f"grandchild {names}",
        "no more None None",
        f"parent {names}",
    ]
    assert code == 0


# A fork that runs none of Python's hooks, as uWSGI and programs that embed Python make them; other
# threads hold every lock that they can.
WITHOUT_HOOKS = """
import ctypes, select

held = threading.Event()

def hold():
    from slipstream_actor.actors import names
    import pykka
    with (
        names._names_lock,
        pykka.ActorRegistry._actor_refs_lock,
        connection.actor_inbox._wake_lock,
        connection.actor_inbox.room._lock,
        socket.channel_pid.actor_inbox.room._lock,
        socket.socket_pid.actor_inbox.buffer._lock,
    ):
        held.set()
        go_on.wait(60)

threading.Thread(target=hold, daemon=True).start()
held.wait(10)

def in_child():
    for attempt in attempts:
        try:
            exec(attempt, globals())
        except ForkedError:
            pass
        except BaseException as error:
            yield f"{attempt} {error!r}"
        else:
            yield f"{attempt} raised nothing"
    if cast(ref, "m") is not None or cast("name", "m") is not None or whereis("name") is not None:
        yield "cast"
    if ref.is_alive() or connection.is_alive() or socket.connected:
        yield "alive"
    one = join(uri)
    if not one.await_reply(one.push("bench:b", "echo")).ok:
        yield "a connection of its own"
    one.disconnect().await_disconnect()

read, write = os.pipe()
pid = ctypes.PyDLL(None).fork()
if not pid:
    os.write(write, ("; ".join(in_child()) or "all raised").encode())
    os._exit(0)
ready = select.select([read], [], [], 8)[0]
print(os.read(read, 65536).decode() if ready else "the child hangs")
if not ready:
    os.kill(pid, 9)
os.waitpid(pid, 0)
go_on.set()
assert future.get(timeout=5) and stopped.get(timeout=5)
assert socket.await_reply(socket.push("bench:b", "echo")).ok
socket.disconnect().await_disconnect()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the C library's fork")
@pytest.mark.parametrize("mark", ["a page", "the process id"])
def test_a_fork_without_hooks_is_noticed(server: PhoenixServer, mark: str) -> None:
    by_id = "from slipstream_actor.actors import forks\nforks._mark = forks.ProcessId()\n"
    begin = BEGIN + (by_id if mark == "the process id" else "")
    # Without its hooks the interpreter itself cannot promise that a child goes on: it hangs when
    # another thread was just waiting for the GIL. That is not what is tried here.
    outcomes = (run(begin + STARTED + WITHOUT_HOOKS, server.uri, *ATTEMPTS) for _ in range(3))
    outcome = next((each for each in outcomes if "the child hangs" not in each.output), None)
    assert outcome == (0, "all raised\n", "")


AT_ONCE = """
import ctypes
from slipstream_actor.actors import forks

handle = ClientHandle(Client, sys.argv[1], name="rooms")
done = []

def reset():
    time.sleep(0.2)
    done.append(True)

# The others come in the middle of what the first of them sees to.
forks.reset_in_child(reset)
pid = ctypes.PyDLL(None).fork()
if pid:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
else:
    gate = threading.Barrier(8)
    seen = []

    def use():
        gate.wait()
        forks.current_epoch()
        seen.append(done[:])
        try:
            assert handle.request("bench:a", "echo", timeout=30).get().ok
        except BaseException as error:
            seen.append(repr(error))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(seen, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the C library's fork")
def test_threads_that_notice_a_fork_at_once(server: PhoenixServer) -> None:
    """As those of a uWSGI worker do, at its first requests."""
    outcome = run(BEGIN + AT_ONCE, server.uri)
    assert outcome == (0, f"{[[True]] * 8}\n0\n", "")


IN_A_CALLBACK = """
import ctypes

ref = start(sys.argv[1])

def fork_here(socket):
    pid = ctypes.PyDLL(None).fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        ref.tell("m")
    except ForkedError:
        os._exit(7)
    os._exit(1)

print(ref.proxy().run(fork_here).get())
print(ref.proxy().run(lambda _: "parent").get())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the C library's fork")
def test_a_fork_without_hooks_in_a_callback(server: PhoenixServer) -> None:
    assert run(BEGIN + IN_A_CALLBACK, server.uri) == (0, "7\nparent\n", "")


DRIVEN = """
import ctypes
from slipstream_actor.actors import inbox as waits

waits.CLOSE = float("inf")  # However long the fork takes.
ref = start(sys.argv[1])

def echo(**payload):
    return request(ref, "bench:a", "echo", payload, timeout=30)

def ask():
    turn = get_state(ref).socket.channel_pid.actor_inbox.turn
    while not turn.parked:
        for n in range(20):
            echo(n=n).get()
    future = echo(last=True)
    pid = ctypes.PyDLL(None).fork()
    if not pid:
        try:
            future.get()
        except ForkedError:
            print("forked", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    print(future.get().response, echo(after=1).get().response)

thread = threading.Thread(target=ask)
thread.start()
thread.join()
ref.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the C library's fork")
def test_a_child_drives_no_connection_of_its_parent(server: PhoenixServer) -> None:
    """Not for a request either that the thread which forks has written itself."""
    outcome = run(BEGIN + DRIVEN, server.uri)
    assert outcome == (0, "forked\n{'last': True} {'after': 1}\n", "")
