"""The long runs of `benchmarks`, short: so that they do not rot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak.resources import STATM

ROOT = Path(__file__).parent.parent
# A failure is only known after a minute of waiting for what does not come.
DEADLINE = 200.0

pytestmark = pytest.mark.timeout(DEADLINE + 10)


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.skipif(not STATM.exists(), reason="it reads /proc")
def test_a_short_soak() -> None:
    # Memory still warms up; what it says of the rest holds in any run. Ten kinds of clients.
    result = run(
        "benchmarks.soak",
        *("--seconds=3", "--every=0.5", "--clients=10", "--seed=1", "--quiet=0.5", "--growth=50"),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    [counts] = [line for line in lines if line.startswith("pushes that asked")]
    asked, outcomes = (int(word) for word in counts.replace(";", "").split() if word.isdigit())
    assert asked == outcomes > 100


def test_a_short_comeback() -> None:
    result = run("benchmarks.comeback", "--clients=5", "--rounds=1")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["1000", "0"]


@pytest.mark.skipif(not STATM.exists(), reason="it reads /proc")
def test_a_short_look_at_memory() -> None:
    result = run("benchmarks.memory", "--only=big,diffs,mail,logging", MEMORY_SCALE="0.02")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 8


def test_a_short_look_at_growth() -> None:
    result = run("benchmarks.growth", "--sizes=5,10", "--rounds=1")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 12


def test_a_short_look_at_compression() -> None:
    result = run("benchmarks.deflate", "--sizes=1024", "--rounds=1", "--messages=50")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["in", "in", "out", "out"]
    # The last column is what part of the bytes is left.
    assert all(float(row[-1]) < 0.6 for row in rows)
