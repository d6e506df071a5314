"""Whoever has connected to a local socket: its requests are answered one by one, and the lines of
its traces go out beside the answers."""

from __future__ import annotations

import contextlib
import functools
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.debug.encoding import as_json
from slipstream_actor.debug.observer import listen, stop_listening
from slipstream_actor.debug.plain import label
from slipstream_actor.debug.requests import Refused, answer, client_called, parsed
from slipstream_actor.debug.tracing import Lines
from slipstream_actor.errors import SlipstreamError

__all__ = ["Peer"]

logger: Logger = get_logger("slipstream_actor.debug")

# Bytes of a request; and so many lines wait for a peer that does not read: more are not kept.
LONGEST, MOST_WAITING = 65_536, 2_000


class Peer:
    """One connection; `served` is told its end."""

    def __init__(
        self, sock: socket.socket, allow_control: bool, served: Callable[[Peer], object]
    ) -> None:
        self._sock = sock
        self._allow_control = allow_control
        self._served = served
        # Of each client its listener, and who is told its end.
        self._traces: dict[Any, tuple[Lines, Callable[[Any], None]]] = {}
        # Whoever tells a line never waits: it is the client's own thread.
        self._waiting: queue.Queue[Any] = queue.Queue(MOST_WAITING)
        self._write_lock = threading.RLock()
        self._pump: threading.Thread | None = None

    def close(self) -> None:
        """End the connection, from any thread."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Answer until the peer has gone."""
        try:
            with self._sock, self._sock.makefile("rb") as lines:
                try:
                    while line := lines.readline(LONGEST + 1):
                        self._answer(line)
                        if len(line) > LONGEST:
                            break  # What follows is the rest of it.
                except OSError:
                    pass  # It has gone.
                finally:
                    self._end_traces()
        finally:
            self._served(self)

    def _answer(self, line: bytes) -> None:
        try:
            if len(line) > LONGEST:
                raise Refused(f"a request has {LONGEST} bytes at most")
            request = parsed(line)
            result = self._result(request)
        except (Refused, SlipstreamError) as error:
            self._send({"ok": False, "error": str(error)})
        except Exception as error:
            logger.debug("a request has failed", exc_info=True)
            self._send({"ok": False, "error": type(error).__name__})
        else:
            self._send({"ok": True, "result": result})

    def _result(self, request: dict[str, Any]) -> Any:
        if request["request"] != "trace":
            return answer(request, allow_control=self._allow_control)
        ref = client_called(request.get("client"))
        self._end_trace(ref)
        if request.get("on", True) is True:
            self._begin_trace(ref)
        return None

    def _send(self, data: dict[str, Any]) -> None:
        with contextlib.suppress(OSError), self._write_lock:
            self._sock.sendall(as_json(data) + b"\n")

    # traces

    def _begin_trace(self, ref: Any) -> None:
        if self._pump is None:
            pump = threading.Thread(
                target=self._write_lines, name="slipstream_actor debug trace", daemon=True
            )
            pump.start()
            self._pump = pump  # Not before: the system may have no more threads.
        lines = Lines(ref, lambda line: self._keep({"line": line}))
        ended = functools.partial(self._client_ended, ref)
        self._traces[ref] = lines, ended
        listen(ref, lines)
        ref.actor_inbox.ended.add_done_callback(ended)

    def _client_ended(self, ref: Any, _: Any) -> None:
        if self._traces.pop(ref, None) is not None:
            self._keep({"ended": label(ref)})

    def _keep(self, data: dict[str, Any] | None) -> None:
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(data)

    def _write_lines(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._send(data)

    def _end_trace(self, ref: Any) -> None:
        lines, ended = self._traces.pop(ref, (None, None))
        if lines is not None:
            stop_listening(ref, lambda listener: listener is not lines)
            ref.actor_inbox.ended.remove_done_callback(ended)

    def _end_traces(self) -> None:
        for ref in tuple(self._traces):
            self._end_trace(ref)
        if self._pump is not None:
            self.close()  # It may be writing to one that does not read.
            self._waiting.put(None)
            self._pump.join()
