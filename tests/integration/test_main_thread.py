"""The main thread drives the connection while it waits, and Ctrl-C comes behind each step.

In programs of their own: here a handler of the tests' timeout keeps it from that.
"""

from __future__ import annotations

import os

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.support.programs import run

BEGINNING = """
import logging, os, signal, sys, threading, time
from slipstream_actor import *
from slipstream_actor import debug
from slipstream_actor.client.asking import drain, open_requests

class Rooms(ClientActor):
    def init(self, uri):
        return connect(uri)
    def handle_connect(self, socket):
        return socket.join("bench:one")
    def handle_disconnect(self, reason, socket):
        raise AssertionError(reason)

uri = sys.argv[1]
ref = Rooms.start(uri)
wait_until_joined(ref, "bench:one", timeout=30)
plain = connect(uri).join("bench:two").await_join("bench:two", timeout=30)
inbox = ref._actor_weakref().socket.channel_pid.actor_inbox
plain_inbox = plain.channel_pid.actor_inbox

def ask(n, timeout=30):
    asked = request(ref, "bench:one", "echo", {"n": n}, timeout=timeout)
    assert asked.get() == Reply("ok", {"n": n})

def push(n):
    return plain.push("bench:two", "echo", {"n": n})

def awaited(pushed, n):
    try:
        assert plain.await_reply(pushed, timeout=30) == Reply("ok", {"n": n})
    except AwaitTimeoutError:
        turn = plain_inbox.turn
        print(debug.report(stacks=True), turn.parked, turn.lock.locked(), file=sys.stderr)
        raise

def ask_and_await(n):
    ask(n)
    awaited(push(n), n)

def warm(rounds=8):
    end = time.monotonic() + 60
    while True:
        for n in range(rounds):
            ask_and_await(n)
        if inbox.turn.parked and plain_inbox.turn.parked:
            return
        assert time.monotonic() < end

def threads(count=100):
    seen = []
    class Handler(logging.Handler):
        def emit(self, record):
            seen.append(record.threadName)
    logger, handler = logging.getLogger("slipstream_actor.frames"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    for n in range(count):
        ask_and_await(n)
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    return {"MainThread"} & set(seen)

def end():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    plain.disconnect()
    ref.stop()
"""


def program(text: str, server: PhoenixServer) -> None:
    whole = BEGINNING + text + "end()\nprint('done')\n"
    assert run(whole, server.uri, deadline=120.0) == (0, "done\n", "")


def test_it_writes_and_reads(server: PhoenixServer) -> None:
    program("warm()\nassert threads()\n", server)


@pytest.mark.parametrize("number", ["SIGALRM", "SIGINT", "SIGRTMIN"])
def test_it_does_not_where_another_handler_might_raise(server: PhoenixServer, number: str) -> None:
    text = f"""
warm()
former = signal.signal(signal.{number}, lambda *_: None)
assert not threads()
signal.signal(signal.{number}, former)
warm()
assert threads()
"""
    program(text, server)


@pytest.mark.parametrize("handler", ["SIG_IGN", "SIG_DFL"])
def test_it_does_where_ctrl_c_is_ignored(server: PhoenixServer, handler: str) -> None:
    text = f"""
signal.signal(signal.SIGINT, signal.{handler})
warm()
assert threads()
assert signal.signal(signal.SIGINT, signal.default_int_handler) is signal.{handler}
"""
    program(text, server)


def test_ctrl_c_ends_a_wait(server: PhoenixServer) -> None:
    text = """
warm()
for wait in (
    lambda: request(ref, "bench:one", "never", timeout=60).get(),
    lambda: plain.await_reply(plain.push("bench:two", "never", {}), timeout=60),
    lambda: plain.await_message("bench:two", timeout=60),
):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        wait()
    except KeyboardInterrupt:
        assert time.monotonic() - began < 8
    else:
        raise AssertionError("no interrupt")
"""
    program(text, server)


