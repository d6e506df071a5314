"""`serve`: on loopback, for whoever has the address; and the stream of what happens."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from slipstream_actor import dashboard
from slipstream_actor.dashboard import LocalServer, stream
from slipstream_actor.dashboard.processes import Processes
from slipstream_actor.dashboard.stream import MOST, Streams
from slipstream_actor.testing import FaultProxy
from tests.support.clients import PATIENCE, eventually, recording

TOPIC = "bench:a"


@pytest.fixture
def local() -> Iterator[LocalServer]:
    with dashboard.serve(here=True) as server:
        yield server


def get(local: LocalServer, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        answered = connection.getresponse()
        return answered.status, answered.read()
    finally:
        connection.close()


def test_whoever_has_the_address_is_let_in(local: LocalServer) -> None:
    address = urlsplit(local.url)
    assert (address.hostname, address.port) == ("127.0.0.1", local.port)
    status, body = get(local, address.path)
    assert (status, b"<!doctype html>" in body) == (200, True)
    assert get(local, address.path, Host=f"localhost:{local.port}")[0] == 200
    assert get(local, address.path + "report.json")[0] == 200
    assert get(local, address.path.rstrip("/"))[0] == 308


@pytest.mark.parametrize("path", ["/", "/report.json", "/x/", "/x/report.json", "//", "/%FF/", ""])
def test_nobody_else_is(local: LocalServer, path: str) -> None:
    assert get(local, path)[0] == 403


def test_an_address_that_is_nearly_right(local: LocalServer) -> None:
    path = urlsplit(local.url).path
    for wrong in (path[:-2] + "/", path.rstrip("/") + "x/", path.upper(), path[1:]):
        assert wrong == path or get(local, wrong)[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", ""]
)
def test_a_name_that_was_made_to_lead_here_is_not_answered(local: LocalServer, host: str) -> None:
    path = urlsplit(local.url).path
    assert get(local, path, Host=host.format(port=local.port))[0] == 403
    assert get(local, path + "report.json", Host=host.format(port=local.port))[0] == 403


def test_nothing_is_written_on_standard_error(
    local: LocalServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """The address would be among it."""
    assert get(local, urlsplit(local.url).path)[0] == 200
    assert get(local, "/nothing")[0] == 403
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize(
    ("name", "kind"), [("nowhere", FileNotFoundError), ("file", NotADirectoryError)]
)
def test_a_directory_that_is_none_is_named(tmp_path: Path, name: str, kind: type[OSError]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(kind) as raised:
        dashboard.serve(directory=str(tmp_path / name))
    assert raised.value.filename == str(tmp_path / name)


def test_two_have_addresses_of_their_own(local: LocalServer) -> None:
    with dashboard.serve() as other:
        assert urlsplit(other.url).path != urlsplit(local.url).path
        assert get(other, urlsplit(local.url).path)[0] == 403
        # This process is not to be there.
        _, body = get(other, urlsplit(other.url).path + "report.json")
        assert json.loads(body)["processes"] == []
    with pytest.raises(OSError):
        dashboard.serve(local.port)
    with pytest.raises(OSError):
        get(other, "/")


# what happens, as it happens


class Watcher:
    """Reads a stream."""

    def __init__(self, local: LocalServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=PATIENCE)
        self._connection.request("GET", urlsplit(local.url).path + "events")
        self.answered = self._connection.getresponse()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.answered.close()
        self._connection.close()

    def event(self) -> Any:
        while line := self.answered.readline():
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))
        raise AssertionError("the stream is over")

    def until(self, what: str) -> Any:
        while (event := self.event())["what"] != what:
            pass
        return event


def test_what_happens_is_told_as_it_happens(local: LocalServer, proxy: FaultProxy) -> None:
    with recording(proxy.uri, reconnect_after_msec=[60_000]) as (ref, log):
        log.take("connect")
        with Watcher(local) as watcher:
            assert watcher.answered.headers["Content-Type"].startswith("text/event-stream")
            assert watcher.answered.readline() == b"retry: 1000\n"
            ref.proxy().do(lambda s: s.join(TOPIC)).get()
            joined = watcher.until("joined")
            assert (joined["client"], joined["topic"], joined["bad"]) == (str(ref), TOPIC, False)
            proxy.cut()
            cut = watcher.until("disconnected")
            assert cut["bad"]
            assert "without a close frame" in cut["text"]
            ref.stop()
            assert watcher.until("ended")["text"] == "normal"


def test_who_has_gone_is_told_no_more(local: LocalServer) -> None:
    from slipstream_actor.debug import happenings

    with Watcher(local):
        assert len(happenings._watchers) == 1
    eventually(lambda: not happenings._watchers, "the end of the stream")


def test_a_stream_ends_so_that_no_worker_is_taken_for_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch, local: LocalServer
) -> None:
    monkeypatch.setattr(stream, "LIFE", 0.2)
    with Watcher(local) as watcher, pytest.raises(AssertionError, match="is over"):
        watcher.event()


def test_so_many_watch_at_once() -> None:
    streams = Streams(Processes())
    opened = [streams.open("1") for _ in range(MOST)]
    assert None not in opened
    assert streams.open("1") is None
    first = opened.pop()
    assert first is not None
    first.close()
    first.close()
    another = streams.open("1")
    for one in (*opened, another):
        assert one is not None
        one.close()


class Told(Processes):
    """Another process, whose events are these."""

    happenings: list[dict[str, Any]]

    def events(self) -> dict[str, list[dict[str, Any]]]:
        return {"1": self.happenings}


def test_what_happens_elsewhere_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first look on; and a process that has started anew counts anew."""
    monkeypatch.setattr(stream, "PACE", 0.01)
    told = Told()
    told.happenings = [{"number": 7}]
    opened = Streams(told).open("0")
    assert opened is not None
    pieces = iter(opened)
    assert next(pieces) == stream.RETRY
    assert next(pieces) == stream.NOTHING
    told.happenings = [{"number": 7}, {"number": 8}]
    assert next(pieces) == b'data: {"number":8,"process":"1"}\n\n'
    assert next(pieces) == stream.NOTHING
    told.happenings = [{"number": 1}]
    assert next(pieces) == b'data: {"number":1,"process":"1"}\n\n'
    opened.close()


def test_many_look_at_once(local: LocalServer) -> None:
    """Each in a thread of its own: one that watches holds up nobody."""
    with Watcher(local):
        statuses: list[int] = []
        path = urlsplit(local.url).path + "report.json"
        threads = [
            threading.Thread(target=lambda: statuses.append(get(local, path)[0])) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert statuses == [200] * 8
