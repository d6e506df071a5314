"""`clients`: the handles of the clients that Django's settings declare."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from slipstream_actor.actors.forks import current_epoch
from slipstream_actor.client.client import ClientActor
from slipstream_actor.contrib.django.orm import with_fresh_connections
from slipstream_actor.contrib.settings import (
    DEBUG_DIR,
    KEYS,
    PREFIX,
    SOME_URI,
    class_of,
    declaration,
    handle,
    mapping,
    serve_where_told,
    unknown_key_error,
)
from slipstream_actor.errors import ConfigurationError, suggest
from slipstream_actor.supervision.handle import ClientHandle, conceal

__all__ = ["SETTING", "Clients", "ConfiguredHandle", "clients", "debug_dir", "declared", "made"]

SETTING = f"{PREFIX}CLIENTS"
# Beside those of every framework: where secrets and addresses come from.
URI_ENV, TOKEN_ENV = "uri_env", "token_env"
EVERY_KEY = (*KEYS, URI_ENV, TOKEN_ENV)


def declared() -> Mapping[str, Any]:
    """Return what the settings declare. Raises `ConfigurationError`."""
    from django.conf import settings

    return mapping(SETTING, getattr(settings, SETTING, {}))


def debug_dir() -> Any:
    """Return the setting that names a directory in which each process serves itself."""
    from django.conf import settings

    return getattr(settings, DEBUG_DIR, None)


def made(alias: str, given: Any) -> ClientHandle[Any]:
    """Return a handle for one client as the settings declare it, importing its class.

    Raises `ConfigurationError`, whose `option` is the setting at fault.
    """
    where = f"{SETTING}[{alias!r}]"
    given = declaration(where, given)
    written = {key.lower(): key for key in given}

    def place(key: str) -> str:
        return f"{where}[{written.get(key, key)!r}]"

    for key in written:
        if key not in EVERY_KEY:
            raise unknown_key_error(place(key), key, EVERY_KEY)
    values = {key: given[written[key]] for key in written}
    sources = from_environment(values, place)
    if "client" in values and "uri" not in values:
        require_no_uri(class_of(place("client"), values["client"]), values, place)
    values.setdefault("name", alias)
    try:
        return handle(values, place)
    except ConfigurationError as error:
        source = sources.get(error.option)
        if source is None:
            raise
        problem = str(error).removeprefix(f"{error.option}: ")
        raise ConfigurationError(source, problem) from error.__cause__


def from_environment(values: dict[str, Any], place: Callable[[str], str]) -> dict[str, str]:
    """Put what the environment says in the place of its variables' names; return where each of
    these is written, by how an error would call what the variable says.

    An address in it outranks the one that is written, which is for machines that have none.
    """
    sources = {}
    uri = values.pop(URI_ENV, None)
    if uri is not None:
        found = variable(place(URI_ENV), uri, required="uri" not in values)
        if found is not None:
            values["uri"] = found
            sources[place("uri")] = f"{place(URI_ENV)} ({uri})"
    token = values.pop(TOKEN_ENV, None)
    if token is not None:
        options = dict(mapping(place("options"), values.get("options", {})))
        options["auth_token"] = variable(place(TOKEN_ENV), token, required=True)
        if "options" not in values:
            sources[place("options")] = f"{place(TOKEN_ENV)} ({token})"
        values["options"] = options
    return sources


def variable(place: str, name: Any, *, required: bool) -> str | None:
    """Return what an environment variable says; raise if it is `required` and not set."""
    if not isinstance(name, str) or not name:
        raise ConfigurationError(place, "must be the name of an environment variable")
    found = os.environ.get(name)
    if not found and required:
        raise ConfigurationError(place, f"the environment variable {name} is not set")
    return found or None


def require_no_uri(
    client_class: type[ClientActor], values: Mapping[str, Any], place: Callable[[str], str]
) -> None:
    """Raise where `init` of the class can be called with an address, and not without."""
    options = mapping(place("options"), values.get("options", {}))
    signature = inspect.signature(client_class.init)
    if not fits(signature, options) and fits(signature, options, SOME_URI):
        raise ConfigurationError(
            place("uri"),
            f"is missing (or {URI_ENV}, the name of an environment variable):"
            f" {client_class.__name__}.init wants an address",
        )


def fits(signature: inspect.Signature, options: Mapping[str, Any], *arguments: Any) -> bool:
    """Whether a method can be called so."""
    try:
        signature.bind(None, *arguments, **options)
    except TypeError:
        return False
    return True


class ConfiguredHandle(ClientHandle[Any]):
    """The handle of a client in the settings, which are read when it is first used.

    So it may stand in a module that is imported before the apps are loaded. Raises
    `ConfigurationError` at that use.
    """

    name: Hashable | None

    def __init__(self, alias: str) -> None:
        self.alias: str = alias
        self._made: ClientHandle[Any] | None = None
        # Of each epoch: whoever held the parent's is not there to release it.
        self._locks: dict[int, threading.RLock] = {}
        super().__init__(ClientActor, name=alias)

    def __repr__(self) -> str:
        return f"<ClientHandle {self.alias!r} of {SETTING}>"

    def reconfigure(self) -> None:
        """End its client; the settings are read again, and another one started, at the next use."""
        self.stop()
        with self._making:
            self._made = None
            self._reopen()

    @property
    def _making(self) -> threading.RLock:
        epoch = current_epoch()
        return self._locks.get(epoch) or self._locks.setdefault(epoch, threading.RLock())

    def _configured(self) -> ClientHandle[Any]:
        with self._making:
            if self._made is None:
                serve_where_told(debug_dir())
                found = made(self.alias, declared()[self.alias])
                conceal(found)
                found.client_class = with_fresh_connections(found.client_class)
                self.name = found.name
                # When it is complete: a child would keep a half of it.
                self._made = found
            return self._made

    # What `ClientHandle` keeps of its arguments, looked up when it is needed; what its `__init__`
    # would put there is nobody's.

    @property
    def client_class(self) -> type[Any]:
        """The class that the settings name, as a subclass that closes stale connections."""
        return self._configured().client_class

    @client_class.setter
    def client_class(self, client_class: type[Any]) -> None:
        pass

    @property
    def _args(self) -> tuple[Any, ...]:
        return self._configured()._args

    @_args.setter
    def _args(self, args: tuple[Any, ...]) -> None:
        pass

    @property
    def _kwargs(self) -> dict[str, Any]:
        return self._configured()._kwargs

    @_kwargs.setter
    def _kwargs(self, kwargs: dict[str, Any]) -> None:
        pass


class Clients(Mapping[str, ClientHandle[Any]]):
    """The handles of the clients in `SLIPSTREAM_CLIENTS`: one of each, and the same every time.

    To take one out opens nothing, imports nothing and needs no apps. Raises `KeyError` for what
    the settings do not have.
    """

    def __init__(self) -> None:
        self._handles: dict[str, ConfiguredHandle] = {}

    def __getitem__(self, alias: str) -> ClientHandle[Any]:
        known = declared()
        if alias not in known:
            raise KeyError(f"{SETTING} has no {alias!r}{suggest(str(alias), known)}")
        return self._handles.setdefault(alias, ConfiguredHandle(alias))

    def __iter__(self) -> Iterator[str]:
        return iter(declared())

    def __len__(self) -> int:
        return len(declared())

    def __repr__(self) -> str:
        return f"<the clients of {SETTING}>"

    def reconfigure(self) -> None:
        """The settings have changed, as in a test: begin anew with them."""
        for made_one in list(self._handles.values()):
            made_one.reconfigure()


clients: Clients = Clients()
