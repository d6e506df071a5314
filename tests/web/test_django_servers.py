"""The Django example under its servers: healthy, with Phoenix away at boot, and reloading."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import eventually
from tests.web.phoenix import Phoenix
from tests.web.server import GUNICORN, UWSGI, WebServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone")

WSGI = "examples.django_app.wsgi"
SAY, SLOW = b'{"body": "hello"}', b'{"body": "slow"}'
# A program of its own: it starts itself again to reload.
RUNSERVER = """
import os, sys
manage = [sys.executable, "-m", "examples.django_app.manage", "runserver", "127.0.0.1:{port}"]
os.execv(sys.executable, [*manage, *sys.argv[1:]])
"""
SERVERS = {
    "gunicorn sync": (GUNICORN, ["--workers", "2", "--preload", WSGI]),
    "gunicorn gthread": (
        GUNICORN,
        ["--workers", "2", "--worker-class", "gthread", "--threads", "8", WSGI],
    ),
    "uWSGI": (UWSGI, ["--module", WSGI, "--processes", "2", "--threads", "4"]),
    "runserver": (RUNSERVER, ["--noreload"]),
}
# Each server's processes that answer.
WORKERS = {"runserver": 1}


@pytest.fixture
def phoenix() -> Iterator[Phoenix]:
    with Phoenix() as phoenix:
        yield phoenix


def web_server(name: str, phoenix: Phoenix) -> WebServer:
    program, arguments = SERVERS[name]
    return WebServer(program, *arguments, environment={"PHOENIX_URI": phoenix.uri})


@pytest.mark.parametrize("name", SERVERS)
def test_healthy(name: str, phoenix: Phoenix) -> None:
    phoenix.start()
    with web_server(name, phoenix) as web:
        web.wait_until_up("/health")
        workers = WORKERS.get(name, 2)
        assert web.have_each_connect(phoenix.port, workers, "/messages", SAY)
        load = web.load("/messages", SAY, requests=300, at_once=16)
        assert load.statuses == {201: 300}, load.surprises(201)[:3]
        assert phoenix.connections == workers
        web.program.terminate()
        eventually(lambda: phoenix.connections == 0, "the clients' leave")


@pytest.mark.parametrize("name", SERVERS)
def test_phoenix_away_at_boot(name: str, phoenix: Phoenix) -> None:
    with web_server(name, phoenix) as web:
        web.wait_until_up("/health")
        answer = web.post("/messages", SAY)
        assert answer.status == 503, answer
        assert answer.seconds < 10.0
        phoenix.start()
        eventually(lambda: web.post("/messages", SAY).status == 201, "its recovery")


@pytest.mark.parametrize("name", ["gunicorn sync", "gunicorn gthread", "uWSGI"])
def test_the_end_lets_a_view_finish(name: str, phoenix: Phoenix) -> None:
    """SIGTERM comes while a view waits for its reply."""
    phoenix.start()
    with web_server(name, phoenix) as web:
        web.wait_until_up("/health")
        assert web.post("/messages", SAY).status == 201
        with web.loading("/messages", SLOW, requests=1, at_once=1) as answers:
            eventually(lambda: phoenix.slow == 1, "the push")
            web.program.terminate()
            assert answers.get(timeout=30.0).status == 201
        assert web.program.end().code == 0
        eventually(lambda: phoenix.connections == 0, "the clients' leave")


def test_reloading_leaves_one_connection(phoenix: Phoenix, tmp_path: Path) -> None:
    """`runserver` starts a process that watches, and another one for each state of the code."""
    watched = tmp_path / "watched.py"
    watched.write_text("n = 0\n")
    (tmp_path / "reloading_settings.py").write_text(
        "from django.utils.autoreload import StatReloader\n"
        "from examples.django_app.settings import *\n"
        "import watched\n"
        "StatReloader.SLEEP_TIME = 0.1\n"
    )
    phoenix.start()
    environment = {
        "PHOENIX_URI": phoenix.uri,
        "DJANGO_SETTINGS_MODULE": "reloading_settings",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with WebServer(RUNSERVER, environment=environment) as web:
        web.wait_until_up("/health")
        changes = itertools.count(1)
        served_by: set[int] = set()

        def reloaded() -> bool:
            # Again and again: a change before the new process looks first is none to it.
            change = next(changes)
            watched.write_text(f"n = {change}\n")
            os.utime(watched, (2e9 + change, 2e9 + change))
            return web.processes()[-1] not in served_by

        for _ in range(6):
            eventually(lambda: web.post("/messages", SAY).status == 201, "an answer")
            eventually(lambda: phoenix.connections == 1, "one connection")
            served_by.add(web.processes()[-1])
            eventually(reloaded, "another process")
        assert len(served_by) == 6
