"""The end of a program that leaves its clients running: prompt, silent, and with a close frame."""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from slipstream_actor.actors.turn import EXIT_HAS_THREADS
from tests.support.clients import eventually
from tests.support.programs import DEADLINE, Outcome, Program, run
from tests.support.raw_server import CLOSE, Peer, RawServer, closing, switching

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a SIGTERM there is a kill")

# What an interpreter and a busy machine may need besides what the clients are given.
SLACK = 5.0

BEGIN = """
import os, signal, sys, threading, time
from slipstream_actor import *
from slipstream_actor import debug

uri = sys.argv[1]
options = {"shutdown_timeout_msec": int(sys.argv[2])} if sys.argv[2:] else {}

class Client(ClientActor):
    def init(self, uri=uri, **more):
        return connect(uri, **options, **more).join("room")

    def handle_call(self, message, from_, socket):
        return Next()

    def handle_cast(self, message, socket):
        message(socket)

    def terminate(self, reason, socket):
        print("bye", reason, flush=True)

def start(**more):
    ref = Client.start(**more)
    wait_until_joined(ref, "room")
    return ref

def never(*_):
    reached.set()
    threading.Event().wait()

reached = threading.Event()
"""

# What is left running, and how many connections of it get a close frame.
LEFT = {
    "a client": ("ref = start()", 1),
    "many clients": ("refs = [start() for _ in range(30)]; ref = refs[0]", 30),
    "a client in a callback that never returns": (
        """
ref = start()
cast(ref, never)
reached.wait(10)
""",
        1,
    ),
    "a client in a terminate that never returns": (
        """
Client.terminate = never
ref = start()
ref.stop(block=False)
reached.wait(10)
""",
        1,
    ),
    "a client in an await": (
        """
def wait_for_ever(socket):
    ref = socket.push("room", "never")
    reached.set()
    socket.await_reply(ref, timeout=None)

ref = start()
cast(ref, wait_for_ever)
reached.wait(10)
""",
        1,
    ),
    "a client in its handshake": ('ref = Client.start(uri.replace("/socket", "/mute"))', 0),
    "a client that cannot connect": (
        "import logging; logging.disable(logging.WARNING)"  # It would say that it cannot.
        '; ref = Client.start("ws://127.0.0.1:1")',
        0,
    ),
    "the main thread's socket": ("socket = connect(uri).await_connect(); ref = start()", 2),
    "a thread with a socket": (
        """
def own():
    socket = connect(uri, **options).join("room").await_join("room")
    reached.set()
    socket.await_message(timeout=None)

threading.Thread(target=own, daemon=True).start()
ref = start()
reached.wait(10)
""",
        2,
    ),
    "threads that push": (
        """
def ask_again(socket, ref):
    ref = socket.push("room", "never")
    while True:
        try:
            socket.await_reply(ref, timeout=0)
        except AwaitTimeoutError:
            asked_again.set()
            time.sleep(0.001)

def push(then, pushed):
    socket = connect(uri, **options).join("room").await_join("room")
    while True:
        then(socket, socket.push("room", "event"))
        pushed.set()

# Each says so itself: the others go on pushing.
asked_again = threading.Event()
for then, pushed in (
    (lambda *_: time.sleep(0.001), threading.Event()),
    (Socket.await_reply, threading.Event()),
    (ask_again, asked_again),
):
    threading.Thread(target=push, args=(then, pushed), daemon=True).start()
    assert pushed.wait(10)
ref = start()
""",
        4,
    ),
}

LEAVE = """
def leave(*_):
    raise SystemExit(5)

signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
"""

# How the program ends: by itself or with a SIGTERM from outside; its code; its last words.
ENDS: dict[str, tuple[str, int, str]] = {
    "the end of the script": ("", 0, ""),
    "sys.exit": ("sys.exit(3)", 3, ""),
    "an exception": ('raise ValueError("boom")', 1, "ValueError: boom"),
    "SIGTERM in wait": ("wait(ref)", 5, ""),
    "SIGTERM in call": ("call(ref, 'm', timeout=None)", 5, ""),
    "SIGTERM in sleep": ("time.sleep(60)", 5, ""),
    "SIGTERM in an event's wait": ("threading.Event().wait()", 5, ""),
    "SIGTERM in await_message": ("new.await_message(timeout=None)", 5, ""),
    "SIGTERM in start": ("Client.init = never; Client.start()", 5, ""),
}


