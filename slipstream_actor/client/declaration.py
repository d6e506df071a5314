"""What a class of clients may not define: told when it is made, or else when it is started."""

from __future__ import annotations

from typing import Any, Literal, get_args

__all__ = ["Restart", "require_no_hooks", "require_restart"]

Restart = Literal["permanent", "transient", "temporary"]

HOOKS = ("__init__", "on_start", "on_stop", "on_failure", "on_receive")


def added_to(root: type, cls: type) -> list[type]:
    """Return `cls` and those of its bases that `root` does not have."""
    return [base for base in cls.__mro__ if base not in root.__mro__]


def require_no_hooks(root: type, cls: type) -> None:
    """Raise `TypeError` for a class that defines what is `root`'s own to define.

    A decorator such as `@dataclass` does so when the class has been made already.
    """
    for base in added_to(root, cls):
        written = vars(base)
        frozen = getattr(written.get("__dataclass_params__"), "frozen", False)
        if "__dataclass_fields__" in written and ("__init__" in written or frozen):
            raise generated_error(cls, base, "@dataclass")
        if "__attrs_attrs__" in written and "__init__" in written:
            raise generated_error(cls, base, "attrs")
        for hook in HOOKS:
            if hook in written:
                raise TypeError(f"{cls.__name__}.{hook} is final: write init or terminate instead")


def generated_error(cls: type, base: type, decorator: str) -> TypeError:
    """Return the error for a class whose `__init__` somebody else has written."""
    return TypeError(
        f"{cls.__name__}: {decorator} gives {base.__name__} an __init__ of its own, which is final"
        " in a client: take the arguments of start in init, and set the attributes there"
    )


def require_restart(owner: str, value: Any) -> None:
    """Raise `TypeError` unless `value` says when a client is restarted."""
    if not isinstance(value, str) or value not in get_args(Restart):
        got = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise TypeError(
            f"{owner}.restart must be 'permanent', 'transient' or 'temporary', not {got}:"
            " it says when a supervisor starts the client again"
        )
