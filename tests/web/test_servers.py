"""The example applications behind each web server, once with Phoenix and once before it is there.

`make web-matrix` tries more of them, and more that may happen.
"""

from __future__ import annotations

import sys

import pytest

from tests.web.matrix import SERVERS, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone")

TRIED = ["gunicorn sync --preload", "gunicorn gthread", "gunicorn gevent --preload", "uvicorn"]


@pytest.mark.parametrize("server", TRIED)
def test_it_is_right_under_load(server: str) -> None:
    cell = run(SERVERS[server], "healthy", 300)
    assert not cell.wrong, cell.seen


@pytest.mark.parametrize("server", TRIED)
def test_it_answers_503_until_phoenix_is_there(server: str) -> None:
    cell = run(SERVERS[server], "away at boot", 300)
    assert not cell.wrong, cell.seen