@pytest.fixture
def closes() -> queue.Queue[float]:
    """When the close frames of clients came."""
    return queue.Queue()


@pytest.fixture
def server(closes: queue.Queue[float]) -> Iterator[RawServer]:
    """A server that answers every event but one, and no request for /mute."""

    def script(peer: Peer) -> None:
        request = peer.request()
        if "/mute" in request.line:
            peer.hold()
            return
        peer.send(switching(request))
        while (came := peer.frame()).opcode != CLOSE:
            if came.event != "never":
                peer.reply(came.message)
        assert came.code == 1000
        closes.put(time.monotonic())
        peer.send(closing(1000))

    with RawServer(script) as server:
        yield server


def leaving(program: Program, end: str) -> tuple[Outcome, float]:
    """Have a program that is ready end; return how it did, and how long that took."""
    assert program.line() == "ready"
    if end.startswith("SIGTERM"):
        eventually(program.sleeps, "its wait")
        program.terminate()
    started = time.monotonic()
    outcome = program.end()
    return outcome, time.monotonic() - started


def taken(closes: queue.Queue[float], count: int) -> list[float]:
    """Return when the close frames came, of which there are `count`: the server reads them yet."""
    times = [closes.get(timeout=DEADLINE) for _ in range(count)]
    assert closes.empty()
    return times


@pytest.mark.parametrize("end", ["the end of the script", "SIGTERM in wait"])
@pytest.mark.parametrize("left", LEFT)
def test_what_is_left_running(
    left: str, end: str, server: RawServer, closes: queue.Queue[float]
) -> None:
    begin, count = LEFT[left]
    do, code, _ = ENDS[end]
    with Program(BEGIN + begin + LEAVE + do, server.uri) as program:
        outcome, seconds = leaving(program, end)
    assert (outcome.code, outcome.errors) == (code, "")
    assert seconds < 2.0 + SLACK
    assert len(taken(closes, count)) == count


@pytest.mark.parametrize("end", ENDS)
def test_how_a_program_ends(end: str, server: RawServer, closes: queue.Queue[float]) -> None:
    do, code, last_words = ENDS[end]
    begin = "ref, new = start(), connect(uri).await_connect()"
    with Program(BEGIN + begin + LEAVE + do, server.uri) as program:
        outcome, seconds = leaving(program, end)
    assert outcome.code == code
    assert outcome.output.splitlines() == ["bye normal"]
    assert (outcome.errors.splitlines() or [""])[-1] == last_words
    assert outcome.errors.count("Traceback") == (1 if last_words else 0)
    assert seconds < 2.0 + SLACK
    assert len(taken(closes, 2)) == 2


TIMES = """
def stick(**more):
    ref = start(**more)
    reached.clear()
    cast(ref, never)
    reached.wait(10)
    return ref

for msec in times:
    stick(shutdown_timeout_msec=msec)
"""


@pytest.mark.parametrize("times", [(200, 1200), (1200, 200)])
def test_each_client_has_its_own_time(
    times: tuple[int, int], server: RawServer, closes: queue.Queue[float]
) -> None:
    """Whichever was started first."""
    with Program(f"{BEGIN}\ntimes = {times}\n{TIMES}{LEAVE}", server.uri) as program:
        outcome, seconds = leaving(program, "the end of the script")
    assert outcome == (0, "", "")
    first, second = taken(closes, 2)
    assert second - first > 0.5
    assert seconds < 1.2 + SLACK


TOLD = """
import atexit

def say():
    print(socket.await_disconnect(timeout=10).connected, flush=True)

# Behind our own, which is registered when the first connection is made.
atexit.register(say)
socket = connect(uri).await_connect()
"""


def test_the_thread_that_exits_is_told_of_the_end(
    server: RawServer, closes: queue.Queue[float]
) -> None:
    """It is the only one that can still do something with it: others are held still."""
    with Program(BEGIN + TOLD + LEAVE, server.uri) as program:
        outcome, _ = leaving(program, "the end of the script")
    assert outcome == (0, "False\n", "")
    assert len(taken(closes, 1)) == 1


