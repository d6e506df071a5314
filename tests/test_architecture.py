"""The arrows between the modules, read from their sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import slipstream_actor

PACKAGE = Path(slipstream_actor.__file__).parent
NAME = "slipstream_actor"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
SUBPACKAGES = [path for path in (PACKAGE / "testing", PACKAGE / "contrib") if path.is_dir()]

CORE = ["commands", "events", "frames", "message", "protocol", "reasons", "serializer"]
# What the core may use besides.
ERRORS = "errors"
NO_CORE = {
    "_thread",
    "asyncio",
    "concurrent",
    "datetime",
    "multiprocessing",
    "pykka",
    "queue",
    "sched",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "websocket",
}
# From the top to the bottom: a module imports none of those before it, not even by another.
LAYERS = [
    "supervisor",
    "client",
    "socket",
    "connection",
    "transport",
    "process",
    "mailbox",
    "protocol",
    "message",
]
# One thing in two files.
CYCLES = [{"awaiting", "socket"}]
# gevent patches these modules: what it replaces is looked up at run time.
PATCHED = {"queue", "select", "selectors", "socket", "ssl", "threading", "time"}


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports in a module, late ones too, but for those that only the type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not is_for_types(child):
            yield from statements(child)


@cache
def imports(path: Path) -> frozenset[str]:
    """The full names of what a file imports: of modules, and of what is taken out of them."""
    found: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path}: relative imports are not tidy"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def roots(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imports(path)}


def ours(module: str) -> set[str]:
    """The modules of the package that one of them imports."""
    names = imports(PACKAGE / f"{module}.py")
    return {n.split(".")[1] for n in names if n.startswith(f"{NAME}.")} & {*MODULES, "testing"}


def reaches(module: str) -> set[str]:
    """The modules that one imports, also by another."""
    found: set[str] = set()
    wanted = [module]
    while wanted:
        for name in ours(wanted.pop()) - found:
            found.add(name)
            wanted.append(name)
    return found


def test_the_sources_are_read() -> None:
    assert {"message", "protocol"} <= ours("connection") | reaches("connection")
    assert "websocket" in roots(PACKAGE / "transport.py")
    assert set(CORE) | {ERRORS} | set(LAYERS) <= set(MODULES)
    assert SUBPACKAGES


@pytest.mark.parametrize("module", CORE)
def test_the_core_knows_neither_threads_nor_sockets_nor_a_clock(module: str) -> None:
    assert not roots(PACKAGE / f"{module}.py") & NO_CORE
    assert reaches(module) <= {*CORE, ERRORS}


def test_messages_and_errors_know_nothing() -> None:
    assert reaches("message") == {ERRORS}
    assert not reaches(ERRORS)
    assert not roots(PACKAGE / "errors.py") & NO_CORE


@pytest.mark.parametrize("module", LAYERS)
def test_the_layers_point_one_way(module: str) -> None:
    assert not reaches(module) & set(LAYERS[: LAYERS.index(module)])


def test_protocol_and_transport_meet_in_the_connection_alone() -> None:
    for half in ("protocol", "transport"):
        assert [m for m in MODULES if half in ours(m)] == ["connection"]


@pytest.mark.parametrize("module", MODULES)
def test_there_are_no_cycles(module: str) -> None:
    cycle = {m for m in reaches(module) if module in reaches(m)} - {module}
    assert not cycle or cycle | {module} in CYCLES


def test_websocket_client_is_imported_by_the_transport_alone() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if "websocket" in roots(path)]
    assert files == [PACKAGE / "transport.py"]


def test_nothing_of_the_package_imports_its_extras() -> None:
    for path in PACKAGE.glob("*.py"):
        assert not any(
            name.startswith((f"{NAME}.testing", f"{NAME}.contrib")) for name in imports(path)
        )
        assert not roots(path) & {"wsproto", "hypothesis", "pytest", "tests", "opentelemetry"}


def test_patched_modules_are_looked_up_at_run_time() -> None:
    for path in PACKAGE.glob("*.py"):
        taken = {
            name for name in imports(path) if name.count(".") and name.split(".")[0] in PATCHED
        }
        assert not taken, path


def test_importing_the_package_imports_no_extra() -> None:
    code = f"import sys, {NAME}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    assert f"{NAME}.client" in loaded
    # python_socks is tried by websocket-client.
    extras = {"wsproto", "orjson", "opentelemetry", f"{NAME}.testing", f"{NAME}.contrib"}
    assert not extras & set(loaded)
