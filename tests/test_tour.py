"""The tour in docs/architecture.md: its files are there, and each room is on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import slipstream_actor
from tests.support.pages import DOCS
from tests.test_architecture import ROOMS

PACKAGE = Path(slipstream_actor.__file__).parent
TOUR = (DOCS / "architecture.md").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"`((?:\w+/)+\w+\.py)`", TOUR)))
ROWS = re.findall(r"^\| `(\w+)` \| `([\w/]+\.py)` \| (.*) \|$", TOUR, re.MULTILINE)


@pytest.mark.parametrize("file", FILES)
def test_each_file_is_there(file: str) -> None:
    root = PACKAGE.parent if file.startswith("tests/") else PACKAGE
    assert (root / file).is_file() or (PACKAGE / "testing" / file).is_file()


@pytest.mark.parametrize(("room", "first", "others"), ROWS)
def test_each_room_holds_what_the_plan_says(room: str, first: str, others: str) -> None:
    for file in (first, *re.findall(r"`(\w+\.py)`", others)):
        assert (PACKAGE / room / file).is_file()


@pytest.mark.parametrize("room", [r for r in ROOMS if (PACKAGE / r).exists()])
def test_each_room_is_on_the_plan(room: str) -> None:
    assert f"`{room}`" in TOUR
    picture = (DOCS / "floor_plan.svg").read_text(encoding="utf-8")
    assert re.search(rf">[\w ·]*\b{room}\b", picture)


@pytest.mark.parametrize("word", ["_deliver", "receive", "_settle", "_push", "apply_event"])
def test_the_walks_name_what_is_there(word: str) -> None:
    assert any(
        re.search(rf"def {word}\b", path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
    )


def test_each_note_that_is_named_is_there() -> None:
    notes = set(re.findall(r'id="note-(\d+)"', (DOCS / "protocol.md").read_text(encoding="utf-8")))
    for path in PACKAGE.rglob("*.py"):
        named = set(re.findall(r"#note-(\d+)", path.read_text(encoding="utf-8")))
        assert named <= notes, path
