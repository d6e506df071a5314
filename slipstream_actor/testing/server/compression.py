"""What is agreed on of permessage-deflate, as Bandit does it (docs/protocol.md#note-48)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

__all__ = ["DEFLATE", "Compression", "negotiate"]

DEFLATE = "permessage-deflate"
_BITS = re.compile("[89]|1[0-5]")


@dataclass(frozen=True)
class Compression:
    """The parameters that were offered and are granted: all of them, as they were."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None

    def answer(self) -> str:
        """The header's value, which Bandit writes without spaces."""
        parts = [DEFLATE]
        for field in fields(self):
            value = getattr(self, field.name)
            if value is True:
                parts.append(field.name)
            elif value:
                parts.append(f"{field.name}={value}")
        return ";".join(parts)


_NAMES = {field.name for field in fields(Compression)}


def negotiate(offers: Iterable[str]) -> Compression | None:
    """The first of `offers` that can be granted; None where there is none: nothing is compressed.

    They are the items of the header.
    """
    for offer in offers:
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name == DEFLATE and (compression := _granted(parameters)) is not None:
            return compression
    return None


def _granted(parameters: list[str]) -> Compression | None:
    found: dict[str, bool | int] = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if name == "client_max_window_bits" and not equals:
            equals, value = "=", "15"
        windowed = name.endswith("_max_window_bits")
        wrong = windowed and _BITS.fullmatch(value) is None
        if name not in _NAMES or name in found or wrong or bool(equals) != windowed:
            return None
        found[name] = int(value) if windowed else True
    return Compression(**found)  # type: ignore[arg-type]
