"""The examples' tests are held to what the package's own are: nothing is left behind."""

from __future__ import annotations

from tests.conftest import nothing_left_behind

__all__ = ["nothing_left_behind"]
