"""A signal that comes where what its handler raises would not get through ends the tool too."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.clients import eventually
from tests.support.programs import Outcome, Program
from tests.support.shell import command

BEGIN = """\
import signal, weakref
class Thing: ...
def lose():
    thing = Thing()
    noted = weakref.ref(thing, lambda _: signal.raise_signal(signal.{name}))
    del thing
"""
# Modules that `serve` imports for its channels.
MODULES = {
    "in a module": "signal.raise_signal(signal.{name}); channels = {{}}",
    "in a text that is executed": "exec('signal.raise_signal(signal.{name})'); channels = {{}}",
    "in a class that is made": """\
class Named:
    def __set_name__(self, *_): signal.raise_signal(signal.{name})
class Owner:
    named = Named()
channels = {{}}
""",
    "in a callback of a weak reference": "lose(); channels = {{}}",
    "in a callback behind the import": """\
def channels():
    lose()
    return {{}}
""",
}
STATUSES = {"SIGINT": 130, "SIGTERM": 143}


@pytest.mark.parametrize("name", STATUSES)
@pytest.mark.parametrize("where", MODULES)
def test_it_ends_the_tool(where: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "given.py").write_text((BEGIN + MODULES[where]).format(name=name))
    with command("serve", "given:channels", "--port", "0", at=tmp_path) as running:
        status = running.end()
        assert (status, running.errors) == (STATUSES[name], "")


def test_an_import_is_finished_first(tmp_path: Path) -> None:
    module = "signal.raise_signal(signal.SIGINT); print('finished', flush=True); channels = {{}}"
    (tmp_path / "given.py").write_text((BEGIN + module).format(name="SIGINT"))
    with command("serve", "given:channels", "--port", "0", at=tmp_path) as running:
        status = running.end()
        assert (status, running.errors) == (130, "")
        assert running.output.startswith("finished\n")


WAITS = """\
import threading
{patience}
print("waits", flush=True)
threading.Event().wait()
"""


def test_a_second_signal_does_not_wait_for_an_import(tmp_path: Path) -> None:
    patience = "from slipstream_actor.cli import signals; signals.PATIENCE = float('inf')"
    (tmp_path / "given.py").write_text(WAITS.format(patience=patience))
    with command("serve", "given:channels", at=tmp_path) as running:
        running.wait_for("waits")
        running.send(signal.SIGINT)
        running.send(signal.SIGTERM)
        status = running.end()
        assert (status in STATUSES.values(), running.errors) == (True, "")


def test_an_import_that_does_not_end_is_ended(tmp_path: Path) -> None:
    patience = "from slipstream_actor.cli import signals; signals.PATIENCE = 0.05"
    (tmp_path / "given.py").write_text(WAITS.format(patience=patience))
    with command("serve", "given:channels", at=tmp_path) as running:
        running.wait_for("waits")
        running.send(signal.SIGINT)
        status = running.end()
        assert (status, running.errors) == (130, "")


STAYS = """
import _thread, signal, sys, threading
from slipstream_actor.cli.signals import Terminated, ending_on_signals, stay

def note():
    sys.stdin.readline()
    _thread.interrupt_main(signal.SIGTERM)  # Noted, and nothing is woken.

threading.Thread(target=note, daemon=True).start()
try:
    with ending_on_signals():
        print("ready", flush=True)
        stay()
except Terminated:
    print("terminated")
"""


def test_a_signal_just_before_it_sleeps_ends_it_too() -> None:
    with Program(STAYS) as program:
        assert program.line() == "ready"
        eventually(program.sleeps, "the program to sleep")
        program.say("now")
        assert program.end() == Outcome(0, "terminated\n", "")
