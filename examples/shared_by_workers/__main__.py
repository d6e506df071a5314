"""`python -m examples.shared_by_workers`: a cluster, four workers, and a server that counts
connections."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from typing import Any

import ray

from slipstream_actor.testing import Channel, PhoenixServer

WORKERS = 4
APP = "examples.shared_by_workers.app:create_app()"


class Lobby(Channel):
    """Counts letters."""

    def handle_in(self, event: str, payload: Any) -> Any:
        """Answer a message."""
        return "ok", {"length": len(payload["body"])}


def main() -> None:
    """Have the workers asked, and count what they have opened."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with (
        PhoenixServer({"rooms:*": Lobby}) as server,
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False) as head,
    ):
        environment = dict(
            os.environ, PHOENIX_URI=server.uri, RAY_ADDRESS=head.address_info["gcs_address"]
        )
        options = ["--workers", str(WORKERS), "--bind", "127.0.0.1:0", "--timeout", "120"]
        with subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, APP],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        ) as web:
            ask(web, server)
            web.terminate()
            assert web.stderr is not None
            web.stderr.read()


def ask(web: subprocess.Popen[str], server: PhoenixServer) -> None:
    """Say something to the workers, twenty times."""
    assert web.stderr is not None
    line = next(line for line in web.stderr if "Listening at: " in line)
    url = line.partition("Listening at: ")[2].split()[0]
    # Its workers go on to write.
    threading.Thread(target=web.stderr.read, daemon=True).start()
    answers = set()
    for _ in range(20):
        with urllib.request.urlopen(url, b"hello", timeout=100) as answer:
            answers.add((answer.status, answer.read().decode().strip()))
    print("answers:", answers)
    print("connections:", server.connections)


if __name__ == "__main__":
    main()
