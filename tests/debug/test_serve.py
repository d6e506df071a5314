"""`serve`: a local socket of its owner's alone, that changes nothing unless it may."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor import debug
from slipstream_actor.debug.peer import LONGEST
from slipstream_actor.debug.serving import MOST_PEERS
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, Log, Recorder, eventually, recording
from tests.support.planted import get_stuck, leaked, planted
from tests.support.programs import run
from tests.support.threads import looks_into_threads

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="there are no local sockets here"
)
TOPIC = "bench:a"


class Asker:
    """Asks over a local socket."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(path)
        self._lines = self.sock.makefile("rb")

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self.sock.close()

    def line(self) -> Any:
        return json.loads(self._lines.readline())

    def send(self, data: bytes) -> Any:
        self.sock.sendall(data)
        return self.line()

    def ask(self, what: str, **others: Any) -> Any:
        return self.send(json.dumps({"request": what, **others}).encode() + b"\n")

    def is_over(self) -> bool:
        try:
            return self._lines.readline() == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "debug.sock")


@pytest.fixture
def served(path: str) -> Iterator[debug.DebugServer]:
    with debug.serve(path) as server:
        yield server


def test_a_report(server: PhoenixServer, served: debug.DebugServer) -> None:
    with recording(server.uri) as (ref, log), Asker(served.path) as asker:
        log.take("connect")
        for stacks in (False, True):
            answer = asker.ask("report", stacks=stacks)
            assert answer["ok"] is True
            assert answer["result"]["pid"] == os.getpid()
            (client,) = answer["result"]["clients"]
            assert client["id"] == ref.actor_urn


@looks_into_threads
def test_names_of_files_that_are_no_utf_8(server: PhoenixServer, served: debug.DebugServer) -> None:
    """A stack has them; Python has surrogates for their bytes."""
    go_on = threading.Event()
    names: dict[str, Any] = {"go_on": go_on}
    source = "def wait(socket):\n    go_on.wait(30)\n    return socket"
    exec(compile(source, "/srv/caf\udce9.py", "exec"), names)
    with recording(server.uri) as (ref, log), Asker(served.path) as asker:
        log.take("connect")
        waiting = ref.proxy().do(names["wait"])
        eventually(lambda: debug.get_status(ref)["callback"], "the callback")
        answer = asker.ask("report", stacks=True)
        go_on.set()
        waiting.get()
        [client] = answer["result"]["clients"]
        assert "/srv/caf\ufffd.py:2 in wait" in client["callback"]["stack"]


def test_it_is_its_owners_alone(served: debug.DebugServer) -> None:
    found = os.lstat(served.path)
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_a_trace(server: PhoenixServer, served: debug.DebugServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        with Asker(served.path) as asker, Asker(served.path) as other:
            for name in (ref.actor_urn, str(ref)):
                assert asker.ask("trace", client=name) == {"ok": True, "result": None}
            ref.tell("one")
            assert "in  info str (took" in asker.line()["line"]
            # Beside it others are answered, and may trace too.
            assert other.ask("trace", client=str(ref))["ok"]
            ref.tell("two")
            assert "info str" in asker.line()["line"]
            assert "info str" in other.line()["line"]
            assert asker.ask("trace", client=str(ref), on=False)["ok"]
            inbox: Any = ref.actor_inbox
            assert len(inbox.observer.listeners) == 1
        eventually(lambda: inbox.observer is None, "the end of the other trace")


def test_a_trace_without_a_thread_is_refused_and_may_be_asked_for_again(
    server: PhoenixServer, served: debug.DebugServer
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with recording(server.uri) as (ref, log), Asker(served.path) as asker:
        log.take("connect")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_thread)
            refused = asker.ask("trace", client=str(ref))
        assert refused == {"ok": False, "error": "RuntimeError"}
        assert asker.ask("trace", client=str(ref))["ok"]
        ref.tell("one")
        assert "info str" in asker.line()["line"]


def test_a_trace_says_that_its_client_has_ended(
    server: PhoenixServer, served: debug.DebugServer
) -> None:
    with Asker(served.path) as asker:
        with recording(server.uri) as (ref, log):
            log.take("connect")
            assert asker.ask("trace", client=str(ref))["ok"]
            label = str(ref)
        lines = iter(asker.line, None)
        assert next(line for line in lines if "ended" in line) == {"ended": label}


def test_a_peer_that_reads_nothing_holds_up_nobody(
    server: PhoenixServer, served: debug.DebugServer
) -> None:
    with recording(server.uri) as (ref, log), Asker(served.path) as asker:
        log.take("connect")
        assert asker.ask("trace", client=str(ref))["ok"]
        for n in range(20_000):
            ref.tell(n)
        log.take("info", 19_999)
        served.close()


@pytest.mark.parametrize("what", ["suspend", "resume", "disconnect", "reconnect"])
def test_nothing_is_changed_unless_it_may_be(
    what: str, server: PhoenixServer, served: debug.DebugServer
) -> None:
    with recording(server.uri) as (ref, log), Asker(served.path) as asker:
        log.take("connect")
        answer = asker.ask(what, client=str(ref))
        assert answer["ok"] is False
        assert "allow_control=True" in answer["error"]
        status = debug.get_status(ref)
        assert (status["status"], status["suspended"]) == ("connected", False)


def test_control(server: PhoenixServer, path: str) -> None:
    with (
        recording(server.uri) as (ref, log),
        debug.serve(path, allow_control=True),
        Asker(path) as asker,
    ):
        log.take("connect")
        assert asker.ask("suspend", client=str(ref))["ok"]
        assert debug.get_status(ref)["suspended"]
        assert asker.ask("resume", client=str(ref))["ok"]
        eventually(lambda: not debug.get_status(ref)["suspended"], "the resumption")
        assert asker.ask("reconnect", client=str(ref))["ok"]
        log.take("disconnect")
        log.take("connect")
        assert asker.ask("disconnect", client=str(ref))["ok"]
        log.take("disconnect")
        assert asker.ask("suspend", client="nobody")["ok"] is False


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"no JSON\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"request": 1}\n',
        b'{"request": "stop"}\n',
        b'{"request": "trace"}\n',
        b'{"request": "trace", "client": "nobody"}\n',
        b"[" * 50_000 + b"\n",
    ],
    ids=str,
)
def test_what_is_no_request_is_refused(line: bytes, served: debug.DebugServer) -> None:
    with Asker(served.path) as asker:
        answer = asker.send(line)
        assert answer["ok"] is False
        assert answer["error"]
        assert asker.ask("report")["ok"]


