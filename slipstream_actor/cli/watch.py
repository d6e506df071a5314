"""The files that modules come from, and whether one has changed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

__all__ = ["Watch"]

LOOK_AGAIN = 0.3
"""Seconds between looks at the files."""


class Watch(MetaPathFinder):
    """The files below the current directory that modules come from.

    While its context is entered it is asked for each module before that is loaded, and so knows of
    those too that fail, or that there are not yet. It finds none itself.
    """

    def __init__(self) -> None:
        self.port: int | None = None
        self._here = os.getcwd() + os.sep
        self._seen: dict[str, int] = {}
        # Where each was looked for that was not there.
        self._missing: dict[str, list[str]] = {}

    def __enter__(self) -> Watch:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Note the file of a module, as it is before it is read."""
        # As it is now: what a program puts there later is no change of a file.
        looked_at = list(sys.path if path is None else path)
        spec = PathFinder.find_spec(name, looked_at)
        if spec is None:
            self._missing[name] = looked_at
        else:
            self._note(spec.origin)

    def wait(self) -> None:
        """Return when a file has changed, or there is a module that was not there."""
        while not self.has_changed():
            time.sleep(LOOK_AGAIN)

    def has_changed(self) -> bool:
        """Whether a file has changed, or there is a module that was not there."""
        # Others find modules too; theirs count as they are now.
        for module in list(sys.modules.values()):
            self._note(getattr(module, "__file__", None))
        return any(changed_at(name) != before for name, before in list(self._seen.items())) or any(
            name not in sys.modules and PathFinder.find_spec(name, path) is not None
            for name, path in list(self._missing.items())
        )

    def _note(self, file: str | None) -> None:
        if file is not None and file not in self._seen and file.startswith(self._here):
            self._seen[file] = changed_at(file)


def changed_at(file: str) -> int:
    """Return when a file was changed, 0 if it is not there."""
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0
