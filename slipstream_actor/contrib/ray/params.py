"""Join params as they are stored: JSON, or the name of a function, since tokens do not belong into
a store."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from slipstream_actor.contrib.ray.store import encode
from slipstream_actor.errors import SerializerError

__all__ = ["read_params", "stored_params"]


def stored_params(params: Any) -> Any:
    """Return what is stored of join params. Raises `TypeError` and `SerializerError`."""
    if isinstance(params, str) and ":" in params:
        _function(params)
        return {"function": params}
    if callable(params):
        return {"function": name_of(params)}
    if isinstance(params, Mapping) and any(map(callable, params.values())):
        raise TypeError("join: params in the store are JSON, or one function that returns them all")
    try:
        encode(params)
    except Exception as error:
        raise SerializerError(f"join: params that are no JSON: {error}") from error
    return {"params": params}


def name_of(function: Any) -> str:
    """Return the name that every process can import a function by. Raises `TypeError`."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    try:
        found = _function(f"{module}:{name}")
    except TypeError:
        found = None
    if found is not function or module == "__main__":
        raise TypeError(f"join: {function!r} cannot be imported by a name by other processes")
    return f"{module}:{name}"


def _function(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # Whatever the module does when it is imported.
        raise TypeError(f'join: params "{name}" name no function: {error}') from error
    if not callable(found):
        raise TypeError(f'join: params "{name}" name no function')
    return found


def read_params(stored: Any) -> Any:
    """Return the params for the server, or the function that returns them at each join."""
    return _function(stored["function"]) if "function" in stored else stored["params"]
