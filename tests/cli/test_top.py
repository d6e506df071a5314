"""`slipstream-actor top`: in a pipe, at a terminal, and beside processes that hang."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

from slipstream_actor import ClientActor, Socket, connect, debug
from slipstream_actor.cli.exits import Failure
from slipstream_actor.cli.main import main
from slipstream_actor.cli.top import remote
from slipstream_actor.cli.top.local import LocalProcesses
from slipstream_actor.cli.top.remote import Address, RemoteProcesses, address_of
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, eventually, recording
from tests.support.planted import get_stuck, leaked, planted, secret
from tests.support.programs import Program
from tests.support.raw_server import dead_port
from tests.support.shell import at_terminal, command, typing_at_terminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone")
Captured = pytest.CaptureFixture[str]

# Serves itself in a directory, with so many clients; then does what it is told.
WORKER = """
import ctypes, os, sys
from slipstream_actor import ClientActor, ClientHandle, connect, debug
class Chat(ClientActor):
    def init(self):
        return connect("ws://test.invalid/socket/websocket", test_mode=True).join("room:1")
debug.serve_in(sys.argv[1])
debug.serve(os.path.join(sys.argv[1], f"{os.getpid()}.sock"))
for n in range(int(sys.argv[2])):
    Chat.start(name=f"chat-{n:03}")
print("up", flush=True)
for line in sys.stdin:
    if line == "hold\\n":
        ctypes.PyDLL(None).usleep(60_000_000)
    if line == "start\\n":
        Chat.start(name="a new one")
        print("started", flush=True)
