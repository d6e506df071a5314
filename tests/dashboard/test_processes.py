"""Every process of a host on the page: those that answer, those that do not, and since when."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slipstream_actor import dashboard, debug
from slipstream_actor.dashboard import asking
from slipstream_actor.dashboard.asking import ask
from slipstream_actor.dashboard.processes import MOST, PATIENCE, Processes, happenings_in
from slipstream_actor.debug.directory import VARIABLE
from tests.support.clients import eventually
from tests.support.programs import Program
from tests.support.wsgi import Asker

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="there are no local sockets here"
)

# Deeper than anybody reads.
DEEP = b"[" * 100_000 + b"]" * 100_000

# A worker of somebody's: it uses a handle, and does something when it is told to.
WORKER = """
import os, sys
from slipstream_actor import ClientActor, ClientHandle, connect
class Worker(ClientActor):
    def init(self):
        return connect("ws://test.invalid/socket/websocket", test_mode=True).join("rooms:lobby")
handle = ClientHandle(Worker, name=sys.argv[1])
handle.ref
print(os.getpid(), handle.ref.actor_urn, flush=True)
for line in sys.stdin:
    pass
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Short: a socket's address has little room.
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


@contextmanager
def worker(directory: Path, name: str = "w") -> Iterator[tuple[Program, int, str]]:
    """Run one; yield it, its process and its client."""
    environment = {**os.environ, VARIABLE: str(directory)}
    with Program(WORKER, name, env=environment) as program:
        pid, client = program.line().split()
        yield program, int(pid), client


@contextmanager
def silent(directory: Path, name: str = "4711") -> Iterator[socket.socket]:
    """A socket that takes requests and answers none, as that of a process that hangs."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(directory / f"{name}.sock"))
        sock.listen(16)
        yield sock


def parts(**options: Any) -> dict[str, dict[str, Any]]:
    """What the page is told of each process, by its key."""
    application = dashboard.app(lambda _: True, **options)
    return {part["key"]: part for part in told(application)["processes"]}


def answering() -> dict[str, dict[str, Any]]:
    """The same when all of them answer in time, as they do but on a busy machine."""

    def all_of_them() -> dict[str, dict[str, Any]] | None:
        found = parts()
        return found if all(part["answers"] for part in found.values()) else None

    found: dict[str, dict[str, Any]] = eventually(all_of_them, "all answers")
    return found


def told(application: Any) -> Any:
    return Asker(application).ask("/report.json").json()


def test_every_process_of_the_directory(directory: Path) -> None:
    with worker(directory, "one") as (_, one, client), worker(directory, "two") as (_, two, _):
        found = answering()
        assert set(found) == {str(os.getpid()), str(one), str(two)}
        assert found[str(os.getpid())]["here"]
        part = found[str(one)]
        assert (part["pid"], part["here"], part["answers"]) == (one, False, True)
        assert [c["id"] for c in part["report"]["clients"]] == [client]
        assert part["events"] == []
    assert set(parts()) == {str(os.getpid())}


def test_the_environment_is_asked_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = dashboard.app(lambda _: True)
    with silent(tmp_path):
        alone = told(application)
        assert (len(alone["processes"]), alone["host"]) == (1, False)
        monkeypatch.setenv(VARIABLE, str(tmp_path))
        both = told(application)
        assert (len(both["processes"]), both["host"]) == (2, True)
        monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
        assert len(told(application)["processes"]) == 1


def test_one_that_hangs_is_said_to_and_since_when(directory: Path) -> None:
    with worker(directory) as (_, pid, _):
        application = dashboard.app(lambda _: True)
        eventually(lambda: all(p["answers"] for p in told(application)["processes"]), "its answer")
        os.kill(pid, signal.SIGSTOP)
        before = time.time()
        found = []
        for _ in range(2):
            begun = time.monotonic()
            found.append(next(p for p in told(application)["processes"] if p["key"] == str(pid)))
            assert time.monotonic() - begun < 4 * PATIENCE
        first, second = found
        assert first == {"key": str(pid), "here": False, "answers": False, "since": first["since"]}
        assert before - 0.1 <= first["since"] <= time.time()
        assert second["since"] == first["since"]
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: all(p["answers"] for p in told(application)["processes"]), "its answer")
        # It begins anew.
        os.kill(pid, signal.SIGSTOP)
        again = next(p for p in told(application)["processes"] if p["key"] == str(pid))
        assert again["since"] > second["since"]
        os.kill(pid, signal.SIGCONT)


def test_many_that_hang_cost_no_more_than_one(directory: Path) -> None:
    with silent(directory, "1"), silent(directory, "2"), silent(directory, "3"):
        begun = time.monotonic()
        found = parts()
        assert time.monotonic() - begun < 3 * PATIENCE
        assert [found[key]["answers"] for key in "123"] == [False] * 3


def test_one_whose_queue_is_full(directory: Path) -> None:
    with silent(directory, "1") as sock:
        sock.listen(0)
        waiting = []
        try:
            while True:
                peer = socket.socket(socket.AF_UNIX)
                waiting.append(peer)
                peer.setblocking(False)
                peer.connect(str(directory / "1.sock"))
        except BlockingIOError:
            assert not parts()["1"]["answers"]
        finally:
            for peer in waiting:
                peer.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n\n",
        b"nothing\n{}\n",
        b'{"ok": true, "result": 1}\n{"ok": true, "result": []}\n',
        b'{"ok": true, "result": {"pid": "x"}}\n{"ok": true, "result": []}\n',
        b'{"ok": true, "result": {"pid": 1}}\n',
        b'{"ok": false, "error": "no"}\n{"ok": false, "error": "no"}\n',
        b'{"ok": true, "result": {"pid": \xff}}\n{"ok": true, "result": []}\n',
        pytest.param(
            b'{"ok": true, "result": {"pid": 1, "more": ' + DEEP + b'}}\n{"ok": true}\n', id="deep"
        ),
        pytest.param(DEEP + b"\n{}\n", id="deeper"),
    ],
)
def test_one_that_answers_something_else(directory: Path, answer: bytes) -> None:
    with silent(directory) as sock:

        def serve() -> None:
            peer, _ = sock.accept()
            with peer:
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert not parts()["4711"]["answers"]
        thread.join()


@pytest.mark.parametrize(
    "result",
    [b"null", b"5", b"[5]", b"[[]]", b'{"number": 1}', pytest.param(DEEP, id="deep"), b'"\xff"'],
)
def test_one_that_tells_something_else_of_what_happens(result: bytes) -> None:
    """A stream of events goes on: of another one's it has what can be understood."""
    assert happenings_in(msgspec.Raw(result)) == []