def test_a_request_without_an_end_is_not_waited_for(served: debug.DebugServer) -> None:
    with Asker(served.path) as asker:
        asker.sock.sendall(b"x" * (LONGEST + 1))
        assert asker.line() == {"ok": False, "error": f"a request has {LONGEST} bytes at most"}
        assert asker.is_over()


def test_a_client_is_named_as_it_is_shown(server: PhoenixServer, served: debug.DebugServer) -> None:
    odd = "\x1b[2J" + "x" * 500
    tokens = ["SFMyNTY.one", "SFMyNTY.two"]
    refs = [Recorder.start(server.uri, Log(), name=name) for name in (odd, ("a", 1), *tokens)]
    with Asker(served.path) as asker:
        shown = {part["id"]: part for part in asker.ask("report")["result"]["clients"]}
        for ref in refs[:2]:
            part = shown[ref.actor_urn]
            for known_as in (part["id"], part["label"], part["name"]):
                assert asker.ask("messages", client=known_as)["ok"], known_as
        assert asker.ask("messages", client=odd)["ok"]
        # Both are shown without their tokens.
        hidden = shown[refs[2].actor_urn]["name"]
        assert hidden == shown[refs[3].actor_urn]["name"]
        assert "by its id" in asker.ask("messages", client=hidden)["error"]
        assert asker.ask("messages", client=tokens[1])["ok"]
    for ref in refs:
        ref.stop()


def test_so_many_are_served_at_once(served: debug.DebugServer) -> None:
    askers = [Asker(served.path) for _ in range(MOST_PEERS)]
    try:
        assert all(asker.ask("report")["ok"] for asker in askers)
        with Asker(served.path) as one_more:
            assert one_more.is_over()
        askers.pop().__exit__()

        def is_served() -> bool:
            with Asker(served.path) as asker:
                try:
                    return bool(asker.ask("report")["ok"])
                except (OSError, ValueError):
                    return False

        eventually(is_served, "room for another one")
    finally:
        for asker in askers:
            asker.__exit__()


def test_its_end_is_the_end_for_all(path: str) -> None:
    server = debug.serve(path)
    with Asker(path) as asker:
        assert asker.ask("report")["ok"]
        server.close()
        assert asker.is_over()
    assert not os.path.exists(path)
    server.close()


def test_where_something_is_already(path: str, served: debug.DebugServer) -> None:
    with pytest.raises(OSError, match="somebody listens"):
        debug.serve(path)
    served.close()
    # One that was left behind, as by a process that was killed.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with debug.serve(path), Asker(path) as asker:
        assert asker.ask("report")["ok"]
    Path(path).write_text("a file", encoding="utf-8")
    with pytest.raises(FileExistsError):
        debug.serve(path)
    assert Path(path).read_text(encoding="utf-8") == "a file"


