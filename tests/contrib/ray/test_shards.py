"""Shards on a cluster of one node: `scenarios.py`, run by a program with a Ray of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

DEADLINE = 240.0


# One test, since a cluster takes long to start, and tests of a file may run in several processes.
def test_what_is_promised_of_shards() -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "tests.contrib.ray.program"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            output, errors = program.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGABRT)  # So that it tells where it is.
            output, errors = program.communicate()
    # Ray prints too.
    lines = [line for line in output.splitlines() if line.startswith("{")]
    told = [json.loads(line) for line in lines]
    problems = [f"{one['name']}:\n{one['problem']}" for one in told if one["problem"]]
    assert not problems, "\n".join(problems)
    assert program.returncode == 0, f"behind {lines[-1:]}\n{errors[-6000:]}"
    assert len(told) > 10
