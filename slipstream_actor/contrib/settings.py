"""Clients as a web application's settings declare them, and the handles for them.

The keys are the same in Flask's `app.config` and in Django's settings. What is wrong raises
`ConfigurationError`, whose `option` is the key as its author wrote it: `SLIPSTREAM_URI`,
`SLIPSTREAM_CLIENTS['chat']['options']['proxy']`.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slipstream_actor.client.client import ClientActor
from slipstream_actor.configuration.arguments import kind_given
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.debug.directory import VARIABLE, serve_in
from slipstream_actor.errors import ConfigurationError, suggest
from slipstream_actor.supervision.handle import ClientHandle

__all__ = ["DEBUG_DIR", "DEFAULT", "PREFIX", "handles", "require_directory", "serve_where_told"]

PREFIX = "SLIPSTREAM_"
# What the client is called that stands in the settings by itself.
DEFAULT = "default"
KEYS = ("client", "uri", "options", "name")
SINGLE = {f"{PREFIX}{key.upper()}": key for key in KEYS}
SEVERAL = f"{PREFIX}CLIENTS"
# The setting is called as the environment's variable is, which outranks it.
DEBUG_DIR = VARIABLE
# In the place of an address that is missing, when the options are looked at.
SOME_URI = "ws://localhost/socket/websocket"


def handles(
    settings: Mapping[str, Any], others: tuple[str, ...] = ()
) -> dict[str, ClientHandle[Any]]:
    """Return the handles of the clients that `settings` declare, by their names.

    `SLIPSTREAM_CLIENT` (a class, or where it is: `"myapp.chat.Chat"`), `SLIPSTREAM_URI`,
    `SLIPSTREAM_OPTIONS` and `SLIPSTREAM_NAME` declare the client `"default"`;
    `SLIPSTREAM_CLIENTS` maps names to mappings with the keys `client`, `uri`, `options` and
    `name`. `SLIPSTREAM_DEBUG_DIR` and `others` are keys that somebody else reads. The class'
    `init` takes the URI, and the options by name. Opens nothing. Raises `ConfigurationError`.
    """
    known = (*SINGLE, SEVERAL, DEBUG_DIR, *others)
    for key in settings:
        if key.startswith(PREFIX) and key not in known:
            raise ConfigurationError(key, f"is no setting{suggest(key, known)}")
    found: dict[str, ClientHandle[Any]] = {}
    single = {SINGLE[key]: value for key, value in settings.items() if key in SINGLE}
    if single:
        found[DEFAULT] = handle(single, lambda key: f"{PREFIX}{key.upper()}")
    several = mapping(SEVERAL, settings.get(SEVERAL, {}))
    for name, declared in several.items():
        place = f"{SEVERAL}[{name!r}]"
        if name in found:
            raise ConfigurationError(place, f"there is one already, by {PREFIX}CLIENT")
        found[name] = listed(place, declaration(place, declared))
    if not found:
        raise ConfigurationError(f"{PREFIX}CLIENT", "is missing: a subclass of ClientActor")
    return found


def serve_where_told(directory: Any) -> None:
    """Have every process that uses a handle serve itself in the directory that `DEBUG_DIR` names,
    if it does. Raises `ConfigurationError`."""
    require_directory(directory)
    if directory is not None:
        serve_in(directory)


def require_directory(directory: Any) -> None:
    """Raise unless it is the path of a directory, or `None`."""
    if directory is not None and not isinstance(directory, (str, os.PathLike)):
        raise ConfigurationError(
            DEBUG_DIR, f"must be the path of a directory; got a {type(directory).__name__}"
        )


def listed(place: str, declared: Mapping[str, Any]) -> ClientHandle[Any]:
    """Return the handle for one of several."""
    for key in declared:
        if key not in KEYS:
            raise unknown_key_error(f"{place}[{key!r}]", key, KEYS)
    return handle(declared, lambda key: f"{place}[{key!r}]")


def handle(declared: Mapping[str, Any], place: Callable[[str], str]) -> ClientHandle[Any]:
    """Return a handle; `place` says how the settings call one of `KEYS`."""
    if "client" not in declared:
        raise ConfigurationError(place("client"), "is missing: a subclass of ClientActor")
    client_class = class_of(place("client"), declared["client"])
    options = dict(mapping(place("options"), declared.get("options", {})))
    parameters = inspect.signature(client_class.init).parameters
    arguments = [declared["uri"]] if "uri" in declared else []
    if arguments and takes_by_name_alone(parameters, "uri"):
        arguments, options["uri"] = [], declared["uri"]
    require_arguments(client_class, arguments, options, place)
    require_options(declared, options, parameters, place)
    return ClientHandle(client_class, *arguments, name=declared.get("name"), **options)


def unknown_key_error(place: str, key: str, known: Sequence[str]) -> ConfigurationError:
    """Return the error for a key that a client does not have."""
    every = f"{', '.join(known[:-1])} and {known[-1]}"
    meant = suggest(key.lower(), known)
    return ConfigurationError(place, f"is no key of a client{meant}; the keys are {every}")


def declaration(place: str, value: Any) -> Mapping[str, Any]:
    """Return what declares one of several clients, if it is a mapping."""
    if isinstance(value, type):
        name = value.__name__
        raise ConfigurationError(
            place, f"must be a mapping, as {{'client': {name}, 'uri': …}}; got the class {name}"
        )
    return mapping(place, value)


def mapping(place: str, value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a mapping with names for keys."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(place, f"must be a mapping; got a {type(value).__name__}")
    for key in value:
        if not isinstance(key, str):
            raise ConfigurationError(place, f"must have names for keys; got a {type(key).__name__}")
    return value


def class_of(place: str, value: Any) -> type[ClientActor]:
    """Return the class that is meant, importing it if need be."""
    found = imported(place, value) if isinstance(value, str) else value
    if not isinstance(found, type) or not issubclass(found, ClientActor):
        raise ConfigurationError(
            place, f"must be a subclass of ClientActor, not {kind_given(found)}"
        )
    return found


def imported(place: str, path: str) -> Any:
    """Return what stands at `"package.module.Name"`, or `"package.module:Name"`."""
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    if not module or not name or module.startswith("."):
        raise ConfigurationError(place, "must be like 'package.module.Class'")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise ConfigurationError(place, f"there is no {name} in {module}") from error
    except ImportError as error:
        raise ConfigurationError(place, f"cannot import {path}: {error}") from error


def takes_by_name_alone(parameters: Mapping[str, inspect.Parameter], name: str) -> bool:
    """Whether it has to be given by its name."""
    return name in parameters and parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


def require_arguments(
    client_class: type[ClientActor],
    arguments: list[Any],
    options: Mapping[str, Any],
    place: Callable[[str], str],
) -> None:
    """Raise unless `init` can be called so."""
    signature = inspect.signature(client_class.init)
    try:
        signature.bind(None, *arguments, **options)
    except TypeError as error:
        given = arguments or "uri" in options
        wants = signature.parameters.get("uri")
        at_fault = "uri" if wants is not None and not given else "options"
        if given and not options:
            at_fault = "uri"
        raise ConfigurationError(
            place(at_fault),
            f"does not fit {client_class.__name__}.init{signature}: {error}",
        ) from error


def require_options(
    declared: Mapping[str, Any],
    options: Mapping[str, Any],
    parameters: Mapping[str, inspect.Parameter],
    place: Callable[[str], str],
) -> None:
    """Raise for an option of `connect` with a wrong value, and for one that there is not.

    What `init` names is its own.
    """
    connecting = {key: value for key, value in options.items() if key not in parameters}
    wrong = None
    try:
        Configuration.validate(declared.get("uri", SOME_URI), connecting)
    except ConfigurationError as error:
        wrong = error
    if wrong is not None:
        key = wrong.option
        named = place("uri") if key == "uri" else f"{place('options')}[{key!r}]"
        raise ConfigurationError(named, str(wrong).removeprefix(f"{key}: "))
