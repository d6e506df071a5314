"""The server and the network before it, in a process of its own: its memory is not the clients'.

It prints the proxies' URIs as one line of JSON, obeys a line of JSON at a time, answers each with
a line, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from slipstream_actor.testing import FaultProxy, PhoenixServer
from slipstream_actor.testing.server.recorded import BenchChannel

LANES = 4
CRASH = "crash_on_purpose"


class OnPurpose(Exception):
    """A channel crashes because it was told to."""


class SoakChannel(BenchChannel):
    """Crashes at a broadcast."""

    intercept = (CRASH,)

    def handle_out(self, event: str, payload: Any) -> None:
        """The one broadcast that comes here."""
        raise OnPurpose


class FarSide:
    """The other process, as the one with the clients sees it. Not for several threads."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.uris: list[str] = json.loads(self._stdout.readline())

    def proxy(self, lane: int, method: str, **arguments: Any) -> None:
        """Call a method of one of the proxies."""
        self._order(lane, method, arguments)

    def server(self, method: str, **arguments: Any) -> None:
        """Call a method of the server."""
        self._order(None, method, arguments)

    def _order(self, lane: int | None, method: str, arguments: dict[str, Any]) -> None:
        print(json.dumps([lane, method, arguments]), file=self._stdin, flush=True)
        if not self._stdout.readline():
            raise RuntimeError(f"the far side ended at {method}")


@contextlib.contextmanager
def running_far_side() -> Iterator[FarSide]:
    """Run it; it has ended when the context has."""
    command = [sys.executable, "-m", "benchmarks.soak.far_side"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield FarSide(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def main() -> None:
    # An interrupt is for the other process, whose end ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("slipstream_actor.testing").addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], OnPurpose))
    )
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(PhoenixServer({"bench:*": SoakChannel}))
        proxies = [stack.enter_context(FaultProxy(server.uri)) for _ in range(LANES)]
        print(json.dumps([proxy.uri for proxy in proxies]), flush=True)
        for line in sys.stdin:
            lane, method, arguments = json.loads(line)
            getattr(server if lane is None else proxies[lane], method)(**arguments)
            print("done", flush=True)


if __name__ == "__main__":
    main()
