"""Shards on a cluster of one node: `scenarios.py`, run by a program with a Ray of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEADLINE = 300.0

pytestmark = pytest.mark.timeout(DEADLINE + 20)


# One test, since a cluster takes long to start, and tests of a file may run in several processes.
def test_what_is_promised_of_shards(tmp_path: Path) -> None:
    output, errors = tmp_path / "output", tmp_path / "errors"
    # Files and a session: who holds a pipe, or is left over, cannot keep this test waiting.
    with output.open("w") as out, errors.open("w") as err:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.contrib.ray.program"],
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            program.wait(DEADLINE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    # Ray prints too.
    lines = [line for line in output.read_text().splitlines() if line.startswith("{")]
    told = [json.loads(line) for line in lines]
    problems = [f"{one['name']}:\n{one['problem']}" for one in told if one["problem"]]
    assert not problems, "\n".join(problems)
    assert program.returncode == 0, f"behind {lines[-1:]}\n{errors.read_text()[-6000:]}"
    assert len(told) > 10
