"""Signatures of msgspec's structs and of named tuples, whose constructors nobody wrote."""

from __future__ import annotations

from typing import Any

import griffe

BASES = ("msgspec.Struct", "Struct", "NamedTuple")


class Structs(griffe.Extension):
    """Give each such class the `__init__` that its fields make."""

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Take the annotated attributes, in their order, for parameters."""
        if "__init__" in cls.members or not any(str(base) in BASES for base in cls.bases):
            return
        own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
        made = griffe.Function("__init__", parameters=griffe.Parameters(own, *fields(cls)))
        cls.set_member("__init__", made)


def fields(cls: griffe.Class) -> list[griffe.Parameter]:
    """Return a parameter for each public field."""
    return [
        griffe.Parameter(
            name,
            annotation=member.annotation,
            default=default(member.value),
            kind=griffe.ParameterKind.positional_or_keyword,
        )
        for name, member in cls.members.items()
        if isinstance(member, griffe.Attribute)
        and "instance-attribute" in member.labels
        and not name.startswith("_")
    ]


def default(value: Any) -> Any:
    """Return what stands for a field's default: of a factory, what it makes."""
    text = str(value)
    return "{}" if "default_factory=dict" in text or text == "EMPTY" else value
