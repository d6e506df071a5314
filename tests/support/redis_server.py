"""A Redis server of the system's, for tests that need a broker."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from tests.support.clients import eventually
from tests.web.server import free_port

__all__ = ["RedisServer", "needs_redis"]

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="there is no redis-server (Debian's package)"
)


class RedisServer:
    """`start`, `kill`, and `start` again on the same port; ends with its context."""

    def __init__(self) -> None:
        self.port: int = free_port()
        self.url: str = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> RedisServer:
        """Have it listen; it keeps nothing on the disk."""
        quiet = ["--save", "", "--appendonly", "no", "--loglevel", "warning", "--dir", "/tmp"]
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", *quiet],
            stdout=subprocess.DEVNULL,
        )
        eventually(self._answers, "the Redis server")
        return self

    def kill(self) -> None:
        """End it as a power cut does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False
