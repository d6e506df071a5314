"""The version: one number, in setup.cfg, that is looked up when it is asked for.

And those of what the package needs.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import slipstream_actor

ROOT = Path(__file__).parent.parent
DEADLINE = 60
# What the package needs to be imported.
NEEDED = ("slipstream_actor", "pykka", "websocket", "msgspec", "rpds")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=environment.get("PYTHONPATH", ROOT),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture
def metadata() -> configparser.ConfigParser:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    return metadata


def test_it_is_the_one_of_the_setup_cfg(metadata: configparser.ConfigParser) -> None:
    assert slipstream_actor.__version__ == metadata["metadata"]["version"]


def test_each_requirement_has_its_oldest_release(metadata: configparser.ConfigParser) -> None:
    """Who has an older one is told so by pip, and not by an error of his program."""
    lists = [metadata["options"]["install_requires"], *metadata["options.extras_require"].values()]
    needed = [line for text in lists for line in text.split("\n") if line and line[0] not in "# "]
    assert len(needed) > 30
    open_ended = [line for line in needed if ">=" not in line]
    assert all(line.startswith("slipstream_actor[") for line in open_ended), open_ended


def test_it_is_looked_up_when_it_is_asked_for() -> None:
    code = (
        "import sys; before = set(sys.modules); import slipstream_actor;"
        "found = lambda: 'importlib.metadata' in set(sys.modules) - before;"
        "print(found(), bool(slipstream_actor.__version__), found())"
    )
    done = python("-c", code)
    assert done.stdout == "False True True\n", done.stderr


def test_a_star_import_does_not_ask_for_it() -> None:
    code = "import sys; from slipstream_actor import *; print('importlib.metadata' in sys.modules)"
    assert python("-c", code).stdout == "False\n"


@pytest.fixture
def not_installed(tmp_path: Path) -> str:
    """A folder with the package and what it needs, without what an installation says of them."""
    for name in NEEDED:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        (tmp_path / name).symlink_to(Path(spec.origin).parent, target_is_directory=True)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["-c", "import slipstream_actor; print(slipstream_actor.__version__)"], "0+unknown\n"),
        (["-m", "slipstream_actor", "--version"], "slipstream_actor 0+unknown\n"),
    ],
)
def test_of_a_tree_that_is_not_installed(
    not_installed: str, arguments: list[str], answer: str
) -> None:
    # -S: without the environment's packages.
    done = python("-S", *arguments, PYTHONPATH=not_installed)
    assert (done.returncode, done.stdout, done.stderr) == (0, answer, "")


def test_other_names_are_as_unknown_as_ever() -> None:
    done = python("-c", "import slipstream_actor; slipstream_actor.Sockt")
    last = "AttributeError: module 'slipstream_actor' has no attribute 'Sockt'"
    assert f"\n{last}. Did you mean: 'Socket'?\n" in done.stderr
    assert not hasattr(slipstream_actor, "__no_such_name__")
