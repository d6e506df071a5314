"""The directory in which processes serve themselves, as each framework's settings name it: every
process that forks from there has a socket of its own."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor import debug
from tests.support.clients import PATIENCE, eventually
from tests.support.programs import run
from tests.web.server import GUNICORN, WebServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone")

BEGIN = """
import os, sys
from slipstream_actor import ClientActor, ClientHandle, connect, debug
URI = "ws://test.invalid/socket/websocket"
class Client(ClientActor):
    def init(self, uri=URI):
        return connect(uri, test_mode=True)
def child(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, code
path = sys.argv[1]
def served(at=None):
    return os.path.exists(os.path.join(at or path, f"{os.getpid()}.sock"))
"""
# The same of each: nothing before the first use; then this process, and a child on its own.
USE = """
assert not os.path.exists(path)
handle.ref
assert served()
def used():
    assert not served()
    handle.ref
    assert served()
    leave()
child(used)
assert served()
"""
LEAVE = "def leave(): os.unlink(os.path.join(path, f'{os.getpid()}.sock'))\n"

SERVE_IN = "debug.serve_in(path); handle = ClientHandle(Client)"
FLASK = """
from flask import Flask
from slipstream_actor.contrib.flask import Slipstream
app = Flask("app")
app.config.update(SLIPSTREAM_CLIENT=Client, SLIPSTREAM_URI=URI, SLIPSTREAM_DEBUG_DIR=path)
handle = Slipstream(app)
"""
DJANGO = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["slipstream_actor.contrib.django"],
    SLIPSTREAM_CLIENTS={"chat": {"client": Client, "uri": URI}},
    SLIPSTREAM_DEBUG_DIR=path,
)
django.setup()
from slipstream_actor.contrib.django import clients
handle = clients["chat"]
"""
STARLETTE = """
from slipstream_actor.contrib.starlette import lifespan
handle = ClientHandle(Client)
lifespan(handle, debug_dir=path)
"""
CELERY = """
from celery import signals
from slipstream_actor.contrib.celery import stop_with_worker
handle = stop_with_worker(ClientHandle(Client), debug_dir=path)
def leave():
    # As a process of the prefork pool leaves: behind this, by `os._exit`.
    signals.worker_process_shutdown.send(None)
    assert not served()
"""
BRIDGE = """
from slipstream_actor.contrib.celery import Bridge, Route
handle = ClientHandle(Client)
Bridge(handle, [Route("task")], debug_dir=path)
"""


def runs(program: str, path: Path) -> None:
    outcome = run(BEGIN + program, str(path))
    assert outcome.code == 0, outcome.errors


@pytest.mark.parametrize(
    "setting",
    [SERVE_IN, FLASK, DJANGO, STARLETTE, CELERY, BRIDGE],
    ids=["serve_in", "flask", "django", "starlette", "celery", "bridge"],
)
def test_each_process_serves_itself(setting: str, tmp_path: Path) -> None:
    runs(LEAVE + setting + USE, tmp_path / "debug")
    # Whoever has left in order has left nothing behind.
    assert os.listdir(tmp_path / "debug") == []


def test_the_environment_outranks_what_a_program_says(tmp_path: Path) -> None:
    program = """
os.environ["SLIPSTREAM_DEBUG_DIR"] = other = path + "-other"
debug.serve_in(path)
ClientHandle(Client).ref
assert served(other) and not os.path.exists(path)
"""
    runs(program, tmp_path / "debug")


def test_it_may_be_said_late_and_often(tmp_path: Path) -> None:
    program = """
ClientHandle(Client).ref
for _ in range(2):
    debug.serve_in(path)
    assert os.listdir(path) == [f"{os.getpid()}.sock"]
debug.serve_in(path + "-other")
assert served(path + "-other") and served()
"""
    runs(program, tmp_path / "debug")


LATE = """
import os, sys
import slipstream_actor as slipstream
class Client(slipstream.ClientActor):
    def init(self):
        return slipstream.connect("ws://test.invalid/socket/websocket", test_mode=True)
path = sys.argv[1]
slipstream.ClientHandle(Client).ref
assert "slipstream_actor.debug" not in sys.modules
"""


@pytest.mark.parametrize(
    "said",
    [
        "slipstream.debug.serve_in(path)",
        "os.environ['SLIPSTREAM_DEBUG_DIR'] = path; slipstream.ClientHandle(Client).ref",
    ],
    ids=["serve_in", "environment"],
)
def test_it_may_be_said_before_anything_of_it_was_imported(said: str, tmp_path: Path) -> None:
    served = "assert os.listdir(path) == [f'{os.getpid()}.sock']"
    outcome = run(f"{LATE}{said}\n{served}\n", str(tmp_path / "debug"))
    assert outcome.code == 0, outcome.errors


def test_it_takes_a_path() -> None:
    with pytest.raises(TypeError):
        debug.serve_in(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        debug.serve_in(b"/tmp")  # type: ignore[arg-type]


APP = """
import os
from flask import Flask
from slipstream_actor import ClientActor, connect
from slipstream_actor.contrib.flask import Slipstream

class Client(ClientActor):
    def init(self, uri):
        return connect(uri, test_mode=True)

slipstream = Slipstream()

def create_app():
    app = Flask(__name__)
    app.config.update(
        SLIPSTREAM_CLIENT=Client,
        SLIPSTREAM_URI="ws://test.invalid/socket/websocket",
        SLIPSTREAM_DEBUG_DIR=os.environ["WHERE"],
    )
    slipstream.init_app(app)

    @app.get("/")
    def index():
        slipstream.ref
        return str(os.getpid())

    return app
"""


def asked(path: Path) -> Any:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(b'{"request": "report"}\n')
        with sock.makefile("rb") as lines:
            return json.loads(lines.readline())["result"]


def test_each_worker_behind_gunicorn(tmp_path: Path) -> None:
    """The application is imported before the fork."""
    (tmp_path / "preloaded.py").write_text(APP, encoding="utf-8")
    where = tmp_path / "debug"
    arguments = ("preloaded:create_app()", "--workers", "2", "--preload", "--chdir", str(tmp_path))
    with WebServer(GUNICORN, *arguments, environment={"WHERE": str(where)}) as web:
        web.wait_until_up("/")
        pids: set[int] = set()

        def both_have_answered() -> bool:
            pids.add(int(web.fetch("/").body))
            return len(pids) == 2

        eventually(both_have_answered, "a request to each worker")
        names = {f"{pid}.sock" for pid in pids}
        assert set(os.listdir(where)) == names
        for pid in pids:
            whole = asked(where / f"{pid}.sock")
            assert (whole["pid"], len(whole["clients"])) == (pid, 1)
        assert web.end().code == 0
    assert os.listdir(where) == []
