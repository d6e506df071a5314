"""`make pictures`: writes what the documentation shows into `docs/assets/pictures`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipstream_actor.dashboard import serve
from slipstream_actor.testing import PhoenixServer
from tests.pictures.scene import PORT, server
from tests.pictures.terminal import Recording
from tests.support.chromium import Chromium
from tests.support.shell import typing_at_terminal

PICTURES = Path(__file__).parents[2] / "docs" / "assets" / "pictures"
URI = f"ws://localhost:{PORT}/socket/websocket"


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with server() as phoenix, directory_of_sockets() as directory, worker(directory):
        listen(phoenix)
        doctor()
        top(directory)
        dashboard(directory)
    for path in sorted(PICTURES.iterdir()):
        print(f"{path.name:<28}{path.stat().st_size:>10,} bytes")


@contextmanager
def directory_of_sockets() -> Iterator[str]:
    """Yield a directory with a name that can be shown."""
    path = Path(tempfile.gettempdir()) / "slipstream"
    path.mkdir(mode=0o700)
    try:
        yield str(path)
    finally:
        path.rmdir()


@contextmanager
def worker(directory: str) -> Iterator[None]:
    """Run the process that is looked at."""
    command = [sys.executable, "-m", "tests.pictures.scene", f"{directory}/web-1.sock"]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        assert running.stdout.readline() == b"serving\n"
        yield
    finally:
        running.stdin.close()
        running.wait(30)
        running.stdout.close()


def listen(phoenix: PhoenixServer) -> None:
    """Messages as they come, and a connection that is lost meanwhile."""
    told = Recording(f"slipstream-actor listen {URI} rooms:lobby", lines=16)
    with typing_at_terminal("listen", URI, "rooms:lobby") as running:
        running.resize(100, 16)
        told.watch(running, 0, until="joined")
        told.watch(running, 3)
        phoenix.drop()
        told.watch(running, 0, until="again")
        told.watch(running, 2)
        running.type("\x03")
        told.watch(running, 1)
    told.write(PICTURES / "listen.svg")


def doctor() -> None:
    """The way to a topic whose channel does not exist."""
    told = Recording(f"slipstream-actor doctor {URI} orders:new", lines=24)
    with typing_at_terminal("doctor", URI, "orders:new") as running:
        running.resize(100, 24)
        told.watch(running, 5)
    told.write(PICTURES / "doctor.svg")


def top(directory: str) -> None:
    """The clients of the process, live: one is looked at."""
    told = Recording("slipstream-actor top", columns=110, lines=26)
    with typing_at_terminal("top", directory, "--interval", "1s") as running:
        running.resize(110, 26)
        told.watch(running, 0, until="orders")
        told.watch(running, 3)
        for _ in range(2):
            running.type("j")
            told.watch(running, 1.5)
        running.type("q")
        threading.Event().wait(0.2)
    told.write(PICTURES / "top.svg")


def dashboard(directory: str) -> None:
    """The page, wide and narrow, light and dark."""
    with serve(directory=directory) as served, Chromium() as browser:
        for name, width, height in (("page", 1280, 640), ("phone", 390, 844)):
            for dark in (False, True):
                with browser.page(served.url, width=width, height=height, dark=dark) as page:
                    page.until("document.body.innerText.includes('chat')", "the clients")
                    threading.Event().wait(6)  # Charts need a while.
                    page.picture(PICTURES / f"{name}-{'dark' if dark else 'light'}.png")


if __name__ == "__main__":
    main()