def test_what_can_be_understood_of_what_happens() -> None:
    told = b'[{}, {"number": "x"}, {"number": 7, "what": "joined"}]'
    assert happenings_in(msgspec.Raw(told)) == [{"number": 7, "what": "joined"}]


def test_one_that_answers_without_end(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LONGEST", 1 << 20)
    with silent(directory) as sock:
        written = 0

        def serve() -> None:
            nonlocal written
            peer, _ = sock.accept()
            with peer:
                try:
                    while written < 1 << 26:
                        written += peer.send(b"x" * (1 << 16))
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        assert not parts()["4711"]["answers"]
        thread.join()
        assert written < 1 << 23


def test_what_is_no_socket_of_ours_is_passed_over(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "1.sock").write_text("a file", encoding="utf-8")
    (directory / "2.sock").symlink_to("/nowhere")
    (directory / "3.sock").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(directory / "4.sock"))
    with silent(directory, "5"):
        assert set(parts()) == {str(os.getpid()), "5"}
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        assert set(parts()) == {str(os.getpid())}


def test_one_whose_name_is_no_utf_8(directory: Path) -> None:
    """It hides nobody, and is asked by what it is called."""
    with silent(directory, "caf\udce9"), silent(directory, "5"):
        assert set(parts()) == {str(os.getpid()), "caf\\udce9", "5"}
    with debug.serve(directory / "caf\udce9s.sock"):
        request = {"request": "events"}
        assert Processes().tell("caf\\udce9s", request, allow_control=False).ok


def test_so_many_are_asked(directory: Path) -> None:
    left = []
    try:
        for number in range(MOST + 3):
            sock = socket.socket(socket.AF_UNIX)
            left.append(sock)
            sock.bind(str(directory / f"{number:03}.sock"))
        assert told(dashboard.app(lambda _: True))["left_out"] == 3
    finally:
        for sock in left:
            sock.close()


def test_this_process_is_there_once(directory: Path) -> None:
    """Also when it serves itself by another name."""
    with debug.serve(directory / "chat.sock"), debug.serve(directory / f"{os.getpid()}.sock"):
        assert set(parts()) == {str(os.getpid())}


def test_without_this_process(directory: Path) -> None:
    with worker(directory) as (_, pid, _):
        found = Processes(str(directory), here=False).parts()
        assert [part["key"] for part in found["processes"]] == [str(pid)]


def test_its_messages_and_its_control(directory: Path) -> None:
    """By its own socket, which has to allow what changes it."""
    with worker(directory) as (_, pid, client):
        asker = Asker(dashboard.app(lambda _: True, allow_control=True))
        path = f"/messages.json?process={pid}&client={client}"
        assert asker.ask(path).json() == {"ok": True, "result": [], "error": None}
        order = {"process": str(pid), "client": client, "action": "disconnect"}
        assert asker.post("/trace.json", order).json()["ok"]
        answered = asker.post("/control.json", order)
        assert answered.status == 409
        assert "not allowed here" in answered.json()["error"]
        order["client"] = "nobody"
        assert "no such client" in asker.post("/trace.json", order).json()["error"]
    assert asker.post("/control.json", order).json()["error"] == "it has ended"


def test_what_one_is_asked_that_hangs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipstream_actor.dashboard.processes.PATIENCE_WITH_CONTROL", 0.1)
    with silent(directory):
        asker = Asker(dashboard.app(lambda _: True))
        answered = asker.ask("/messages.json?process=4711&client=x")
        assert (answered.status, answered.json()["error"]) == (409, "it does not answer")


def test_many_answers_in_pieces(tmp_path: Path) -> None:
    """As a slow one gives them, beside one that is quick."""
    with silent(tmp_path, "slow") as slow, debug.serve(tmp_path / "quick.sock") as quick:
        answer = json.dumps({"ok": True, "result": {"pid": 1, "text": "x" * 10_000}}).encode()

        def serve() -> None:
            peer, _ = slow.accept()
            with peer, peer.makefile("rb") as lines:
                lines.readline()
                for at in range(0, len(answer), 1000):
                    peer.sendall(answer[at : at + 1000])
                peer.sendall(b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        path = str(tmp_path / "slow.sock")
        found = ask([path, quick.path, str(tmp_path / "gone.sock")], [{"request": "report"}], 10)
        thread.join()
        assert set(found) == {path, quick.path}
        assert all(answers and answers[0].ok for answers in found.values())
