"""Loggers: nothing is configured at the import, and all are below one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.api_names import PACKAGE, loggers

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "telemetry.md"


def test_the_import_configures_nothing() -> None:
    code = (
        "import logging, slipstream_actor\n"
        "names = [None, *(n for n in logging.root.manager.loggerDict if 'slipstream' in n)]\n"
        "found = [logging.getLogger(name) for name in names]\n"
        "print([(l.name, l.handlers, l.level, l.propagate) for l in found[1:]"
        " if l.handlers or l.level or not l.propagate], found[0].handlers)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[] []\n"


def test_every_logger_is_below_one() -> None:
    """But for Pykka's own, to which goes what Pykka would say."""
    assert loggers() >= {"slipstream_actor", "slipstream_actor.frames"}
    assert all(name.split(".")[0] == "slipstream_actor" for name in loggers() - {"pykka"})


def test_every_logger_but_the_shell_tools_is_guarded() -> None:
    """And but the embedded server's, which imports nothing of the client."""
    server = PACKAGE / "testing" / "server"
    modules = [path for path in PACKAGE.rglob("*.py") if server not in path.parents]
    bare = {path.name for path in modules if "logging.getLogger" in path.read_text()}
    assert bare == {"logger.py", "application.py", "push.py"}


def test_the_guide_names_every_logger() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert [name for name in sorted(loggers()) if f"`{name}`" not in text] == []
