"""How the server is imported, and how it is run from a shell."""

from __future__ import annotations

import ast
import graphlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import slipstream_actor.testing
from tests.testing.server.raw_client import DEADLINE, Frame, RawClient

ROOT = Path(__file__).parents[2]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_every_public_name_is_there() -> None:
    for name in slipstream_actor.testing.__all__:
        assert getattr(slipstream_actor.testing, name)
        assert name in dir(slipstream_actor.testing)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="NoSuchName"):
        slipstream_actor.testing.NoSuchName  # noqa: B018  # The access is the test.


def test_the_package_does_not_import_wsproto() -> None:
    done = run("import sys, slipstream_actor.testing; sys.exit('wsproto' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_without_wsproto_the_error_names_the_extra() -> None:
    no_wsproto = "import sys; sys.modules['wsproto'] = None"
    done = run(f"{no_wsproto}; import slipstream_actor.testing as testing; testing.PhoenixServer")
    assert "ImportError: " in done.stderr
    assert "slipstream_actor[testing]" in done.stderr


@pytest.mark.parametrize("name", ["FaultProxy", "SocketTest", "accept_connect"])
def test_without_wsproto_there_is_the_rest(name: str) -> None:
    none = "import sys; sys.modules['wsproto'] = sys.modules['pytest'] = None"
    done = run(f"{none}; import slipstream_actor.testing as testing; testing.{name}")
    assert done.returncode == 0, done.stderr


TESTING = Path(slipstream_actor.testing.__file__).parent
NAME = "slipstream_actor.testing"
MODULES = {
    ".".join(path.relative_to(TESTING).with_suffix("").parts): path
    for path in sorted(TESTING.rglob("*.py"))
}
SERVER_MODULES = [name for name in MODULES if name.startswith(("server.", "proxy."))]


def imports(module: str) -> set[str]:
    """The modules that one of the package imports, anywhere in it: late, or for type checkers."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
            # What is taken out of a package may be a module.
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def neighbours(module: str) -> set[str]:
    """The modules of `testing` that one of them imports."""
    return {name.removeprefix(f"{NAME}.") for name in imports(module)} & MODULES.keys()


@pytest.mark.parametrize("module", SERVER_MODULES)
def test_the_server_imports_nothing_of_the_client(module: str) -> None:
    """They must share no bug. What the package itself imports does not count."""
    for name in imports(module):
        assert name.split(".")[0] not in ("websocket", "msgspec", "pykka")
        assert not re.match(r"slipstream_actor(?!\.testing\.(server|proxy)\b)", name)


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("server.")])
def test_the_server_imports_nothing_of_the_proxy(module: str) -> None:
    assert not any(name.startswith("proxy.") for name in neighbours(module))


def test_no_module_imports_itself_by_way_of_others() -> None:
    arrows = {module: neighbours(module) for module in MODULES}
    assert arrows["server.channel_process"] >= {"server.channel", "server.pubsub"}
    # Raises `CycleError`, which names the modules.
    graphlib.TopologicalSorter(arrows).prepare()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_the_shell(number: signal.Signals) -> None:
    module = ["-W", "error", "-m", "slipstream_actor.testing.server"]
    command = [sys.executable, *module, "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.fullmatch(r"ws://127\.0\.0\.1:(\d+)/socket/websocket\n", line)
            assert match is not None, line
            with RawClient("127.0.0.1", int(match[1])) as client:
                assert client.upgrade().status == 101
                process.send_signal(number)
                assert client.receive() == Frame("close", 1000)
            _, errors = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    assert process.returncode == 0
    assert errors == ""