SLOW = """
import logging

logging.disable(logging.ERROR)  # It would say that it has crashed.

class Slow(Client):
    def handle_call(self, message, from_, socket):
        return Stop("normal", socket, answer="bye")

    def terminate(self, reason, socket):
        reached.set()
        threading.Event().wait(0.2)
        socket.await_reply(socket.push("room", "event"))
        print("bye", type(reason).__name__, flush=True)

def start_slow():
    ref = Slow.start()
    wait_until_joined(ref, "room")
    return ref

def fail(socket):
    raise ValueError
"""

# How a client is told to end before the program does, and who is told for what.
ENDING = {
    "a stop that nobody waits for": ("start_slow().stop(block=False)", "str"),
    "a stop that is waited for too shortly": (
        """
try:
    start_slow().stop(timeout=0.01)
except AwaitTimeoutError:
    pass
""",
        "str",
    ),
    "a Stop that answers": (
        "threading.Thread(target=call, args=(start_slow(), 'quit'), daemon=True).start()",
        "str",
    ),
    "a crash": ("cast(start_slow(), fail)", "ValueError"),
    "a supervisor": (
        """
supervisor = Supervisor.start([ChildSpec(Slow, name="child")])
wait_until_joined("child", "room")
supervisor.stop(block=False)
""",
        "str",
    ),
}


@pytest.mark.parametrize("how", ENDING)
def test_a_client_that_is_ending_is_waited_for(
    how: str, server: RawServer, closes: queue.Queue[float]
) -> None:
    end, reason = ENDING[how]
    with Program(BEGIN + SLOW + end + "\nreached.wait(10)" + LEAVE, server.uri) as program:
        outcome, _ = leaving(program, "the end of the script")
    assert outcome == (0, f"bye {reason}\n", "")
    assert len(taken(closes, 1)) == 1


CLOSING = """
options["close_timeout_msec"] = 20_000

def push(socket):
    socket.push("room", "begin")
    # More than a system takes in for a server that does not read.
    socket.push("room", "last", {"text": "x" * 12_000_000})
    return socket

def join():
    return connect(uri, **options).join("room").await_join("room")

def again(socket):
    return socket.connect(uri.replace("/socket", "/other"), **options)

class Pushing(Client):
    def handle_cast(self, then, socket):
        socket = then(push(socket))
        reached.set()
        return socket

    def terminate(self, reason, socket):
        pass

def own(then):
    ref = Pushing.start()
    wait_until_joined(ref, "room")
    cast(ref, then)
    reached.wait(10)

def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
"""

EXITS = """
import atexit

# Ahead of our own, which was registered when the first connection was made.
atexit.register(print, "exits", flush=True)
"""

# How a connection that has yet to write what was pushed is left to be closed.
CLOSED = {
    "a disconnect": "socket = push(join()).disconnect()",
    "a stop": "socket = push(join()); socket.channel_pid.stop(block=False)",
    "a thread that ends": "in_a_thread(lambda: push(join()).disconnect())",
    "a client's disconnect": "own(Socket.disconnect)",
    "a client's new connection": "own(again)",
    "a client's reconnect": "own(lambda socket: socket.reconnect(delay=0))",
}


@pytest.mark.parametrize("how", CLOSED)
def test_what_was_pushed_before_a_close_is_written(how: str) -> None:
    exits, sizes, codes = threading.Event(), queue.Queue[int](), queue.Queue[int | None]()

    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        peer.upgrade()
        while (came := peer.frame()).opcode != CLOSE:
            if came.event == "phx_join":
                peer.reply(came.message)
            elif came.event == "begin":
                peer.wait_for(exits)
            elif came.event == "last":
                sizes.put(len(came.payload))
                codes.put(peer.frame().code)
                break
        peer.send(closing(1000))

    begin = BEGIN + CLOSING + CLOSED[how] + EXITS
    with RawServer(script) as server, Program(begin, server.uri, "20000") as program:
        assert program.line() == "exits"
        exits.set()
        assert sizes.get(timeout=DEADLINE) > 12_000_000
        assert codes.get(timeout=DEADLINE) == 1000
        outcome = program.end()
    assert (outcome.code, outcome.output) == (0, "")


