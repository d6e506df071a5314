"""The shell tool, as it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import slipstream_actor
from slipstream_actor.cli.main import main

ROOT = Path(__file__).parents[2]
DEADLINE = 60


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"slipstream_actor {slipstream_actor.__version__}\n", "")


def test_without_a_command_it_shows_its_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("usage: python -m slipstream_actor ")
    assert "--version" in errors


def test_help_that_is_asked_for_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    output, errors = capsys.readouterr()
    assert output.startswith("usage: python -m slipstream_actor ")
    assert errors == ""


def test_what_it_does_not_know_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--nonsense"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "status"), [(["--version"], 0), ([], 2)])
def test_from_the_shell(arguments: list[str], status: int) -> None:
    command = [sys.executable, "-W", "error", "-m", "slipstream_actor", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == status
    assert bool(done.stdout) == (status == 0)
    assert bool(done.stderr) == (status != 0)