@pytest.mark.parametrize(
    ("place", "kind", "why"),
    [
        ("nowhere/x.sock", FileNotFoundError, "No such file or directory"),
        ("file/x.sock", NotADirectoryError, "Not a directory"),
        (f"{'x' * 200}.sock", OSError, "AF_UNIX path too long"),
    ],
)
def test_what_cannot_be_served_at_is_named(
    tmp_path: Path, place: str, kind: type[OSError], why: str
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    path = str(tmp_path / place)
    with pytest.raises(kind, match=re.escape(f"{why}: {path!r}")) as raised:
        debug.serve(path)
    assert raised.value.filename == path


def test_it_removes_no_other_one(path: str) -> None:
    first = debug.serve(path)
    os.unlink(path)
    with debug.serve(path):
        first.close()
        assert os.path.exists(path)


def test_no_secret_goes_over_it(path: str) -> None:
    """Nor when control is allowed and fails."""
    with planted() as ref, debug.serve(path, allow_control=True), Asker(path) as asker:
        texts = [json.dumps(asker.ask("trace", client="planted"))]
        get_stuck(ref)
        asked = ("report", "resume", "nothing")
        texts += [json.dumps(asker.ask(what, client="planted", stacks=True)) for what in asked]
        ref._actor_weakref().go_on.set()
        texts += [json.dumps(asker.line()) for _ in range(5)]
    assert leaked("\n".join(texts)) == []


# exits and forks

BEGIN = """
import json, os, socket, sys
from slipstream_actor import ClientActor, ClientHandle, connect, debug
class Client(ClientActor):
    def init(self):
        return connect("ws://test.invalid/socket/websocket", test_mode=True)
def ask(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(path)
        sock.sendall(b'{"request": "report"}\\n')
        with sock.makefile("rb") as lines:
            return json.loads(lines.readline())["result"]
def child(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, code
path = sys.argv[1]
"""


def runs(program: str, path: str) -> None:
    outcome = run(BEGIN + program, path)
    assert outcome.code == 0, outcome.errors


def test_it_ends_at_the_exit(path: str) -> None:
    runs("debug.serve(path); assert ask(path)['pid'] == os.getpid()", path)
    assert not os.path.exists(path)


linux = pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone")


@linux
def test_no_child_serves_what_is_its_parents(path: str) -> None:
    """And none ends it; what it serves itself is its own."""
    program = """
server = debug.serve(path)
def other():
    server.close()
    assert os.path.exists(path)
    assert ask(path)["pid"] == os.getppid()
    with debug.serve(path + "2"):
        assert ask(path + "2")["pid"] == os.getpid()
child(other)
assert ask(path)["pid"] == os.getpid()
def leaving():
    import atexit
    atexit._run_exitfuncs()
child(leaving)
assert ask(path)["pid"] == os.getpid()
"""
    runs(program, path)


@linux
def test_a_parents_end_is_seen_beside_a_child(path: str) -> None:
    """The child holds no copy of what the parent listens at, or has accepted."""
    program = """
import threading
server = debug.serve(path)
peer = socket.socket(socket.AF_UNIX)
peer.connect(path)
peer.sendall(b'{"request": "report"}\\n')
lines = peer.makefile("rb")
assert lines.readline()
hold, go_on = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(go_on)
    os.read(hold, 1)
    os._exit(0)
server.close()
peer.settimeout(10)
assert lines.readline() == b""
os.write(go_on, b"x")
os.waitpid(pid, 0)
"""
    runs(program, path)


@linux
def test_a_directory_from_the_environment(tmp_path: Path) -> None:
    """Each process that uses a handle serves itself, from its first use on."""
    program = """
os.environ["SLIPSTREAM_DEBUG_DIR"] = path
handle, other = ClientHandle(Client), ClientHandle(Client)
assert not os.path.exists(path)
handle.ref, other.ref
mine = os.path.join(path, f"{os.getpid()}.sock")
assert len(ask(mine)["clients"]) == 2
def used():
    assert os.listdir(path) == [os.path.basename(mine)]
    handle.ref
    own = os.path.join(path, f"{os.getpid()}.sock")
    whole = ask(own)
    assert (whole["pid"], len(whole["clients"])) == (os.getpid(), 1)
    os.unlink(own)
child(used)
assert ask(mine)["pid"] == os.getpid()
"""
    directory = tmp_path / "d"
    runs(program, str(directory))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert os.listdir(directory) == []


def test_a_directory_that_cannot_be_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    program = """
os.environ["SLIPSTREAM_DEBUG_DIR"] = path
assert ClientHandle(Client).ref.is_alive()
"""
    outcome = run(BEGIN + program, str(tmp_path / "file"))
    assert outcome.code == 0, outcome.errors
    assert "nothing is served at" in outcome.errors


def test_its_threads_have_ended_when_it_is_closed(path: str) -> None:
    with debug.serve(path), Asker(path) as asker:
        assert asker.ask("report")["ok"]
    assert not [t for t in threading.enumerate() if t.name.startswith("slipstream_actor debug")]
