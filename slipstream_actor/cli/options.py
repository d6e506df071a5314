"""The options that every command takes which connects: declared once, given as one `Connecting`."""

from __future__ import annotations

import inspect
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar

import typer

from slipstream_actor.cli.sources import object_from, secret_from, text_from, wrong
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.extensions import DEFLATE
from slipstream_actor.wire.dial import verifying_context

__all__ = ["Connecting", "header_of", "seconds_of", "trusting", "with_connecting"]

Command = TypeVar("Command", bound=Callable[..., Any])

TOKEN_VARIABLE = "SLIPSTREAM_TOKEN"
AUTH_TOKEN_VARIABLE = "SLIPSTREAM_AUTH_TOKEN"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST = 10 * 365 * 24 * 3600.0


def seconds_of(option: str, text: str | None) -> float | None:
    """Return the seconds that a text means: `10`, `10s`, `500ms`, `2m`, `1h`."""
    if text is None:
        return None
    number, factor = text, 1.0
    for unit, seconds in UNITS.items():
        if text.endswith(unit) and text.removesuffix(unit)[-1:].isdigit():
            number, factor = text.removesuffix(unit), seconds
            break
    try:
        value = float(number) * factor
    except ValueError:
        raise wrong(option, "takes a time such as 10s, 500ms or 2m") from None
    if not 0 < value <= LONGEST:
        raise wrong(option, "takes a time above 0")
    return value


@dataclass
class Connecting:
    """How to connect, as the options say; a field's name and annotation are the option's."""

    connect_params: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE|env:NAME", help="Params of the connection, a JSON object."
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(
            metavar="env:NAME|file:PATH|prompt",
            help=f'The connection\'s param "token"; by default ${TOKEN_VARIABLE}, if it is set.',
        ),
    ] = None
    auth_token: Annotated[
        str | None,
        typer.Option(
            metavar="env:NAME|file:PATH|prompt",
            help="Phoenix 1.8's auth token, sent as a header; by default"
            f" ${AUTH_TOKEN_VARIABLE}, if it is set.",
        ),
    ] = None
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:VALUE", help='A header of the upgrade; "Name: env:NAME" hides its value.'
        ),
    ] = None
    origin: Annotated[str | None, typer.Option(help="The Origin header.")] = None
    vsn: Annotated[str, typer.Option(help="The serializer's version: 2.0.0 or 1.0.0.")] = "2.0.0"
    compress: Annotated[
        bool, typer.Option("--compress", help="Offer to compress (permessage-deflate).")
    ] = False
    cafile: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Certificate authorities to trust besides the system's."),
    ] = None
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="URL|env:NAME|none",
            help="A proxy; by default the environment's (HTTPS_PROXY, …).",
        ),
    ] = None
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Time to connect, to join, and for a reply.")
    ] = "10s"
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more on standard error.")
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but errors on standard error.")
    ] = False

    @property
    def seconds(self) -> float:
        """The `--timeout`."""
        return seconds_of("--timeout", self.timeout) or 0.0

    def options(self) -> dict[str, Any]:
        """Return the options of `connect`. Raises `Failure`."""
        milliseconds = max(1, round(self.seconds * 1000))
        options: dict[str, Any] = {
            "params": self._params(),
            "headers": [header_of(text) for text in self.header or []],
            "vsn": self.vsn,
            "connect_timeout_msec": milliseconds,
            "join_timeout_msec": milliseconds,
        }
        auth_token = secret("--auth-token", self.auth_token, AUTH_TOKEN_VARIABLE)
        if auth_token is not None:
            options["auth_token"] = auth_token
        if self.origin is not None:
            options["origin"] = self.origin
        if self.compress:
            options["extensions"] = [DEFLATE]
        if self.cafile is not None:
            options["ssl_context"] = trusting(self.cafile)
        if self.proxy is not None:
            proxy = text_from("--proxy", self.proxy)
            options["proxy"] = False if proxy == "none" else proxy
        return options

    def checked(self, uri: str) -> tuple[str, dict[str, Any]]:
        """Return the arguments of `connect`. Raises `Failure`, and `ConfigurationError`."""
        where, options = text_from("URI", uri), self.options()
        Configuration.validate(where, options)
        return where, options

    def _params(self) -> dict[str, Any]:
        given = self.connect_params
        params = {} if given is None else object_from("--connect-params", given)
        token = secret("--token", self.token, TOKEN_VARIABLE)
        return params if token is None else {**params, "token": token}


def secret(option: str, source: str | None, variable: str) -> str | None:
    """Return the secret that an option names, or the one of the environment's variable."""
    return os.environ.get(variable) if source is None else secret_from(option, source)


def header_of(text: str) -> tuple[str, str]:
    """Return a header's name and value."""
    name, colon, value = text.partition(":")
    if not colon:
        raise wrong("--header", 'takes "Name: value"')
    value = value.strip()
    return name.strip(), text_from("--header", value) if value.startswith("env:") else value


def trusting(cafile: str) -> ssl.SSLContext:
    """Return the context that trusts these authorities too."""
    context = verifying_context()
    try:
        context.load_verify_locations(cafile)
    except OSError:
        raise wrong("--cafile", "names no file of certificates") from None
    return context


def with_connecting(command: Command) -> Command:
    """Give a command's function, whose argument `connecting` is a `Connecting`, its options."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "connecting"]
    hints = inspect.get_annotations(Connecting, eval_str=True)
    added = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(Connecting)
    ]

    def run(**given: Any) -> Any:
        taken = {field.name: given.pop(field.name) for field in fields(Connecting)}
        return command(**given, connecting=Connecting(**taken))

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + added
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run  # type: ignore[return-value]