UNANSWERED = "socket = connect(uri, **options).await_connect().disconnect()"


def test_a_close_that_is_not_answered_holds_no_program_up(closes: queue.Queue[float]) -> None:

    def script(peer: Peer) -> None:
        peer.upgrade()
        assert peer.frame().code == 1000
        closes.put(time.monotonic())
        peer.hold()

    begin = BEGIN + "options['close_timeout_msec'] = 60_000\n" + UNANSWERED + LEAVE
    with RawServer(script) as server, Program(begin, server.uri, "200") as program:
        outcome, seconds = leaving(program, "the end of the script")
    assert outcome == (0, "", "")
    assert seconds < 0.2 + SLACK
    assert len(taken(closes, 1)) == 1


ORDER = """
class First(Client):
    stop_order = 0

    def terminate(self, reason, socket):
        threading.Event().wait(0.2)
        print("bye first", flush=True)

refs = [start(), First.start()]
wait_until_joined(refs[1], "room")
"""


def test_supervisors_are_stopped_before_their_children(server: RawServer) -> None:
    with Program(BEGIN + ORDER + LEAVE, server.uri) as program:
        outcome, _ = leaving(program, "the end of the script")
    assert outcome == (0, "bye first\nbye normal\n", "")


PATIENT = """
def slow(socket):
    reached.set()
    threading.Event().wait(2.2)

ref = start({options})
cast(ref, slow)
reached.wait(10)
"""


@pytest.mark.parametrize(
    "options",
    [
        "shutdown_timeout_msec=20_000",
        # For ever, as it were: longer than any lock can be told to wait.
        "shutdown_timeout_msec=sys.maxsize, close_timeout_msec=sys.maxsize",
    ],
)
def test_a_client_that_is_given_more_time_takes_it(
    server: RawServer, closes: queue.Queue[float], options: str
) -> None:
    patient = PATIENT.format(options=options)
    with Program(BEGIN + patient + LEAVE, server.uri) as program:
        outcome, _ = leaving(program, "the end of the script")
    assert outcome == (0, "bye normal\n", "")
    assert len(taken(closes, 1)) == 1


IMPATIENT = """
refs = [start(shutdown_timeout_msec=25_000), start()]
cast(refs[0], never)
reached.wait(10)
"""


def test_a_second_signal_ends_the_waiting(server: RawServer, closes: queue.Queue[float]) -> None:
    end = "SIGTERM in wait"
    with Program(BEGIN + IMPATIENT + LEAVE + "wait(refs[0])", server.uri) as program:
        assert program.line() == "ready"
        program.terminate()
        # The one that can has taken its leave; the other one is still waited for.
        assert program.line() == "bye normal"
        closes.get(timeout=DEADLINE)
        started = time.monotonic()
        program.terminate()
        outcome = program.end()
        assert (outcome.code, outcome.errors) == (ENDS[end][1], "")
        assert time.monotonic() - started < 15.0


THREAD_THAT_ENDS = """
def own():
    connect(uri).join("room").await_join("room")

thread = threading.Thread(target=own)
thread.start()
thread.join()
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_thread_that_ends_closes_its_connection(
    server: RawServer, closes: queue.Queue[float]
) -> None:
    """While the program goes on."""
    with Program(BEGIN + THREAD_THAT_ENDS, server.uri) as program:
        assert program.line() == "ready"
        closes.get(timeout=DEADLINE)
        program.say()
        code, output, errors = program.end()
        assert (code, output) == (0, "")
        assert "ResourceWarning: the last socket of connection of thread" in errors


# Daemon threads that are in the middle of anything when the program ends.
BUSY = {
    "with connections": """
def busy():
    while True:
        socket = connect(uri).join("room").await_join("room")
        socket.await_reply(socket.push("room", "event"))
        socket.ping()
        socket.leave("room").await_leave("room").disconnect().await_disconnect()
        reached.set()
""",
    "with pings": """
def busy():
    socket = connect(uri).await_connect()
    while True:
        socket.ping()
        reached.set()
""",
    "with threads that end": """
def one():
    connect(uri).await_connect().disconnect()

