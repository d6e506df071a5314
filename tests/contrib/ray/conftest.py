"""Where there is no Ray, its tests are skipped."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest


class WithoutRay(pytest.Module):
    """A module of tests that cannot be imported."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Say why not."""
        pytest.skip("Ray has no wheel for this platform", allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """Take the place of what Python would import."""
    if importlib.util.find_spec("ray") is not None:
        return None
    return WithoutRay.from_parent(parent, path=module_path)
