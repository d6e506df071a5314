"""What `make` says to who asks for help, or for an example that there is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
EXAMPLES = {page.parent.name for page in (ROOT / "examples").glob("*/README.md")}
DEADLINE = 60
# Of the make that may run the tests; what it was told is not meant for this one.
OUTER = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "EXAMPLE"}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in OUTER},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["help"], []])
def test_help_has_a_line_for_each_target(arguments: list[str]) -> None:
    [targets] = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    done = make(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    listed = re.findall(r"^make (\S+) +\S.*$", done.stdout, re.MULTILINE)
    assert len(listed) == len(done.stdout.splitlines())
    assert {*listed, "known-example"} == set(targets.split())


@pytest.mark.parametrize("name", ["nonsense", "", "../examples/quickstart"])
def test_a_demo_that_there_is_not_lists_those_there_are(name: str, tmp_path: Path) -> None:
    done = make("demo", f"EXAMPLE={name}", f"VENV={tmp_path}/venv")
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"There is no example '{name}'." in done.stderr
    assert set(re.findall(r"^  (\w+) +\w", done.stderr, re.MULTILINE)) == EXAMPLES
    # Nothing was installed for it.
    assert not (tmp_path / "venv").exists()
