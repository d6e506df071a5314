"""The public surface, line by line: names, signatures, fields and their defaults.

`python -m tests.surface` writes it anew into `tests/public_surface.txt`, which `test_exports`
compares: a change of the interface is then a change that a review sees.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, is_typeddict

import msgspec
import pykka

FILE = Path(__file__).with_name("public_surface.txt")
PACKAGE = "slipstream_actor"
# Those that are public as modules, where they are there.
MODULES = [
    PACKAGE,
    f"{PACKAGE}.commands",
    f"{PACKAGE}.dashboard",
    f"{PACKAGE}.debug",
    f"{PACKAGE}.events",
    f"{PACKAGE}.reasons",
    f"{PACKAGE}.telemetry",
    f"{PACKAGE}.testing",
    f"{PACKAGE}.contrib.opentelemetry",
    f"{PACKAGE}.contrib.ray",
]
# Public, but no star import should look it up.
VERSION = f"{PACKAGE}.__version__"
OWN = ("__call__", "__enter__", "__exit__", "__iter__")
# The package's own, though no underscore says so.
INNER = ("actor_inbox", "stop_order")


def surface() -> list[str]:
    """Return the lines, sorted."""
    lines: set[str] = {VERSION}
    seen: set[Any] = set()
    for path in MODULES:
        try:
            module = find(path)
        except ImportError:
            continue
        for name in module.__all__:
            value = getattr(module, name)
            lines.update(told(f"{path}.{name}", value, seen))
    return sorted(lines)


def of_what_is_there(lines: list[str]) -> list[str]:
    """Return the lines without those of modules whose extra this platform has not."""
    absent = []
    for path in MODULES:
        try:
            find(path)
        except ImportError:
            absent.append(f"{path}.")
    return [line for line in lines if not line.startswith(tuple(absent))]


def find(path: str) -> ModuleType:
    """Return a module by the name that users know it by: an attribute, or what can be imported."""
    package, _, name = path.partition(".")
    known = getattr(importlib.import_module(package), name, None)
    return known if isinstance(known, ModuleType) else importlib.import_module(path)


def told(place: str, value: Any, seen: set[Any]) -> Iterator[str]:
    """Yield what is to be said of an exported value; of a class that was told of, its name."""
    if isinstance(value, ModuleType) or not callable(value) or is_foreign(value):
        yield place
    elif not isinstance(value, type):
        yield place + signature(value) if inspect.isfunction(value) else place
    elif value in seen:
        yield place
    else:
        seen.add(value)
        yield place + constructor(value)
        yield from members(place, value)


def is_foreign(value: Any) -> bool:
    return not str(getattr(value, "__module__", "")).startswith(PACKAGE)


def members(place: str, owner: type) -> Iterator[str]:
    """Yield a line for each public attribute that the package's own classes give to `owner`."""
    found: dict[str, str] = {}
    for base in reversed([base for base in owner.__mro__ if not is_foreign(base)]):
        for name in vars(base).get("__annotations__", {}):
            found[name] = field(base, name)
        for name, value in vars(base).items():
            if (text := member(value)) is not None:
                found[name] = text
    for name, text in found.items():
        public = name not in INNER and (not name.startswith("_") or name in OWN)
        if public and (name == "start" or not hasattr(pykka.ThreadingActor, name)):
            yield f"{place}.{name}{text}"


def member(value: Any) -> str | None:
    """Return what follows the name of a method or property."""
    if isinstance(value, property):
        returned = inspect.signature(value.fget).return_annotation if value.fget else Any
        return f" -> {returned}" + (" (settable)" if value.fset else "")
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    return signature(value) if inspect.isfunction(value) else None


def field(owner: type, name: str) -> str:
    """Return what follows the name of a field: its annotation, and its default."""
    annotation = text_of(owner.__annotations__[name])
    default = vars(owner).get(name, inspect.Parameter.empty)
    if issubclass(owner, msgspec.Struct):
        default = struct_defaults(owner).get(name, inspect.Parameter.empty)
    elif dataclasses.is_dataclass(owner):
        default = {f.name: f.default for f in dataclasses.fields(owner)}.get(name, default)
    elif inspect.ismemberdescriptor(default) or issubclass(owner, tuple):
        default = inspect.Parameter.empty
    known = default is not inspect.Parameter.empty and default is not dataclasses.MISSING
    return f": {annotation}" + (f" = {default!r}" if known else "")


def struct_defaults(owner: type[msgspec.Struct]) -> dict[str, Any]:
    defaults = owner.__struct_defaults__
    with_default = owner.__struct_fields__[len(owner.__struct_fields__) - len(defaults) :]
    return {
        name: default.factory() if hasattr(default, "factory") else default
        for name, default in zip(with_default, defaults, strict=True)
    }


def constructor(owner: type) -> str:
    """Return the parameters of a class that users make, and what an exception is."""
    if issubclass(owner, pykka.ThreadingActor):
        return ""  # `start` is told of.
    if is_typeddict(owner):
        return ""  # Its fields are told of.
    if issubclass(owner, msgspec.Struct):
        names = [name for name in owner.__struct_fields__ if not name.startswith("_")]
        return f"({', '.join(names)})"
    if dataclasses.is_dataclass(owner):
        return f"({', '.join(field.name for field in dataclasses.fields(owner))})"
    if not issubclass(owner, BaseException):
        return signature(owner)
    own = any("__init__" in vars(base) for base in owner.__mro__ if not is_foreign(base))
    kinds = ", ".join(base.__name__ for base in owner.__bases__)
    return f"{signature(owner) if own else ''} of {kinds}"


class Plain:
    """An annotation, which a signature then shows without quotes."""

    def __init__(self, annotation: Any) -> None:
        self._text = text_of(annotation)

    def __repr__(self) -> str:
        return self._text


def text_of(annotation: Any) -> str:
    """Return an annotation as it is written: a named tuple's are wrapped."""
    return str(getattr(annotation, "__forward_arg__", annotation))


def signature(function: Any) -> str:
    """Return what follows a function's name."""
    found = inspect.signature(function)
    parameters = [
        p if p.annotation is p.empty else p.replace(annotation=Plain(p.annotation))
        for p in found.parameters.values()
    ]
    returned = found.return_annotation
    if isinstance(function, type) or returned is found.empty:
        return str(found.replace(parameters=parameters, return_annotation=found.empty))
    return str(found.replace(parameters=parameters, return_annotation=Plain(returned)))


if __name__ == "__main__":
    FILE.write_text("\n".join(surface()) + "\n", encoding="utf-8")
