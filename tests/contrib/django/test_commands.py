"""`manage.py check`, `slipstream_status` and `slipstream_listen`, as the shell has them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.support.clients import eventually
from tests.support.programs import ROOT, Outcome, Program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals there")

MANAGE = """
import os, sys
sys.argv[0] = "manage.py"
sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

SETTINGS = """
SECRET_KEY = "x"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["slipstream_actor.contrib.django", "project_app"]
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {
    "slipstream_actor.client": {"level": "CRITICAL"}}}
SLIPSTREAM_CLIENTS = {
    "listener": {"client": "project_app.listeners.Listener", "uri_env": "PHOENIX_URI"},
    "refused": {
        "client": "project_app.listeners.Listener",
        "uri_env": "PHOENIX_URI",
        "options": {"room": "refuse:a"},
    },
    "broken": {"client": "project_app.listeners.Broken", "uri_env": "PHOENIX_URI"},
}
"""

# Imported before the apps are loaded, and the class needs them.
MODELS = """
from django.db import models
from slipstream_actor.contrib.django import clients

listener = clients["listener"]

class Note(models.Model):
    pass
"""

LISTENERS = """
from project_app.models import Note, listener
from slipstream_actor import ClientActor, connect

class Listener(ClientActor):
    def init(self, uri, room="bench:a", **options):
        return connect(uri, **options).join(room)

    def handle_join(self, topic, response, socket):
        print("joined", topic, listener.status()["state"], flush=True)

    def handle_message(self, topic, event, payload, socket):
        print(event, payload, flush=True)
        if event == "crash":
            raise RuntimeError("as asked")

    def terminate(self, reason, socket):
        print("terminate", reason, flush=True)

class Broken(ClientActor):
    def init(self, uri):
        raise RuntimeError("as asked")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    app = tmp_path / "project_app"
    app.mkdir()
    (tmp_path / "project_settings.py").write_text(SETTINGS)
    (app / "__init__.py").write_text("")
    (app / "models.py").write_text(MODELS)
    (app / "listeners.py").write_text(LISTENERS)
    return tmp_path


def manage(project: Path, uri: str | None, *arguments: str) -> Program:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("DJANGO_SETTINGS_MODULE", "PHOENIX_URI"):
        environment.pop(name, None)
    if uri is not None:
        environment["PHOENIX_URI"] = uri
    return Program(MANAGE, *arguments, "--no-color", cwd=project, env=environment)


def test_check(project: Path) -> None:
    with manage(project, "ws://localhost/", "check") as program:
        assert program.end() == Outcome(0, "System check identified no issues (0 silenced).\n", "")
    with manage(project, None, "check") as program:
        outcome = program.end()
    assert outcome.code == 1
    assert (
        "(slipstream.E002) SLIPSTREAM_CLIENTS['listener']['uri_env']:"
        " the environment variable PHOENIX_URI is not set" in outcome.errors
    )
    assert "Traceback" not in outcome.errors


def test_listen_until_a_signal(project: Path, server: PhoenixServer) -> None:
    with manage(project, server.uri, "slipstream_listen", "listener") as program:
        assert program.line() == "joined bench:a running"
        eventually(program.sleeps, "the command to wait")
        server.broadcast("bench:a", "news", {"n": 1})
        assert program.line() == "news {'n': 1}"
        program.process.send_signal(signal.SIGTERM)
        assert program.end() == Outcome(0, "terminate shutdown\n", "")
    server.wait_for_connections(0)


def test_listen_until_it_crashes(project: Path, server: PhoenixServer) -> None:
    with manage(project, server.uri, "slipstream_listen", "listener") as program:
        assert program.line() == "joined bench:a running"
        server.broadcast("bench:a", "crash", {})
        outcome = program.end()
    assert outcome.code == 1
    assert outcome.output.splitlines() == ["crash {}", "terminate as asked"]
    assert outcome.errors == "CommandError: listener has ended: RuntimeError\n"
    server.wait_for_connections(0)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("broken", "broken cannot be started: RuntimeError: as asked"),
        ("nobody", "'nobody' is none of listener, refused, broken"),
    ],
)
def test_listen_to_what_does_not_start(project: Path, name: str, says: str) -> None:
    with manage(project, "ws://localhost/", "slipstream_listen", name) as program:
        outcome = program.end()
    assert (outcome.code, outcome.errors) == (1, f"CommandError: {says}\n")


def test_status(project: Path, server: PhoenixServer) -> None:
    with manage(project, server.uri, "slipstream_status", "listener") as program:
        outcome = program.end()
    assert (outcome.code, outcome.errors) == (0, "")
    assert "listener (Listener): connected, bench:a joined" in outcome.output.splitlines()
    server.wait_for_connections(0)


def test_status_of_what_is_not_well(project: Path, server: PhoenixServer) -> None:
    arguments = ["listener", "refused", "broken", "--timeout", "1"]
    with manage(project, server.uri, "slipstream_status", *arguments) as program:
        outcome = program.end()
    assert (outcome.code, outcome.errors) == (1, "")
    lines = outcome.output.splitlines()
    assert "listener (Listener): connected, bench:a joined" in lines
    assert any(line.startswith("refused (Listener): connected, refuse:a ") for line in lines)
    assert "broken (Broken): cannot be started: RuntimeError: as asked" in lines


def test_status_of_what_is_not_there(project: Path) -> None:
    with manage(project, "ws://localhost/", "slipstream_status", "nobody") as program:
        outcome = program.end()
    assert outcome.code == 1
    assert outcome.errors == "CommandError: 'nobody' is none of listener, refused, broken\n"
