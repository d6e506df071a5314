"""The house: its rooms, and the arrows between them, read from the sources.

Imports for type checkers count as all others do.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import slipstream_actor

NAME = "slipstream_actor"
PACKAGE = Path(slipstream_actor.__file__).parent

# From the top to the bottom: who stands above uses who stands below, and nobody looks up.
HOUSE = {
    "cli": "the shell tool",
    "dashboard": "the page",
    "testing": "what users test with",
    "contrib": "one module per framework",
    "debug": "looking into running actors",
    "supervision": "supervisors and their children",
    "client": "events become callbacks",
    "socket": "what a process knows, and can ask for",
    "connection": "protocol, wire and time in one actor",
    "wire": "bytes",
    "telemetry": "events, spans, logs",
    "actors": "Pykka as we need it",
    "configuration": "the options",
    "protocol": "Phoenix Channels, pure",
    "errors": "the root of the errors",
}
ROOMS = list(HOUSE)
# Rooms that nobody imports but `cli`.
OUTSIDE = {"testing", "contrib", "dashboard"}
BESIDE_THE_ROOMS = {"__init__.py", "__main__.py", "errors.py", "py.typed"}

# What the core has no use for: it is told what time it is, and waits for nothing.
NOT_IN_PROTOCOL = {
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
}
OF_THE_SHELL_TOOL = {"typer", "rich", "prompt_toolkit"}
# What few programs have a use for, and whoever has imports it when it is needed.
NOT_AT_IMPORT = {
    "asyncio",
    "concurrent.futures.thread",
    "difflib",
    "email",
    "http.server",
    "importlib.metadata",
    "multiprocessing",
    "pickle",
    "random",
    "signal",
    "socketserver",
    "sqlite3",
    "subprocess",
    "tempfile",
    "unittest",
    "xml",
    f"{NAME}.client.subscriptions",
    f"{NAME}.debug",
    f"{NAME}.supervision.handle",
    f"{NAME}.supervision.supervisor",
    f"{NAME}.telemetry.redaction",
}
# gevent patches these modules: what it replaces is looked up at run time.
PATCHED = {"queue", "select", "selectors", "socket", "ssl", "threading", "time"}
LONGEST = 500

SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
MODULES = sorted(SOURCES)


def read(source: str) -> Iterator[str]:
    """Yield the full names of what a source imports: of modules, and of what is in them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not tidy"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imports(module: str) -> frozenset[str]:
    return frozenset(read(SOURCES[module].read_text(encoding="utf-8")))


def room_of(module: str) -> str:
    """The room that a module stands in; `""` for those of the package itself."""
    return module.removeprefix(NAME).lstrip(".").partition(".")[0]


def module_of(name: str) -> str | None:
    """The module of the package that an imported name is of."""
    if name in SOURCES:
        return name
    owner = name.rpartition(".")[0]
    return owner if owner in SOURCES else None


def ours(names: frozenset[str]) -> set[str]:
    return {found for name in names if (found := module_of(name)) is not None}


def looks_up(module: str, names: frozenset[str]) -> set[str]:
    """What a module imports that stands above it, or outside its reach."""
    room = room_of(module)
    if room not in ROOMS:
        return set()  # The package's own door opens every room.
    below = set(ROOMS[ROOMS.index(room) :])
    if room != "cli":
        below -= OUTSIDE - {room}
    return {name for name in ours(names) if room_of(name) not in below}


def test_there_is_nothing_beside_the_rooms() -> None:
    beside = {p.name for p in PACKAGE.iterdir() if p.is_file()}
    assert beside <= BESIDE_THE_ROOMS
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms <= set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_nobody_looks_up(module: str) -> None:
    assert not looks_up(module, imports(module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("protocol.channels", "from slipstream_actor.actors.inbox import Inbox"),
        ("socket.state", "from slipstream_actor.client import client"),
        ("wire.dial", "if TYPE_CHECKING:\n    from slipstream_actor.connection import connection"),
        ("debug.state", "def f():\n    import slipstream_actor.testing.kit.kit"),
        (
            "client.client",
            "from slipstream_actor.contrib.opentelemetry import SlipstreamInstrumentor",
        ),
        ("actors.actor", "from slipstream_actor import Socket"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    assert looks_up(f"{NAME}.{module}", frozenset(read(source)))


@pytest.mark.parametrize("module", MODULES)
def test_there_are_no_circles(module: str) -> None:
    """Not within a room either."""
    found: set[str] = set()
    wanted = [module]
    while wanted:
        for name in ours(imports(wanted.pop())) - found:
            found.add(name)
            wanted.append(name)
    assert module not in found


@pytest.mark.parametrize("module", MODULES)
def test_each_module_fits_into_a_head(module: str) -> None:
    assert len(SOURCES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_each_room_has_a_door(room: str) -> None:
    """It says what the room is for, which file to open first, and what it may use."""
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    assert "Open `" in text
    assert re.search(r"\b[Uu]ses?\b", text)
    assert len(text.splitlines()) <= 12


def of_room(room: str) -> list[str]:
    return [module for module in MODULES if room_of(module) == room]


@pytest.mark.parametrize("module", of_room("protocol"))
def test_the_core_knows_neither_threads_nor_sockets_nor_a_clock(module: str) -> None:
    assert not {name.partition(".")[0] for name in imports(module)} & NOT_IN_PROTOCOL


def test_only_the_wire_imports_websocket_client() -> None:
    knowing = {room_of(m) for m in MODULES if any(n.startswith("websocket") for n in imports(m))}
    assert knowing == {"wire"}


def test_the_extras_stay_with_those_that_need_them() -> None:
    extras = {"wsproto", "hypothesis", "pytest", "tests", "opentelemetry", "ray"}
    for module in MODULES:
        found = {name.partition(".")[0] for name in imports(module)}
        if room_of(module) not in OUTSIDE:
            assert not found & extras, module
        if room_of(module) != "cli":
            assert not found & OF_THE_SHELL_TOOL, module


def test_patched_modules_are_looked_up_at_run_time() -> None:
    for module in MODULES:
        if room_of(module) in OUTSIDE | {"cli"}:
            continue
        taken = {n for n in imports(module) if "." in n and n.partition(".")[0] in PATCHED}
        assert not taken, module


def test_importing_the_package_imports_no_extra() -> None:
    code = f"import sys, {NAME}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    assert f"{NAME}.client.client" in loaded
    # python_socks is tried by websocket-client.
    rooms = {f"{NAME}.testing", f"{NAME}.contrib", f"{NAME}.cli"}
    unwanted = {"wsproto", "orjson", "opentelemetry", "ray", *OF_THE_SHELL_TOOL, *rooms}
    assert not unwanted & set(loaded)


def test_importing_the_package_imports_nothing_that_few_programs_use() -> None:
    """What its dependencies import is theirs."""
    code = (
        "import sys, msgspec, pykka, rpds, websocket; before = set(sys.modules);"
        f"import {NAME}; print(*set(sys.modules) - before)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    assert f"{NAME}.client.client" in loaded
    assert not NOT_AT_IMPORT & set(loaded)


def test_what_is_imported_when_it_is_asked_for_is_what_type_checkers_see() -> None:
    [block] = [
        node
        for node in ast.parse(SOURCES[NAME].read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "_typing.TYPE_CHECKING"
    ]
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = {name: f"{NAME}.{module}" for name, module in slipstream_actor._MODULES.items()}
    assert found == {**seen, "debug": f"{NAME}.debug"}
