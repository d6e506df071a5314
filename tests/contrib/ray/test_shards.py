"""Shards on a cluster of one node: `scenarios.py`, run by a program with a Ray of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray has no wheel for this platform"
)


# One test, since a cluster takes long to start, and tests of a file may run in several processes.
def test_what_is_promised_of_shards() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contrib.ray.program"],
        check=False,
        capture_output=True,
        text=True,
        timeout=140,
    )
    # Ray prints too.
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    told = [json.loads(line) for line in lines]
    problems = [f"{one['name']}:\n{one['problem']}" for one in told if one["problem"]]
    assert not problems, "\n".join(problems)
    assert done.returncode == 0, f"{lines[-1:]}\n{done.stderr[-4000:]}"
    assert len(told) > 10
