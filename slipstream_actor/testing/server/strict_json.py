"""JSON as an Elixir server reads and writes it (docs/protocol.md#note-29 and #note-30).

Python's own module accepts and alters more than Phoenix does: `NaN`, numbers that overflow, lone
surrogates, the last of two equal keys. The embedded server must refuse what Phoenix refuses, else a
client passes here and fails in production.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else dict(reversed(pairs))


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise ValueError(f"number out of range: {literal}")
    return number


def _no_constant(literal: str) -> Any:
    raise ValueError(f"not JSON: {literal}")


_decoder = json.JSONDecoder(
    object_pairs_hook=_first_wins, parse_float=_finite, parse_constant=_no_constant
)
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def decode(text: str) -> Any:
    """The value that `text` holds.

    Raises `ValueError` for all that Phoenix closes a connection for (docs/protocol.md#note-29).
    """
    try:
        value = _decoder.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if _SURROGATE_ESCAPE.search(text):
        # A lone surrogate cannot be written as UTF-8; pairs have become one character by now.
        encode(value)
    return value


def encode(value: Any) -> str:
    """The shortest text for `value`, non-ASCII unescaped.

    Raises `TypeError` or `ValueError` for what is no JSON.
    """
    text = _encoder.encode(value)
    if not text.isascii():
        # For the `UnicodeEncodeError`, a `ValueError`, of a lone surrogate.
        text.encode()
    return text
