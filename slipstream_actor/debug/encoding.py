"""Plain data as JSON, whatever its texts are: the name of a file need not be UTF-8, and what Python
has for it then JSON cannot hold."""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["as_json"]

# What Python has for bytes that are not UTF-8.
SURROGATES = re.compile("[\ud800-\udfff]")


def as_json(value: Any) -> bytes:
    """Return a value as JSON, with U+FFFD for what has no encoding."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(replaced(value))


def replaced(value: Any) -> Any:
    """Return a value with U+FFFD for what has no encoding, at every depth."""
    if isinstance(value, str):
        return SURROGATES.sub("\ufffd", value)
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        return {replaced(name): replaced(part) for name, part in value.items()}
    return [replaced(part) for part in value] if isinstance(value, (list, tuple)) else value