def busy():
    while True:
        thread = threading.Thread(target=one, daemon=True)
        thread.start()
        thread.join()
        reached.set()
""",
    "with clients": """
def busy():
    while True:
        ref = start()
        ref.proxy().socket.get()
        get_state(ref)
        ref.stop()
        reached.set()
""",
    "with one client": """
shared = start(name="shared")

def busy():
    while True:
        get_state("shared")
        shared.proxy().socket.get().push("room", "event")
        shared.tell("m")
        wait_until_joined(shared, "room")
        reached.set()
""",
    "with requests": """
shared = start()

def busy():
    while True:
        request(shared, "room", "event").get()
        with subscribe(shared, "room"):
            reached.set()
""",
    "with requests that wait": """
shared = start()

def busy():
    awaited = request(shared, "room", "never", timeout=None)
    reached.set()
    awaited.map(str).get()
""",
    "with a handle": """
handle = ClientHandle(Client)
handle.wait_until_joined("room")

def busy():
    while True:
        handle.request("room", "event").get()
        handle.wait_until_joined("room")
        handle.ref
        reached.set()
""",
    "with a subscription": """
handle = ClientHandle(Client)
messages = handle.subscribe()

def busy():
    reached.set()
    for message in messages:
        pass
    raise ValueError
""",
    "with what looks inside": """
shared = start()

def busy():
    while True:
        debug.get_status(shared)
        debug.trace(shared, True, lambda line: None)
        debug.replace_state(shared, lambda socket: socket)
        reached.set()
""",
}


@pytest.mark.parametrize("busy", BUSY)
def test_what_plain_threads_are_at_is_not_told(busy: str, server: RawServer) -> None:
    """Neither what the exit has ended, nor what can begin no more."""
    threads = """
for _ in range(4):
    threading.Thread(target=busy, daemon=True).start()
reached.wait(10)
"""
    quiet = "Client.handle_info = Client.terminate = lambda *_: None\n"
    for _ in range(3):
        with Program(BEGIN + quiet + BUSY[busy] + threads, server.uri) as program:
            outcome = program.end()
        assert (outcome.code, outcome.errors) == (0, "")


# A daemon thread that the program joins at its exit, behind ours: that is registered when the first
# client is started. So does who stops a `logging.handlers.QueueListener`.
JOINED = """
import atexit

def work():
    is_over.wait()
    try:
        use()
    except ClientEndedError:
        print("told", flush=True)

def join():
    is_over.set()
    thread.join()

is_over = threading.Event()
thread = threading.Thread(target=work, daemon=True)
thread.start()
atexit.register(join)
ref = start()
"""

USES = {
    "a client": "ref.proxy()",
    "a request": 'request(ref, "room", "event").get()',
    "a method": "proxy.socket.get()",
}


@pytest.mark.parametrize("use", USES)
def test_a_thread_that_the_program_waits_for_goes_on_when_the_clients_have_ended(
    use: str, server: RawServer
) -> None:
    uses = f"proxy = ref.proxy()\ndef use():\n    {USES[use]}\n"
    with Program(BEGIN + JOINED + uses + LEAVE, server.uri) as program:
        outcome, seconds = leaving(program, "the end of the script")
    assert outcome == (0, "bye normal\ntold\n", "")
    assert seconds < 2.0 + SLACK


def test_a_handle_starts_nothing_again_at_the_exit() -> None:
    source = "from slipstream_actor import ClientActor, ClientHandle\nClientHandle(ClientActor).ref"
    assert run(source) == Outcome(0, "", "")


# The exit waits longer for the one than the other stays away.
RESTARTING = """
import logging
from slipstream_actor.actors import here

logging.disable(logging.ERROR)

class Brief(Client):
    def init(self):
        print("init at the exit" if here.exiting else "init", flush=True)
        return super().init()

    def handle_info(self, message, socket):
        raise ValueError(message)

cast(start(), never)
reached.wait(10)
handle = ClientHandle(Brief)
handle.wait_until_joined("room")
ref = handle.ref
ref.tell("fail")
wait(ref)
"""


def test_nor_when_it_is_about_to(server: RawServer, closes: queue.Queue[float]) -> None:
    with Program(BEGIN + RESTARTING, server.uri) as program:
        outcome = program.end()
    assert (outcome.code, outcome.errors) == (0, "")
    assert "init at the exit" not in outcome.output


# Behind our own end too.
DRAINED = """
import atexit

