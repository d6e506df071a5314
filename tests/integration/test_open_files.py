"""A process that may open no more files: what is done there for the first time imports nothing, or
does without."""

from __future__ import annotations

import os

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.support.programs import Program

pytest.importorskip("resource")

# A client and a script, each of which fails for the first time where no file is left to open.
AT_THE_LIMIT = """
import os, resource, sys, threading
from slipstream_actor import ClientActor, ConnectFailedError, connect, wait_until_joined

failed = threading.Event()

class Room(ClientActor):
    def init(self, uri):
        return connect(uri, reconnect_after_msec=[10], reconnect_jitter_msec=10).join("rooms:lobby")

    def handle_disconnect(self, reason, socket):
        socket = super().handle_disconnect(reason, socket)
        if not failed.is_set():
            print(reason.kind, reason.detail.rpartition(": ")[2])
        failed.set()
        return socket

    def terminate(self, reason, socket):
        print("ended:", reason)

def take_all():
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass

def give_back():
    while taken:
        os.close(taken.pop())

taken = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
"""

A_FAILURE = """
take_all()
ref = Room.start(sys.argv[1])
failed.wait(30)
give_back()
"""

A_CLIENT = f"""{A_FAILURE}
wait_until_joined(ref, "rooms:lobby", 30)
print("joined")
ref.stop()
"""

A_SCRIPT = """
take_all()
try:
    connect(sys.argv[1], reconnect_jitter_msec=10).await_connect()
except ConnectFailedError as error:
    print(error.reason.kind, error.reason.detail.rpartition(": ")[2])
    take_all()  # What the attempt has given back.
    socket = error.socket.reconnect()
give_back()
socket.await_connect().close()
print("joined")
print("ended: normal")
"""

A_REPORT = """
from slipstream_actor import debug
take_all()
found = debug.report()
give_back()
print(found["version"], debug.report()["version"] != found["version"])
"""


def output_of(source: str, uri: str = "", **environment: str) -> list[str]:
    with Program(AT_THE_LIMIT + source, uri, env={**os.environ, **environment}) as program:
        outcome = program.end()
    assert "Traceback" not in outcome.errors, outcome.errors
    return outcome.output.splitlines()


@pytest.mark.parametrize("source", [A_CLIENT, A_SCRIPT])
def test_a_first_failure_is_followed_by_another_attempt(
    phoenix_server: PhoenixServer, source: str
) -> None:
    first, *others = output_of(source, phoenix_server.uri)
    assert first.endswith(" Too many open files")
    assert others == ["joined", "ended: normal"]


def test_a_proxy_of_the_environment_that_cannot_be_asked_for_is_a_failed_attempt() -> None:
    """What knows of it is imported when there is one."""
    uri = "ws://phoenix.test/socket/websocket"
    proxies = {"NO_PROXY": "", "no_proxy": "", "http_proxy": "http://127.0.0.1:1"}
    output = output_of(f"{A_FAILURE}\nref.stop()", uri, **proxies)
    assert output == ["io Too many open files", "ended: normal"]


def test_a_report_is_made_all_the_same() -> None:
    assert output_of(A_REPORT) == ["0+unknown True"]
