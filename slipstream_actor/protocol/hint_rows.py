"""What the table of hints is made of: a row says which reasons it knows, and what of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

__all__ = ["Hint", "Row", "always", "row"]

PAGE = "troubleshooting"


class Hint(msgspec.Struct, frozen=True):
    """What may be the matter: a sentence or two, and the place of the troubleshooting page that
    says more."""

    text: str
    anchor: str

    def __str__(self) -> str:
        return f"{self.text} [{PAGE}#{self.anchor}]"


class Row(msgspec.Struct, frozen=True):
    """One row: `matches` is asked of the reasons of a type."""

    of: type
    matches: Callable[[Any], bool]
    hint: Hint


def always(_: Any) -> bool:
    return True


def row(of: type, anchor: str, text: str, matches: Callable[[Any], bool] = always) -> Row:
    return Row(of, matches, Hint(text, anchor))
