"""What a class of clients may not define: told when it is made, or else when it is started."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

__all__ = [
    "OwnNames",
    "Restart",
    "require_arguments",
    "require_known",
    "require_no_hooks",
    "require_plain_callbacks",
    "require_restart",
]

Restart = Literal["permanent", "transient", "temporary"]

EMPTY: Mapping[str, Any] = MappingProxyType({})

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


def require_plain_callbacks(root: type, cls: type, callbacks: Collection[str]) -> None:
    """Raise `TypeError` for a callback that cannot be called as it is to be, or whose body would
    not run when it is."""
    for base in added_to(root, cls):
        for name, method in vars(base).items():
            if name not in callbacks:
                continue
            function = getattr(method, "__func__", method)  # Of a static method, say.
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                raise TypeError(
                    f"{cls.__name__}.{name} is declared async def: callbacks run in the client's"
                    " own thread, where they may block; declare it with def"
                )
            if inspect.isgeneratorfunction(function):
                raise TypeError(f"{cls.__name__}.{name} has a yield: it would not run when called")
            # What init takes is what start is given, and what is overridden is not called so.
            called = name != "init" and inspect.getattr_static(cls, name) is method
            if called and inspect.isfunction(function):
                taken = [*inspect.signature(getattr(root, name)).parameters]
                own = taken[isinstance(method, staticmethod) :]
                require_arguments(f"{cls.__name__}.{name}", function, own)


def require_arguments(what: str, function: Any, names: Collection[str]) -> None:
    """Raise `TypeError` unless a function can be called with so many arguments, by position."""
    try:
        # As it is called: a decorator's wrapper may take others than what it wraps.
        inspect.signature(function, follow_wrapped=False).bind(*names)
    except TypeError as error:
        raise TypeError(f"{what} must take ({', '.join(names)}): {error}") from None


def generated_error(cls: type, base: type, decorator: str) -> TypeError:
    """Return the error for a class whose `__init__` somebody else has written."""
    return TypeError(
        f"{cls.__name__}: {decorator} gives {base.__name__} an __init__ of its own, which is final"
        " in a client: take the arguments of start in init, and set the attributes there"
    )


# What an actor of ours has among its attributes.
STATE = ("_actor_ref", "_slipstream", "actor_inbox", "actor_stopped", "actor_urn")
# What a class may not define, of what is public; other methods may be overridden.
PUBLIC = ("actor_ref", "socket", "start")


class OwnNames:
    """The names that a class keeps for itself: of methods, its own and Pykka's, and of the
    attributes that an actor has."""

    def __init__(self, root: type) -> None:
        self._root = root
        self._methods = {
            name
            for base in root.__mro__[:-1]
            for name in vars(base)
            if name.startswith("_") and not name.endswith("__") and not name.startswith("_abc_")
        }

    def require_free(self, cls: type) -> None:
        """Raise `TypeError` for a class that defines one of them.

        A `start` that is a class method may do something before or after ours.
        """
        reserved = {*self._methods, *STATE, *PUBLIC}
        for base in added_to(self._root, cls):
            # A base that is a client was looked at when it was made, and has what was added since.
            if base is cls or not issubclass(base, self._root):
                for name in sorted(reserved & vars(base).keys()):
                    if name != "start" or not isinstance(vars(base)[name], classmethod):
                        raise own_name_error(cls, base, name)

    def state_of(self, actor: Any) -> dict[str, Any]:
        """Return the attributes that an actor has before its own code runs."""
        return {name: vars(actor)[name] for name in STATE}

    def take_back(self, actor: Any, state: Mapping[str, Any] = EMPTY) -> TypeError | None:
        """Have an actor without attributes in the place of ours; return the error of the first.

        To look at each assignment would slow all of them down.
        """
        attributes = vars(actor)
        taken = self._methods & attributes.keys()
        for name in taken:
            del attributes[name]
        taken |= {name for name in state if attributes.get(name) is not state[name]}
        attributes.update(state)
        kind = type(actor)
        return own_name_error(kind, kind, min(taken)) if taken else None


def own_name_error(cls: type, base: type, name: str) -> TypeError:
    """Return the error for a name that is the library's own."""
    whose = cls.__name__ if base is cls else f"{cls.__name__}, by way of {base.__name__}"
    return TypeError(f"{whose}: {name} is a name of slipstream_actor's own: take another one")


def require_known(root: type, cls: type, given: Collection[str], taken: str) -> None:
    """Raise `TypeError` for what a class statement is `given` by name where nobody takes it.

    A mixin behind `root` may: then it is the mixin's business. `taken`: what `root` says it takes.
    """
    behind = cls.__mro__[cls.__mro__.index(root) + 1 : -1]
    if given and not any("__init_subclass__" in vars(base) for base in behind):
        raise TypeError(f"class {cls.__name__}(…, {', '.join(given)}=…): {taken}")


def require_restart(owner: str, value: Any) -> None:
    """Raise `TypeError` unless `value` says when a client is restarted."""
    if not isinstance(value, str) or value not in get_args(Restart):
        got = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise TypeError(
            f"{owner}.restart must be 'permanent', 'transient' or 'temporary', not {got}:"
            " it says when a supervisor starts the client again"
        )
