"""Runs as lines of JSON, the newest last: what a run is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.server import HERE

HISTORY = HERE / "results" / "history.jsonl"

Entry = dict[str, Any]


def read(path: Path = HISTORY) -> list[Entry]:
    """All entries; none where there is no file yet."""
    if not path.exists():
        return []
    return [
        json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    ]


def append(entry: Mapping[str, Any], path: Path = HISTORY) -> None:
    """Add one."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def last(kind: str, machine: Mapping[str, str], path: Path = HISTORY) -> Entry | None:
    """The newest entry of this kind, on this machine, that was good."""
    for entry in reversed(read(path)):
        if entry["kind"] == kind and entry["machine"] == machine and entry.get("good", True):
            return entry
    return None