def drain():
    for message in messages:
        pass
    print("drained", flush=True)

atexit.register(drain)
"""

ITS_CLIENT = {
    "runs": "handle = ClientHandle(Client)\nhandle.wait_until_joined('room')\n",
    "is to be started again": RESTARTING,
}


@pytest.mark.parametrize("client", ITS_CLIENT)
def test_nothing_comes_of_a_handles_subscription_behind_the_exit(
    client: str, server: RawServer
) -> None:
    subscribes = "messages = handle.subscribe()\n"
    with Program(BEGIN + DRAINED + ITS_CLIENT[client] + subscribes, server.uri) as program:
        outcome = program.end()
    assert (outcome.code, outcome.errors) == (0, "")
    assert outcome.output.endswith("drained\n")


RESTARTING_LATE = """
from slipstream_actor.supervision import life

life.FIRST_DELAY = life.LONGEST_DELAY = 600.0
handle = ClientHandle(Client)
ref = handle.ref
messages = handle.subscribe()
replies = [request(handle, "room", "never", timeout=None)]
ref.tell("boom")
wait(ref)
"""

ANSWERED = """
import atexit, logging

logging.disable(logging.ERROR)

def fail(self, message, socket):
    raise ValueError(message)

def drain():
    for message in messages:
        pass
    for reply in (*replies, handle.request("room", "never", timeout=None)):
        try:
            reply.get()
        except SlipstreamError as error:
            print(type(error).__name__, flush=True)

Client.handle_info = fail
atexit.register(drain)
"""


def test_nobody_waits_at_the_exit_for_the_time_of_the_next_start(server: RawServer) -> None:
    with Program(BEGIN + ANSWERED + RESTARTING_LATE, server.uri) as program:
        outcome = program.end()
    assert (outcome.code, outcome.errors) == (0, "")
    assert outcome.output.splitlines()[-2:] == ["ClientEndedError", "ClientEndedError"]


# Behind our own end as well.
SUBSCRIBED = """
import atexit

def subscribe_late():
    try:
        for message in handle.subscribe():
            pass
    except ClientEndedError as error:
        print("refused", error.reason, flush=True)

atexit.register(subscribe_late)
"""


def test_who_subscribes_to_a_handle_behind_the_exit_is_told_of_it(server: RawServer) -> None:
    with Program(BEGIN + SUBSCRIBED + ITS_CLIENT["runs"], server.uri) as program:
        outcome = program.end()
    assert outcome == (0, "bye normal\nrefused shutdown\n", "")


BEGUN_AT_THE_EXIT = {
    "a client": "start()",
    "a handle's": "ClientHandle(Client).wait_until_joined('room')",
    "a socket": "global own; own = connect(uri).await_connect(); print('bye normal')",
}


@pytest.mark.skipif(not EXIT_HAS_THREADS, reason="this Python's exit can start no threads")
@pytest.mark.parametrize("before", [0, 1], ids=["the first", "behind our own end"])
@pytest.mark.parametrize("begun", BEGUN_AT_THE_EXIT)
def test_what_a_function_of_the_exit_starts_is_stopped(
    begun: str, before: int, server: RawServer, closes: queue.Queue[float]
) -> None:
    """What is registered for the exit in the middle of it is not called."""
    begin = f"""
import atexit

def begin():
    {BEGUN_AT_THE_EXIT[begun]}

atexit.register(begin)
{"start()" * before}
"""
    with Program(BEGIN + begin, server.uri) as program:
        outcome = program.end()
    assert outcome == (0, "bye normal\n" * (1 + before), "")
    assert len(taken(closes, 1 + before)) == 1 + before


LATE = """
import threading

def late():
    threading.main_thread().join()
    import slipstream_actor
    print("imported")

threading.Thread(target=late).start()
"""


def test_the_library_may_be_imported_when_the_main_thread_is_over() -> None:
    """By another thread, for which the interpreter waits."""
    assert run(LATE) == (0, "imported\n", "")