IN_A_STEP = """
def in_a_step(function):
    # Of a step of this thread's: on a busy machine the connection's own may do it.
    end = time.monotonic() + 60
    called = []
    def call(_):
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            called.append(True)
            function()
    while not called:
        assert time.monotonic() < end
        warm()
        future = request(ref, "bench:one", "echo", {"n": 1}, timeout=30)
        future.add_done_callback(call)
        future.get()
"""


def test_a_second_ctrl_c_ends_a_callback_that_hangs(server: PhoenixServer) -> None:
    text = """
def hang():
    for seconds in (0.3, 1.6):
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(60)

began = time.monotonic()
try:
    in_a_step(hang)
except KeyboardInterrupt:
    assert time.monotonic() - began < 30
else:
    raise AssertionError("no interrupt")
"""
    program(IN_A_STEP + text, server)


def test_other_threads_drive_on_behind_a_ctrl_c_in_a_step(server: PhoenixServer) -> None:
    text = """
done = threading.Event()

def ask_elsewhere():
    with connect(uri).join("bench:two").await_join("bench:two", timeout=30) as elsewhere:
        driven = elsewhere.channel_pid.actor_inbox
        end = time.monotonic() + 60
        n = parked = 0
        while parked < 100 and time.monotonic() < end:
            n += 1
            pushed = elsewhere.push("bench:two", "echo", {"n": n})
            assert elsewhere.await_reply(pushed, timeout=15) == Reply("ok", {"n": n})
            parked += driven.turn.parked
    if parked == 100:
        done.set()

def hold():
    signal.raise_signal(signal.SIGINT)
    thread = threading.Thread(target=ask_elsewhere)
    thread.start()
    thread.join()

try:
    in_a_step(hold)
except KeyboardInterrupt:
    assert done.is_set()
else:
    raise AssertionError("no interrupt")
"""
    program(IN_A_STEP + text, server)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_that_another_thread_forks_has_the_usual_handler(server: PhoenixServer) -> None:
    text = """
codes, done = [], threading.Event()

def fork():
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    pid = os.fork()
    if pid == 0:
        os._exit(0 if signal.getsignal(signal.SIGINT) is signal.default_int_handler else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    done.set()

def hold():
    threading.Thread(target=fork).start()
    assert done.wait(30)

in_a_step(hold)
assert codes == [0], codes
"""
    program(IN_A_STEP + text, server)


AT_EACH_POINT = """
interrupted = 0

def pressed_at(point, function, *args):
    # Where Python runs handlers: behind calls of C, and at the beginning of functions.
    passed = 0
    def profile(frame, event, argument):
        nonlocal passed
        if event in ("call", "c_return"):
            passed += 1
            if passed == point:
                signal.raise_signal(signal.SIGINT)
    sys.setprofile(profile)
    try:
        return function(*args)
    finally:
        sys.setprofile(None)

def idle():
    drain(ref, 30)
    assert not open_requests(ref)
"""


def test_ctrl_c_in_the_middle_of_a_request_harms_nothing(server: PhoenixServer) -> None:
    text = """
for point in range(1, 220):
    warm()
    try:
        pressed_at(point, ask, point, 0.5)
    except KeyboardInterrupt:
        interrupted += 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    idle()
assert 100 < interrupted < 219, interrupted
assert inbox is ref._actor_weakref().socket.channel_pid.actor_inbox
"""
    program(AT_EACH_POINT + text, server)


def test_ctrl_c_in_the_middle_of_an_await_loses_no_reply(server: PhoenixServer) -> None:
    text = """
for point in range(1, 200):
    warm()
    pushed = push(point)
    try:
        pressed_at(point, awaited, pushed, point)
    except KeyboardInterrupt:
        interrupted += 1
        awaited(pushed, point)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert 50 < interrupted < 199, interrupted
for point in range(1, 200):
    warm()
    try:
        pressed_at(point, push, point)
    except KeyboardInterrupt:
        pass
assert plain_inbox.turn.parked
assert plain.connected
"""
    program(AT_EACH_POINT + text, server)
