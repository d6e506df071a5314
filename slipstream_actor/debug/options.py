"""The options of a connection as plain data: what may be a secret is not among them."""

from __future__ import annotations

import dataclasses
from typing import Any

from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.uris import redact
from slipstream_actor.debug.plain import Plain, class_name

__all__ = ["options_of"]

NAMES = [field.name for field in dataclasses.fields(Configuration)]
# Of these no more is told than that they are set.
SECRET = frozenset({"params", "auth_token", "proxy"})
SET = "…"


def options_of(config: Configuration | None) -> Plain | None:
    """Return the options; `None` of what was never told to connect."""
    if config is None:
        return None
    return {name: option(name, getattr(config, name)) for name in NAMES}


def option(name: str, value: Any) -> Any:
    """Return one option's value, its type where it is no plain one, or that it is set."""
    if name == "uri":
        return redact(value)
    if name in SECRET:
        return SET if value else value if value is None or isinstance(value, bool) else None
    if name == "headers":
        return [header for header, _ in value]
    if name == "sockopt":
        return [list(map(repr, which[:2])) for which in value]
    return plain(value)


def plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return class_name(type(value))
