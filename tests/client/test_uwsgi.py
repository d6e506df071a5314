"""A uWSGI without threads: told once in a process. In a real one: tests/web."""

from __future__ import annotations

import pytest

from tests.support.programs import Outcome, run

# What uWSGI puts into its interpreters; recent ones always have threads.
PROGRAM = """
import logging, os, sys, types

uwsgi = types.ModuleType("uwsgi")
uwsgi.opt, uwsgi.has_threads = {{}}, {threads}
sys.modules["uwsgi"] = uwsgi

from slipstream_actor import ClientActor

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(line)s %(message)s")

def start_two():
    for _ in range(2):
        ClientActor.start(name="rooms").stop()

start_two()
sys.stdout.flush()
child = os.fork()
if child == 0:
    start_two()
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
"""
SAID = (
    "WARNING slipstream_actor.client no_threads"
    " ClientActor 'rooms' runs in a uWSGI without threads,"
    " and stands still between requests: start uWSGI with --enable-threads\n"
)


@pytest.mark.parametrize(("threads", "said"), [(0, 2 * SAID), (1, "")])
def test_it_is_told_once_in_a_process(threads: int, said: str) -> None:
    assert run(PROGRAM.format(threads=threads)) == Outcome(0, said, "")
