"""`run`: a client, a supervisor or a handle as a service, in processes of their own."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from slipstream_actor import ClientActor, ClientEndedError, run
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import eventually
from tests.support.programs import Outcome, Program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals there")

SERVICE = """
import _thread, logging, signal, sys, threading
from slipstream_actor import *

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
logging.getLogger("slipstream_actor.client").setLevel(logging.CRITICAL)
gate = threading.Event()

class Service(ClientActor):
    def init(self, uri):
        return connect(uri).join("bench:a")

    def handle_join(self, topic, response, socket):
        print("ready", flush=True)

    def handle_info(self, message, socket):
        if message == "end":
            return Stop("normal", socket)
        if message == "crash":
            raise RuntimeError("as asked")
        if message == "none":
            return Stop(None, socket)

    def terminate(self, reason, socket):
        print("terminate", reason, flush=True)
        if "slow" in sys.argv:
            gate.wait()

def told(service):
    for line in sys.stdin:
        if line == "signal\\n":
            # Noted, and nothing is woken: as of one that comes when a wait is about to begin.
            _thread.interrupt_main(signal.SIGTERM)
        else:
            service.tell(line.strip())

"""
BY_REF = (
    SERVICE
    + """
service = Service.start(sys.argv[1])
threading.Thread(target=told, args=(service,), daemon=True).start()
sys.exit(run(service))
"""
)
BY_NAME = SERVICE + 'Service.start(sys.argv[1], name="service")\nsys.exit(run("service"))\n'
BY_HANDLE = (
    SERVICE
    + """
handle = ClientHandle(Service, sys.argv[1])
subscription = handle.subscribe()
threading.Thread(target=told, args=(handle.ref,), daemon=True).start()
status = run(handle)
print(handle.status()["state"], handle.status()["restarts"])
try:
    print("over", next(subscription, None))
except ClientEndedError as error:
    print("ended for", repr(error.reason))
try:
    handle.ref
except ClientEndedError:
    print("not started again")
sys.exit(status)
"""
)
SUPERVISED = (
    SERVICE
    + """
children = [ChildSpec(Service, sys.argv[1], name="service")]
supervisor = Supervisor.start(children, max_restarts=0)
threading.Thread(target=told, args=(whereis("service"),), daemon=True).start()
sys.exit(run(supervisor))
"""
)


def ended_by(
    server: PhoenixServer, program: str, number: int | None, said: str = ""
) -> tuple[int, list[str], str]:
    """Run a service until it is ready, send it a signal or a line, and return how it ended."""
    with Program(program, server.uri) as service:
        assert service.line() == "ready"
        eventually(service.sleeps, "the service to wait")
        if number is None:
            service.say(said)
        else:
            service.process.send_signal(number)
        outcome = service.end()
    server.wait_for_connections(0)
    return outcome.code, outcome.output.splitlines(), outcome.errors


@pytest.mark.parametrize(
    "program", [BY_REF, BY_NAME, SUPERVISED], ids=["ref", "name", "supervisor"]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(server: PhoenixServer, program: str, number: int) -> None:
    assert ended_by(server, program, number) == (0, ["terminate shutdown"], "")


def test_a_signal_just_before_it_waits_ends_it_too(server: PhoenixServer) -> None:
    assert ended_by(server, BY_REF, None, "signal") == (0, ["terminate shutdown"], "")


def test_a_normal_end(server: PhoenixServer) -> None:
    assert ended_by(server, BY_REF, None, "end") == (0, ["terminate normal"], "")


def test_a_crash(server: PhoenixServer) -> None:
    assert ended_by(server, BY_REF, None, "crash") == (1, ["terminate as asked"], "")


def test_a_supervisor_that_gives_up(server: PhoenixServer) -> None:
    code, output, _ = ended_by(server, SUPERVISED, None, "crash")
    assert code == 1
    assert output[0] == "terminate as asked"


def test_a_handle_ends_with_its_client(server: PhoenixServer) -> None:
    """Nor is its end told as one that something follows."""
    assert ended_by(server, BY_HANDLE, signal.SIGTERM) == (
        0,
        ["terminate shutdown", "stopped 0", "over None", "not started again"],
        "",
    )


def test_a_handle_whose_client_crashes_is_for_the_service_manager(server: PhoenixServer) -> None:
    assert ended_by(server, BY_HANDLE, None, "crash") == (
        1,
        [
            "terminate as asked",
            "stopped 0",
            "ended for RuntimeError('as asked')",
            "not started again",
        ],
        "",
    )


def test_a_handle_whose_client_ends_for_none(server: PhoenixServer) -> None:
    assert ended_by(server, BY_HANDLE, None, "none") == (
        1,
        ["terminate None", "stopped 0", "ended for None", "not started again"],
        "",
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_second_signal_waits_no_longer(server: PhoenixServer, number: int, code: int) -> None:
    with Program(BY_REF, server.uri, "slow") as service:
        assert service.line() == "ready"
        eventually(service.sleeps, "the service to wait")
        service.process.send_signal(number)
        assert service.line() == "terminate shutdown"
        eventually(service.sleeps, "the service to wait again")
        service.process.send_signal(number)
        assert service.end() == Outcome(code, "", "")


SLOW_INIT = """
import signal, sys, time
from slipstream_actor import *

class Service(ClientActor):
    def init(self):
        print("init", flush=True)
        while signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            time.sleep(0.01)
        print("asked", flush=True)
        sys.stdin.readline()
        return self.socket

    def terminate(self, reason, socket):
        print("terminate", reason, flush=True)

sys.exit(run(ClientHandle(Service)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_init_ends_it_in_order_too(number: int) -> None:
    with Program(SLOW_INIT) as service:
        assert service.line() == "init"
        eventually(service.sleeps, "the service to wait")
        service.process.send_signal(number)
        assert service.line() == "asked"
        assert service.end() == Outcome(0, "terminate shutdown\n", "")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_second_signal_during_init_waits_no_longer(number: int, code: int) -> None:
    with Program(SLOW_INIT) as service:
        assert service.line() == "init"
        eventually(service.sleeps, "the service to wait")
        service.process.send_signal(signal.SIGTERM)
        assert service.line() == "asked"
        eventually(service.sleeps, "the service to wait again")
        service.process.send_signal(number)
        assert service.end().code == code


AGAIN = """
import signal, sys
from slipstream_actor import *

def mine(*_):
    print("mine")

class Idle(ClientActor):
    pass

signal.signal(signal.SIGTERM, mine)
ref = Idle.start()
ref.stop(block=False)
print(run(ref), signal.getsignal(signal.SIGTERM) is mine)
"""


def test_what_handled_the_signals_before_does_so_again() -> None:
    with Program(AGAIN) as program:
        assert program.end() == Outcome(0, "0 True\n", "")


def test_another_thread_than_the_main_one() -> None:
    ref = ClientActor.start()
    raised: list[BaseException] = []

    def serve() -> None:
        try:
            run(ref)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])
    ref.stop()


def test_a_client_that_is_not_there() -> None:
    with pytest.raises(ClientEndedError):
        run("nobody")
