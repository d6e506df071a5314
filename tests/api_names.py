"""The names of the interface that a text mentions between backticks, and whether they exist."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import slipstream_actor
from slipstream_actor import ClientActor, Configuration, Socket, telemetry
from slipstream_actor.testing import Channel

SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# What is told of is the standard library's, Elixir's or phoenix.js's; a slip; a metric's attribute.
FOREIGN = {
    "socket.py",
    "socket.setsockopt",
    "socket.create_connection",
    "socket.getaddrinfo",
    "FunctionClauseError",
    "Presence.syncState",
    "Presence.syncDiff",
    "handle_conect",
    "ConnectFailed.refused",
}
OPTIONS = {field.name for field in dataclasses.fields(Configuration)}


PACKAGE = Path(slipstream_actor.__file__).parent
LOGGER_MAKERS = {"logging.getLogger", "get_logger"}


def loggers() -> set[str]:
    """The names of the loggers in the sources."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in LOGGER_MAKERS:
                [name] = node.args
                if isinstance(name, ast.Constant):
                    found.add(str(name.value))
    return found


LOGGERS = loggers()


def classes(folder: Path) -> set[str]:
    """The names of the classes in the sources of a folder, some of which need an extra."""
    return {
        node.name
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


CONTRIB = classes(PACKAGE / "contrib")


def reachable(path: str) -> bool:
    """Whether a dotted name leads somewhere: modules, then attributes."""
    value: Any = None
    parts = path.split(".")
    for at, part in enumerate(parts):
        if at and hasattr(value, part):
            value = getattr(value, part)
            continue
        try:
            value = importlib.import_module(".".join(parts[: at + 1]))
        except ImportError:
            if is_without_its_extra(parts[: at + 1]):
                return True
            return at > 0 and has_field(value, part) and at == len(parts) - 1
    return True


def is_without_its_extra(parts: list[str]) -> bool:
    """Whether it is a module that cannot be imported on this platform."""
    place = PACKAGE.parent.joinpath(*parts)
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def is_module_or_logger(path: str) -> bool:
    return path in LOGGERS or reachable(path)


def has_field(owner: Any, name: str) -> bool:
    """Whether instances have what the class itself does not: a field that is only annotated."""
    return isinstance(owner, type) and any(
        name in vars(base).get("__annotations__", {}) for base in owner.__mro__
    )


def of_class(owner: type) -> Callable[[str], bool]:
    return lambda name: hasattr(owner, name) or has_field(owner, name)


def is_error(name: str) -> bool:
    places = (slipstream_actor, telemetry, builtins)
    return name in CONTRIB or any(hasattr(place, name) for place in places)


def is_callback(name: str) -> bool:
    return hasattr(ClientActor, name) or hasattr(Channel, name)


CHECKS: list[tuple[re.Pattern[str], Callable[[str], bool]]] = [
    (re.compile(r"(?<![\w./-])(slipstream_actor(?:\.\w+)+)"), is_module_or_logger),
    (re.compile(r"(?<![\w.])socket\.(\w+)"), of_class(Socket)),
    (re.compile(r"(?<![\w.])self\.socket\.(\w+)"), of_class(Socket)),
    (re.compile(r"^(\w+Error)\b"), is_error),
    (re.compile(r"^(handle_\w+)(?=$|\()"), is_callback),
    (re.compile(r"(?<![\w.])(await_[a-z]+)(?=$|\()"), of_class(Socket)),
    (re.compile(r"(?<![\w.])(\w+_msec)\b"), OPTIONS.__contains__),
    *(
        (re.compile(rf"(?<![\w.]){name}\.(\w+)"), of_class(value))
        for name, value in vars(slipstream_actor).items()
        if isinstance(value, type)
    ),
]


def unknown(text: str) -> Iterator[str]:
    """Yield each mention of a name that does not exist."""
    for span in SPAN.findall(text):
        if any(foreign in span for foreign in FOREIGN):
            continue
        for pattern, exists in CHECKS:
            for name in pattern.findall(span):
                if not exists(name):
                    yield span


def own_language(text: str) -> str:
    """Return a page on coming from elsewhere without its tables' first cells: the others' names."""
    return re.sub(r"^\|(?:\\\||[^|\n])*\|", "|", text, flags=re.MULTILINE)
