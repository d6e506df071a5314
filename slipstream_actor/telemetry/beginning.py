"""The beginning of a JSON text, as the value that it would be: of a big payload that is not decoded
the log shows no more."""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["beginning_of"]

# A backslash with what belongs to it; two surrogates are one character.
ESCAPE = r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|u(?![dD][89abAB])[0-9a-fA-F]{4}|[^u])"
# A string, whose last quote may be cut off, and what gives JSON its structure.
TOKEN = re.compile(rf'"(?:[^"\\]|{ESCAPE})*("?)|[\[\]{{}},:]', re.DOTALL)
CLOSERS = {"{": "}", "[": "]"}


def beginning_of(data: bytes) -> Any:
    """Return the value of the beginning of a JSON text: what is cut off is not in it, and a string
    that is cut ends there. Raises `ValueError` and `RecursionError`."""
    return msgspec.json.decode(completed(data.decode(errors="ignore")))


def completed(text: str) -> str:
    """Return the beginning of a JSON text as a whole one."""
    closers: list[str] = []
    end, quote, is_key = 0, "", False
    for token in TOKEN.finditer(text):
        mark = token[0][0]
        if mark == '"':
            if not is_key:
                end, quote = token.end(), "" if token[1] else '"'
            if not token[1]:
                break
        elif mark in CLOSERS:
            closers.append(CLOSERS[mark])
            end, is_key = token.end(), mark == "{"
        elif mark == ",":
            end, is_key = token.start(), closers[-1:] == ["}"]
        elif mark == ":":
            is_key = False
        else:
            closers = closers[:-1]
            end = token.end()
    if not closers and not quote:
        return text
    return text[:end] + quote + "".join(reversed(closers))
