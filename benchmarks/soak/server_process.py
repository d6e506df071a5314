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
from slipstream_actor.testing.server.recorded_app import BenchChannel

PROXIES = 4
CRASH = "crash_on_purpose"


class OnPurpose(Exception):
    """A channel crashes because it was told to."""


class SoakChannel(BenchChannel):
    """Crashes at a broadcast."""

    intercept = (CRASH,)

    def handle_out(self, event: str, payload: Any) -> None:
        """The one broadcast that comes here."""
        raise OnPurpose


class ServerProcess:
    """The other process, as the one with the clients sees it. Not for several threads."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.uris: list[str] = json.loads(self._stdout.readline())

    def proxy(self, proxy: int, method: str, **arguments: Any) -> None:
        """Call a method of one of the proxies."""
        self._order(proxy, method, arguments)

    def server(self, method: str, **arguments: Any) -> None:
        """Call a method of the server."""
        self._order(None, method, arguments)

    def _order(self, proxy: int | None, method: str, arguments: dict[str, Any]) -> None:
        print(json.dumps([proxy, method, arguments]), file=self._stdin, flush=True)
        if not self._stdout.readline():
            raise RuntimeError(f"the server's process ended at {method}")


@contextlib.contextmanager
def running_server_process() -> Iterator[ServerProcess]:
    """Run it; it has ended when the context has."""
    command = [sys.executable, "-m", "benchmarks.soak.server_process"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield ServerProcess(process)
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
        proxies = [stack.enter_context(FaultProxy(server.uri)) for _ in range(PROXIES)]
        print(json.dumps([proxy.uri for proxy in proxies]), flush=True)
        for line in sys.stdin:
            proxy, method, arguments = json.loads(line)
            getattr(server if proxy is None else proxies[proxy], method)(**arguments)
            print("done", flush=True)


if __name__ == "__main__":
    main()