"""
# The screen is given back: the cursor is seen, and the other screen has gone.
GIVEN_BACK = ("\x1b[?25h", "\x1b[?1049l")
STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@contextmanager
def worker(directory: Path, clients: int) -> Iterator[Program]:
    with Program(WORKER, str(directory), str(clients)) as program:
        assert program.line() == "up"
        yield program


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    return tmp_path / "d"


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# in a pipe


def test_a_table(directory: Path, server: PhoenixServer) -> None:
    with (
        recording(server.uri) as (ref, log),
        debug.serve(directory / f"{os.getpid()}.sock"),
        worker(directory, 2),
        command("top", str(directory)) as running,
    ):
        log.take("connect")
        assert running.end() == 0, running.errors
        assert running.errors == ""
        title, titles, *table = running.output.splitlines()
        assert f" 2 processes, 3 clients ({directory})" in title
        assert titles.split()[:3] == ["PID", "COMMAND", "CLIENT"]
        assert len(table) == 3
        mine = next(line for line in table if str(ref) in line)
        assert mine.split()[0] == str(os.getpid())
        assert "connected" in mine
        assert sum("Chat 'chat-00" in line for line in table) == 2


def test_lines_of_json(directory: Path, server: PhoenixServer) -> None:
    with (
        recording(server.uri) as (ref, log),
        debug.serve(directory / f"{os.getpid()}.sock"),
        worker(directory, 0),
        command(
            "top", "--json", "--sort", "client", SLIPSTREAM_DEBUG_DIR=str(directory)
        ) as running,
    ):
        log.take("connect")
        assert running.end() == 0, running.errors
        none, mine = lines(running.output)
        assert (mine["client"], mine["pid"], mine["status"]) == (str(ref), os.getpid(), "connected")
        # Two looks, so there are rates.
        assert mine["messages_in"] is not None
        assert (none["client"], none["command"]) == (None, "-c")


def test_what_is_filtered_and_ordered(directory: Path) -> None:
    with (
        worker(directory, 5),
        command(
            "top", str(directory), "--json", "--filter", "chat-00", "--sort", "client"
        ) as running,
    ):
        assert running.end() == 0
        assert [row["client"] for row in lines(running.output)] == [
            f"Chat 'chat-00{n}'" for n in range(5)
        ]


def test_a_directory_in_which_nobody_is(directory: Path, capsys: Captured) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(directory / "4711.sock"))  # As by a process that was killed.
    (directory / "notes.txt").write_text("", encoding="utf-8")
    assert main(["top", str(directory)]) == 0
    output, errors = capsys.readouterr()
    assert output.strip().endswith(f" 0 processes, 0 clients ({directory})")
    assert errors == ""


def test_one_process(directory: Path, capsys: Captured) -> None:
    path = directory / "any name"
    with debug.serve(path), planted():
        assert main(["top", str(path), "--json"]) == 0
        found = lines(capsys.readouterr().out)
        assert "Planted 'planted'" in [row["client"] for row in found]
    assert main(["top", str(path)]) == 2  # It has gone, and its socket too.


# what cannot be


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "set SLIPSTREAM_DEBUG_DIR"),
        (["nowhere"], 2, "No such file"),
        (["file"], 2, "neither a directory nor a local socket"),
        (["left.sock"], 4, "nobody listens there"),
        (["deaf.sock", "--timeout", "1ms"], 12, "no answer in time"),
        ([".", "--sort", "nonsense"], 2, "--sort takes one of"),
        ([".", "--interval", "0"], 2, "--interval takes a time"),
        (["http://"], 2, "names no host"),
        (["http://x:y"], 2, "the URL is none"),
        (["http://x/", "--token", "s3cret"], 2, "--token takes env:NAME"),
        (["http://x/", "--header", "s3cret"], 2, "--header takes"),
        (["http://x/", "--header", "A: env:EVIL"], 2, "a line's end"),
        (["nowhere", "--web"], 2, "nowhere: No such file"),
        (["file", "--web"], 2, "neither a directory nor a local socket"),
        (["left.sock", "--web"], 2, "--web shows the processes of a directory"),
        (["http://nowhere.invalid/"], 3, "nowhere.invalid"),
    ],
)
def test_what_cannot_be_is_said(
    arguments: list[str],
    status: int,
    words: str,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.delenv("SLIPSTREAM_DEBUG_DIR", raising=False)
    monkeypatch.setenv("EVIL", "x\r\ny")
    Path("file").write_text("", encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as left, socket.socket(socket.AF_UNIX) as deaf:
        left.bind("left.sock")
        deaf.bind("deaf.sock")
        deaf.listen()
        assert main(["top", *arguments]) == status
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors
    assert "s3cret" not in errors


def test_the_page_on_loopback(directory: Path) -> None:
    with worker(directory, 2), command("top", str(directory), "--web") as running:
        running.wait_for("\n")
        url = running.output.strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}report.json", timeout=PATIENCE) as answer:
            (told,) = json.load(answer)["processes"]
            assert len(told["report"]["clients"]) == 2
        with command("top", url, "--json") as other:
            assert other.end() == 0, other.errors
            assert len(lines(other.output)) == 2
        running.send(signal.SIGINT)
        assert running.end() == 130
        assert running.errors == ""


# who does not answer


class Answering:
    """A socket that answers each request, or none; `reports` are told one after the other."""

    def __init__(self, path: Path, *, deaf: bool = False) -> None:
        self.asked = 0
        self._deaf = deaf
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(str(path))
        self._sock.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._sock.close()

    def _serve(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return
        with sock, sock.makefile("rb") as requests:
            for _ in requests:
                self.asked += 1
                if not self._deaf:
                    sock.sendall(b'{"ok": true, "result": {"pid": 7}}\n')


@contextmanager
def looking(directory: Path, interval: float = 0.01) -> Iterator[tuple[LocalProcesses, Any]]:
    """Yield the processes of a directory, and a function that looks once."""
    with selectors.DefaultSelector() as selector:
        found = LocalProcesses(str(directory), selector, interval)

        def look() -> dict[str, Any]:
            found.turn(time.monotonic())
            for key, _ in selector.select(interval):
                found.take(key.data, time.monotonic())
            now = time.monotonic()
            return {os.path.basename(process.key): process for process in found.processes(now)}

        try:
            yield found, look
        finally:
            found.close()


def test_who_hangs_holds_up_nobody(directory: Path) -> None:
    """And is asked once, not again and again."""
    with (
        Answering(directory / "deaf.sock", deaf=True) as deaf,
        Answering(directory / "fine.sock") as fine,
        looking(directory) as (_, look),
    ):
        silent = eventually(lambda: (p := look()["deaf.sock"]).silent_for and p, "the silence")
        assert silent.silent_for >= 1.0
        assert silent.pid == os.getpid()  # The system says so.
        assert look()["fine.sock"].silent_for is None
        assert fine.asked > 10
        assert deaf.asked == 1


def test_who_is_not_even_listened_to(directory: Path) -> None:
    """The system keeps no more who wait for a process that hangs."""
    with socket.socket(socket.AF_UNIX) as full, looking(directory) as (_, look):
        full.bind(str(directory / "full.sock"))
        full.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(directory / "full.sock"))
            assert eventually(lambda: look()["full.sock"].silent_for, "the silence") >= 1.0


def test_who_serves_too_many_already(directory: Path) -> None:
    with debug.serve(directory / "a.sock") as server:
        others = [socket.socket(socket.AF_UNIX) for _ in range(16)]
        try:
            for other in others:
                other.connect(server.path)
                other.sendall(b'{"request": "report"}\n')
                other.recv(1)
            with looking(directory) as (_, look):
                assert eventually(lambda: look()["a.sock"].silent_for, "the silence")
                others.pop().close()
                eventually(lambda: look()["a.sock"].report, "an answer")
                assert look()["a.sock"].silent_for is None
        finally:
            for other in others:
                other.close()


def test_who_comes_and_goes(directory: Path) -> None:
    with looking(directory) as (_, look):
        assert look() == {}
        with debug.serve(directory / "a.sock"):
            eventually(lambda: look()["a.sock"].report, "an answer")
        eventually(lambda: look() == {}, "the end")


def test_what_is_no_report(directory: Path) -> None:
    path = directory / "other.sock"
    with (
        socket.create_server(str(path), family=socket.AF_UNIX) as other,
        looking(directory) as (
            _,
            look,
        ),
    ):
        eventually(look, "the process")
        sock, _address = other.accept()
        with sock:
            sock.sendall(b"hello\n")
            eventually(lambda: look()["other.sock"].trouble == "answers with no report", "the word")


def test_a_process_that_is_stopped(directory: Path) -> None:
    """Beside one that is not: which is shown as it is now."""
    with worker(directory, 1) as stopped, worker(directory, 1) as other:
        stopped.process.send_signal(signal.SIGSTOP)
        with command("top", str(directory), "--json", "--timeout", "5s") as running:
            assert running.end() == 0, running.errors
        silent, fine = sorted(lines(running.output), key=lambda row: row["silent_for"] is None)
        assert (silent["pid"], silent["client"]) == (stopped.process.pid, None)
        assert silent["silent_for"] >= 1.0
        assert (fine["pid"], fine["silent_for"]) == (other.process.pid, None)


def test_a_process_that_holds_the_interpreters_lock(directory: Path) -> None:
    """Live: it was known before, and what was known is shown; others go on."""
    with worker(directory, 1) as greedy, worker(directory, 1) as other:
        with typing_at_terminal("top", str(directory), "--interval", "50ms") as running:
            running.resize(200, 60)
            running.wait_for("2 processes, 2 clients")
            greedy.say("hold")
            running.wait_for(f"pid {greedy.process.pid} does not answer for ")
            running.wait_for("no answer ")  # Further down on the same screen.
            other.say("start")
            assert other.line() == "started"
            running.wait_for("Chat 'a new one'")
            running.wait_for("2 processes, 3 clients")
            # It is still said.
            later = rf"pid {greedy.process.pid} does not answer for (?:[2-9]|\d\d)"
            while not re.search(later, running.output):
                running.wait_for_more()
            running.type("q")
            assert running.end() == 0
        greedy.kill()


# at a terminal


def frames(output: str) -> list[list[str]]:
    """Return the lines of each time that the screen was drawn as a whole, without styles."""
    drawn = output.partition("\x1b[?1049l")[0].split("\x1b[H")[1:]
    return [STYLES.sub("", frame).replace("\r", "").split("\n") for frame in drawn]


@pytest.mark.parametrize(("columns", "height"), [(80, 24), (200, 60)])
@pytest.mark.parametrize("clients", [0, 3, 500])
def test_a_screen(directory: Path, clients: int, columns: int, height: int) -> None:
    with worker(directory, clients), typing_at_terminal("top", str(directory)) as running:
        running.resize(columns, height)
        running.wait_for(f"1 process, {clients} clients")
        running.type("G")  # To the last one.
        running.wait_for(f"{max(clients, 1)}/{max(clients, 1)} by process")
        if clients == 500:
            running.wait_for("Chat 'chat-499'")
        running.type("s")
        running.wait_for("by client")
        running.type("/chat-002\r")
        running.wait_for("with 'chat-002'")
        running.type("q")
        assert running.end() == 0
        last = frames(running.output)[-1]
        assert len(last) == height
        assert all(len(line) <= columns for line in last)
        assert all(part in running.output for part in GIVEN_BACK)
        if clients > 2:
            assert any("Chat 'chat-002'" in line for line in last)
            assert not any("Chat 'chat-001'" in line for line in last)


class Kitchen(ClientActor):
    def init(self) -> Socket:
        return connect("ws://test.invalid/socket/websocket", test_mode=True)


def test_what_a_terminal_has_no_letters_for(directory: Path) -> None:
    """It is escaped in a pipe, and no line of a screen gets longer for it."""
    ref = Kitchen.start(name="Küche" + "ü" * 60)
    with debug.serve(directory / "1.sock"):
        with command("top", str(directory), PYTHONIOENCODING="ascii") as running:
            assert running.end() == 0, running.errors
            assert r"Kitchen 'K\xfcche" in running.output
        typing = typing_at_terminal("top", str(directory), PYTHONIOENCODING="ascii")
        with typing as running:
            running.resize(60, 12)
            running.wait_for("K?che")
            running.type("q")
            assert running.end() == 0
            assert all(len(line) <= 60 for line in frames(running.output)[-1])
    ref.stop()


def test_another_size_is_noticed(directory: Path) -> None:
    with worker(directory, 1), typing_at_terminal("top", str(directory)) as running:
        running.resize(80, 24)
        running.wait_for("IN/S")
        assert "LAST FAILURE" not in running.output
        running.resize(200, 60)
        running.wait_for("LAST FAILURE")
        running.type("q")
        assert running.end() == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_ends_it_quietly(directory: Path, number: signal.Signals, status: int) -> None:
    with worker(directory, 1), typing_at_terminal("top", str(directory)) as running:
        running.wait_for("1 client")
        running.send(number)
        assert running.end() == status
        assert "Traceback" not in running.output
        assert all(running.output.rindex(part) for part in GIVEN_BACK)


def test_ctrl_c_ends_it_quietly(directory: Path) -> None:
    with typing_at_terminal("top", str(directory)) as running:
        running.wait_for("0 processes")
        running.type("\x03")
        assert running.end() == 130
        assert "Traceback" not in running.output


def test_ctrl_z_gives_the_terminal_back(directory: Path) -> None:
    with worker(directory, 1), typing_at_terminal("top", str(directory)) as running:
        running.wait_for("1 client")
        running.type("\x1a")
        running.wait_for(GIVEN_BACK[1])
        status = Path(f"/proc/{running.process.pid}/stat")
        eventually(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "the stop")
        seen = running.output.count("1 client")
        running.send(signal.SIGCONT)
        while running.output.count("1 client") == seen:
            running.wait_for_more()
        running.type("q")
        assert running.end() == 0
        assert running.output.count("\x1b[?1049h") == running.output.count("\x1b[?1049l") == 2


def test_without_a_keyboard_it_is_live_too(directory: Path) -> None:
    with worker(directory, 1), at_terminal("top", str(directory), "--interval", "50ms") as running:
        running.wait_for("1 client")
        running.wait_for_more()
        running.send(signal.SIGINT)
        assert running.end() == 130
        assert running.errors == ""


def test_once_at_a_terminal(directory: Path) -> None:
    with worker(directory, 3), at_terminal("top", str(directory), "--once") as running:
        assert running.end() == 0
        assert "\x1b" not in running.output
        assert all(len(line) <= 80 for line in running.output.replace("\r", "").splitlines())
        assert "Chat 'chat-002'" in running.output


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["table", "json"])
def test_a_signal_ends_a_snapshot_quietly(
    directory: Path, options: tuple[str, ...], number: signal.Signals, status: int
) -> None:
    """While it waits for one that does not answer."""
    with (
        Answering(directory / "deaf.sock", deaf=True) as deaf,
        command("top", str(directory), "--timeout", "60s", *options) as running,
    ):
        eventually(lambda: deaf.asked, "the question")
        running.send(number)
        assert running.end() == status
        assert (running.output, running.errors) == ("", "")


def test_a_reader_that_has_gone(directory: Path) -> None:
    """Also while it waits."""
    with (
        Answering(directory / "deaf.sock", deaf=True) as deaf,
        command("top", str(directory), "--timeout", "60s") as running,
    ):
        eventually(lambda: deaf.asked, "the question")
        running.close_output()
        assert running.end() == 141
        assert running.errors == ""


def test_no_secret_is_shown(directory: Path) -> None:
    """In no form, and the errors hold none either."""
    texts = []
    with planted() as ref, debug.serve(directory / f"{os.getpid()}.sock"):
        get_stuck(ref)
        for options in ((), ("--json",), ("--once", "--sort", "busy")):
            with command("top", str(directory), *options) as running:
                assert running.end() == 0
                texts += [running.output, running.errors]
        for size in ((80, 24), (200, 60)):
            with typing_at_terminal("top", str(directory)) as running:
                running.resize(*size)
                running.wait_for("Planted")
                running.type("/planted\r")
                running.wait_for("topics 1 joined of 2")
                running.type("q")
                assert running.end() == 0
                texts.append(running.output)
    assert all("Planted" in text or text == "" for text in texts)
    assert leaked("\n".join(texts)) == []


# over HTTP


class Dashboard(BaseHTTPRequestHandler):
    """Lets in who has the token; `answer` is what it tells."""

    answer: tuple[int, bytes] = 200, b""
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        authority = self.headers["Authorization"]
        self.seen.append((self.path, authority))
        status, body = self.answer
        if authority not in (f"Bearer {secret('token')}", "Basic YWw6aWNl"):
            status, body = 403, b"no"
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Joining(ThreadingHTTPServer):
    """Its end waits for those of its threads."""

    daemon_threads = False


@contextmanager
def dashboard(status: int = 200, told: Any = None) -> Iterator[tuple[str, type[Dashboard]]]:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()

    class Handler(Dashboard):
        answer = status, body

    Handler.seen = []
    with Joining(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", Handler
        finally:
            server.shutdown()
            thread.join()


TOLD = {
    "time": 100.0,
    "processes": [
        {"key": "7", "pid": 7, "answers": True, "report": {"pid": 7, "clients": [{"id": "a"}]}},
        {"key": "8", "answers": False, "since": 88.0},
    ],
}


@pytest.mark.parametrize("path", ["/deep/mount", "/deep/mount/", "/deep/mount/report.json"])
def test_a_dashboard(path: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", secret("token"))
    with dashboard(told=TOLD) as (host, handler):
        assert main(["top", f"http://{host}{path}", "--token", "env:MINE", "--json"]) == 0
        told, silent = lines(capsys.readouterr().out)
        assert (told["pid"], told["silent_for"], silent["silent_for"]) == (7, None, 12.0)
        assert {path for path, _ in handler.seen} == {"/deep/mount/report.json"}
        assert main(["top", f"http://al:ice@{host}", "--once"]) == 0
        output = capsys.readouterr().out
        assert "no answer 12.0s" in output
        assert "ice" not in output


def test_authority_from_wherever_it_is(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bearer = f"Bearer {secret('token')}"
    (tmp_path / "token").write_text(f"{secret('token')}\n", encoding="utf-8")
    monkeypatch.setenv("WHOLE", bearer)
    monkeypatch.delenv("SLIPSTREAM_DASHBOARD_TOKEN", raising=False)
    with dashboard(told=TOLD) as (host, _):
        url = f"http://{host}/"
        assert main(["top", url, "--json", "--token", f"file:{tmp_path}/token"]) == 0
        assert main(["top", url, "--json", "--header", "Authorization: env:WHOLE"]) == 0
        assert main(["top", url, "--json"]) == 1
        monkeypatch.setenv("SLIPSTREAM_DASHBOARD_TOKEN", secret("token"))
        assert main(["top", url, "--json"]) == 0
        monkeypatch.setenv("ADDRESS", f"http://al:ice@{host}/")
        assert main(["top", "env:ADDRESS", "--json"]) == 0
    output, errors = capsys.readouterr()
    assert "refused with 403; --token or --header" in errors
    assert leaked(output + errors) == []


@pytest.mark.parametrize(
    ("status", "told", "words"),
    [
        (404, b"", "answered with 404"),
        (302, b"", "answered with 302"),  # It goes nowhere else with a token.
        (500, b"", "answered with 500"),
        (200, b"<html>", "no dashboard's report.json"),
        (200, b'{"processes": 5}', "no dashboard's report.json"),
        pytest.param(200, b"[" * 100_000, "no dashboard's report.json", id="deep"),
    ],
)
def test_what_is_no_dashboard(
    status: int, told: bytes, words: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPSTREAM_DASHBOARD_TOKEN", secret("token"))
    with dashboard(status, told) as (host, handler):
        assert main(["top", f"http://{host}/hidden", "--once"]) == 1
        assert [path for path, _ in handler.seen] == ["/hidden/report.json"]
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors
    assert "hidden" not in errors  # It may hold a secret, as the page's of --web does.


def test_nobody_listens_there(capsys: Captured) -> None:
    with dead_port() as port:
        assert main(["top", f"http://127.0.0.1:{port}/", "--once"]) == 4
        assert main(["top", f"https://127.0.0.1:{port}/", "--once"]) == 4
    with dashboard() as (host, _):
        assert main(["top", f"https://{host}/", "--once"]) == 5
    assert "Connection refused" in capsys.readouterr().err


def test_a_dashboard_that_fails_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown as it was, and for how long nothing is known of it."""
    with (
        dashboard(told=TOLD) as (host, handler),
        typing_at_terminal(
            "top",
            f"http://{host}/",
            "--interval",
            "50ms",
            SLIPSTREAM_DASHBOARD_TOKEN=secret("token"),
        ) as running,
    ):
        running.resize(200, 60)
        running.wait_for("2 processes, 1 client")
        handler.answer = 500, b""
        running.wait_for("pid 7 does not answer for")
        handler.answer = 200, json.dumps({"time": 1.0, "processes": []}).encode()
        running.type("q")
        assert running.end() == 0
        assert not leaked(running.output)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://[::1]/x", ("::1", 80)),
        ("https://[fe80::abcd]/x", ("fe80::abcd", 443)),
        ("https://[::1]:8443/x", ("::1", 8443)),
        ("http://example.com/x", ("example.com", 80)),
    ],
)
def test_where_a_request_goes(url: str, where: tuple[str, int]) -> None:
    address = address_of(url, [], None)
    connection = address.connection(1.0)
    assert (connection.host, connection.port) == where
    assert url.startswith(f"{address.where}/")


def test_a_host_that_is_none(capsys: Captured) -> None:
    assert main(["top", "http://a b/", "--once"]) == 2
    assert "the URL's host is none" in capsys.readouterr().err


def test_whatever_a_request_fails_with_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: Address) -> NoReturn:
        raise RuntimeError("no more threads")

    monkeypatch.setattr(remote, "fetch", failing)
    with selectors.DefaultSelector() as selector:
        address = address_of("http://example.com", [], None)
        source = RemoteProcesses(address, selector, 0.01)
        assert selector.select(PATIENCE)
        with pytest.raises(Failure, match="not asked: RuntimeError"):
            source.take(source, 0.0)
        source.close()


def test_an_address_of_ipv6() -> None:
    address = address_of("https://[::1]:8443/x?y=1", [("X", "y")], None)
    assert (address.host, address.port, address.path) == ("::1", 8443, "/x/report.json?y=1")
    assert address.headers["X"] == "y"
    with pytest.raises(Failure):
        address_of("https:///x", [], None)
