"""Every option of `connect`: its default, its rule and its line in the documentation, once.

`python -m slipstream_actor.configuration` prints the README's table.
"""

from __future__ import annotations

import base64
import dataclasses
import difflib
import ssl
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from slipstream_actor.errors import ConfigurationError
from slipstream_actor.serializer import (
    JsonParser,
    MsgspecJson,
    Serializer,
    V1Serializer,
    V2Serializer,
)

__all__ = ["Configuration", "table"]

Rule: TypeAlias = Callable[[Any], Any]


class RuleError(Exception):
    """A value breaks an option's rule, which is the text."""


def option(default: Any, rule: Rule, doc: str, *, shown: str | None = None) -> Any:
    """Declare an option; `rule` returns the value to keep, or raises `RuleError`."""
    metadata = {"rule": rule, "doc": doc, "shown": shown or f"`{default!r}`"}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, list):
        return dataclasses.field(default=tuple(default), metadata=metadata)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def whole(least: int) -> Rule:
    """Require a whole number of at least `least`."""

    def rule(value: Any) -> int:
        if type(value) is not int or value < least:
            raise RuleError(f"must be a whole number of at least {least}")
        return value

    return rule


def instance(types: type | tuple[type, ...], rule_text: str) -> Rule:
    """Require an instance of `types`."""

    def rule(value: Any) -> Any:
        if not isinstance(value, types):
            raise RuleError(rule_text)
        return value

    return rule


def optional(rule: Rule) -> Rule:
    """Let `None` pass."""
    return lambda value: None if value is None else rule(value)


def methods(*names: str) -> Rule:
    """Require an object or module with callables of these names."""

    def rule(value: Any) -> Any:
        if not all(callable(getattr(value, name, None)) for name in names):
            raise RuleError(f"must be an object or module with {' and '.join(names)}")
        return value

    return rule


def schedule(value: Any) -> tuple[int, ...]:
    """Require a list of milliseconds that is not empty."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or not value:
        raise RuleError("must be a list of whole milliseconds that is not empty")
    if not all(type(item) is int and item >= 0 for item in value):
        raise RuleError("must hold whole milliseconds of at least 0")
    return tuple(value)


def parse_uri(value: Any) -> urllib.parse.SplitResult:
    """Require a ws or wss URI: a string, or a result of `urllib.parse`."""
    if isinstance(value, (urllib.parse.SplitResult, urllib.parse.ParseResult)):
        value = value.geturl()
    if not isinstance(value, str):
        raise RuleError("must be a string or a result of urllib.parse")
    clean_text(value)
    try:
        uri = urllib.parse.urlsplit(value)
        port = uri.port
        host = uri.hostname
        if host is not None and not host.isascii():
            host.encode("idna")
    except ValueError:
        raise RuleError("must be a URI with a host and a port from 1 to 65535") from None
    if uri.scheme not in ("ws", "wss"):
        raise RuleError("must begin with ws:// or wss://")
    if not host or port == 0:
        raise RuleError("must be a URI with a host and a port from 1 to 65535")
    return uri


def clean_text(value: Any) -> str:
    """Require printable text: a CR or LF would split the request."""
    if not isinstance(value, str):
        raise RuleError("must be text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RuleError("must be text that UTF-8 can hold") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise RuleError("must hold no control characters (a CR or LF would split the request)")
    return value


def header_pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """Require a mapping or a list of pairs of header names and values."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise RuleError("must be a mapping or a list of pairs of text")
    kept = []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise RuleError("must be a mapping or a list of pairs of text")
        name, content = (clean_text(part) for part in pair)
        if not name or any(c in '()<>@,;:\\"/[]?={} ' or not c.isascii() for c in name):
            raise RuleError("must have header names that are tokens (RFC 9110 section 5.1)")
        kept.append((name, content))
    return tuple(kept)


def query_params(value: Any) -> Any:
    """Require a mapping, or a callable that returns one."""
    if not isinstance(value, Mapping) and not callable(value):
        raise RuleError("must be a mapping, or a callable that returns one")
    return value


def token(value: Any) -> Any:
    """Require text, or a callable that returns it."""
    if not isinstance(value, str) and not callable(value):
        raise RuleError("must be text, or a callable that returns it")
    return value


def proxy_url(value: Any) -> Any:
    """Require a proxy's URL, `None` or `False`."""
    if value is None or value is False:
        return value
    if not isinstance(value, str) or value.partition(":")[0] not in (
        "http",
        "socks4",
        "socks5",
        "socks5h",
    ):
        raise RuleError("must be a URL with http, socks4, socks5 or socks5h; None, or False")
    clean_text(value)
    try:
        if not urllib.parse.urlsplit(value).hostname or not urllib.parse.urlsplit(value).port:
            raise ValueError
    except ValueError:
        raise RuleError("must be a URL with a host and a port") from None
    try:
        import python_socks  # noqa: F401 - only whether it is there
    except ImportError:
        raise RuleError("needs the extra: pip install 'slipstream_actor[proxy]'") from None
    return value


def socket_options(value: Any) -> tuple[tuple[Any, ...], ...]:
    """Require a list of what `socket.setsockopt` takes."""
    if not isinstance(value, (list, tuple)):
        raise RuleError("must be a list of (level, option, value)")
    if not all(isinstance(item, (tuple, list)) and len(item) in (3, 4) for item in value):
        raise RuleError("must be a list of (level, option, value)")
    return tuple(tuple(item) for item in value)


def no_extensions(value: Any) -> tuple[()]:
    """Require an empty list."""
    if not isinstance(value, (list, tuple)) or value:
        raise RuleError("must be empty: there are no extensions yet")
    return ()


def known_vsn(value: Any) -> str:
    """Require a version of the serializer."""
    if value not in ("2.0.0", "1.0.0"):
        raise RuleError("must be '2.0.0' or '1.0.0'")
    return str(value)


@dataclasses.dataclass(frozen=True, repr=False, eq=False, kw_only=True, slots=True)
class Configuration:
    """The validated options of one `connect`. Made by `Configuration.validate`."""

    uri: urllib.parse.SplitResult = option(
        dataclasses.MISSING,
        parse_uri,
        "The endpoint, ws or wss, up to and including `/websocket`: text or a result of"
        " `urllib.parse`. The port is assumed to be 80 or 443.",
        shown="required",
    )
    heartbeat_interval_msec: int = option(
        30_000,
        whole(0),
        "Time between heartbeats; 0 turns them off (a server closes an idle"
        " connection after 60 s).",
    )
    headers: tuple[tuple[str, str], ...] = option(
        [],
        header_pairs,
        "Headers of the upgrade request: pairs, or a mapping.",
    )
    params: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = option(
        {},
        query_params,
        "Merged into the query; a callable is evaluated at each connect.",
    )
    auth_token: str | Callable[[], str] | None = option(
        None,
        optional(token),
        "Phoenix 1.8's auth token, sent as a subprotocol; a callable is evaluated at each connect.",
    )
    vsn: str = option(
        "2.0.0",
        known_vsn,
        "The serializer's version, 2.0.0 or 1.0.0; one in the URI must agree.",
    )
    serializer: Serializer | None = option(
        None,
        optional(methods("encode", "decode")),
        "An object with `encode(Message)` and `decode(str | bytes)`; outranks `vsn`.",
        shown="by `vsn`",
    )
    json_parser: JsonParser = option(
        None,
        optional(methods("loads", "dumps")),
        "A module or object with `loads` and `dumps`: `json`, `orjson`, …",
        shown="msgspec",
    )
    reconnect_after_msec: tuple[int, ...] = option(
        [10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000],
        schedule,
        "Delays of the first, second, … `reconnect`; the last one repeats.",
    )
    rejoin_after_msec: tuple[int, ...] = option(
        [100, 500, 1000, 2000, 5000, 10000],
        schedule,
        "Delays of the first, second, … `rejoin` of a topic; the last one repeats.",
    )
    connect_timeout_msec: int = option(
        10_000,
        whole(1),
        "Time for name resolution, TCP, TLS and upgrade together.",
    )
    join_timeout_msec: int = option(10_000, whole(1), "Time for the answer to a join.")
    close_timeout_msec: int = option(
        1000,
        whole(0),
        "Time for the server's answer to our close frame.",
    )
    shutdown_timeout_msec: int = option(
        2000,
        whole(0),
        "Time that the interpreter's exit gives a client to close.",
    )
    max_message_bytes: int = option(
        64 * 1024 * 1024,
        whole(1),
        "Longest message taken from the server, in bytes; a longer one"
        " ends the connection with 1009.",
        shown="`67108864`",
    )
    ssl_context: ssl.SSLContext | None = option(
        None,
        optional(instance(ssl.SSLContext, "must be an ssl.SSLContext")),
        "For wss; the default verifies certificate and host name. Offer no `h2` in its ALPN.",
    )
    proxy: str | Literal[False] | None = option(
        None,
        proxy_url,
        "A proxy's URL (http, socks4, socks5, socks5h; extra `proxy`); `None`"
        " honours the environment, `False` uses none.",
    )
    origin: str | None = option(
        None,
        optional(clean_text),
        "The `Origin` header; none is sent without it.",
    )
    sockopt: tuple[tuple[Any, ...], ...] = option(
        [],
        socket_options,
        "Arguments for `socket.setsockopt`: `(level, option, value)` each.",
    )
    extensions: tuple[()] = option([], no_extensions, "Websocket extensions: none yet.")
    test_mode: bool = option(
        False,
        instance(bool, "must be True or False"),
        "Open no socket: the test is the server.",
    )

    @classmethod
    def validate(cls, uri: Any, options: Mapping[str, Any]) -> Configuration:
        """Return the configuration; raises `ConfigurationError` for the first wrong option."""
        given = {"uri": uri, **options}
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name in given:
            if name not in known:
                raise ConfigurationError(name, f"there is no such option{suggest(name, known)}")
        kept = {}
        for name, value in given.items():
            try:
                kept[name] = known[name].metadata["rule"](value)
            except RuleError as rule:
                got = type(value).__name__
                raise ConfigurationError(name, f"{rule}; got a value of type {got}") from None
        parser = kept.get("json_parser") or MsgspecJson()
        explicit = kept.get("serializer")
        config = cls(**{**kept, "json_parser": parser})
        in_uri = dict(urllib.parse.parse_qsl(config.uri.query, keep_blank_values=True)).get("vsn")
        if explicit is None and in_uri not in (None, config.vsn):
            raise ConfigurationError("vsn", f"is {config.vsn}, and the URI has another one")
        by_vsn = V2Serializer if config.vsn == "2.0.0" else V1Serializer
        return dataclasses.replace(config, serializer=explicit or by_vsn(parser))

    @property
    def secure(self) -> bool:
        """Whether the scheme is wss."""
        return self.uri.scheme == "wss"

    @property
    def host(self) -> str:
        """The host's name in ASCII, or its address."""
        host = self.uri.hostname or ""
        return host if host.isascii() else host.encode("idna").decode()

    @property
    def port(self) -> int:
        """The URI's port, or the scheme's."""
        return self.uri.port or (443 if self.secure else 80)

    @property
    def serializer_vsn(self) -> str:
        """The version that is spoken: an explicit serializer's, if it says, else `vsn`."""
        return getattr(self.serializer, "vsn", self.vsn)

    @property
    def has_join_refs(self) -> bool:
        """Whether the server's messages carry a join_ref: not in V1 (note 52)."""
        return self.serializer_vsn != "1.0.0"

    def host_header(self) -> str:
        """Return the `Host` header, without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def resource(self) -> str:
        """Return path and query of the upgrade request; evaluates `params` if it is callable."""
        params = self.params() if callable(self.params) else self.params
        if not isinstance(params, Mapping):
            raise ConfigurationError(
                "params", f"must return a mapping; got a value of type {type(params).__name__}"
            )
        pairs = list(flatten(params))
        query = self.uri.query
        if "vsn" not in dict(urllib.parse.parse_qsl(query, keep_blank_values=True)):
            pairs.append(("vsn", self.serializer_vsn))
        added = urllib.parse.urlencode(pairs)
        path = urllib.parse.quote(self.uri.path or "/", safe="/%:@!$&'()*+,=~-._")
        query = urllib.parse.quote(query, safe="/%:@!$&'()*+,;=~-._?[]")
        return f"{path}?{'&'.join(part for part in (query, added) if part)}"

    def request_headers(self) -> list[str]:
        """Return the header lines of the request; evaluates `auth_token` if it is callable."""
        lines = [f"{name}: {value}" for name, value in self.headers]
        token = self.auth_token() if callable(self.auth_token) else self.auth_token
        if token is not None:
            if not isinstance(token, str):
                raise ConfigurationError(
                    "auth_token", f"must return text; got a value of type {type(token).__name__}"
                )
            # Standard base64, whatever the prefix says, and on one line (notes 44 and 45).
            coded = base64.b64encode(token.encode()).decode().rstrip("=")
            lines.append(f"Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.{coded}")
        names = {name.lower() for name, _ in self.headers}
        if self.uri.username is not None and "authorization" not in names:
            user = urllib.parse.unquote(f"{self.uri.username}:{self.uri.password or ''}")
            lines.append(f"Authorization: Basic {base64.b64encode(user.encode()).decode()}")
        return lines

    def __repr__(self) -> str:
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "uri":
                value = redact(self.uri)
            elif field.name == "headers":
                value = [name for name, _ in self.headers]
            elif field.name in ("params", "auth_token", "proxy") and value:
                value = "…"
            shown.append(f"{field.name}={value!r}")
        return f"Configuration({', '.join(shown)})"


def redact(uri: urllib.parse.SplitResult) -> str:
    """Return `uri` without user information and with the names of its query alone."""
    host = uri.netloc.rpartition("@")[2]
    names = [name for name, _ in urllib.parse.parse_qsl(uri.query, keep_blank_values=True)]
    query = "?" + "&".join(f"{name}=…" for name in names) if names else ""
    return f"{uri.scheme}://{host}{uri.path}{query}"


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error: the known name that is nearest."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def flatten(params: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield the pairs of a query as Plug reads them: `a[]=1` a list, `m[k]=v` a map (note 40)."""
    if isinstance(params, Mapping):
        for key, value in params.items():
            yield from flatten(value, f"{prefix}[{key}]" if prefix else str(key))
    elif isinstance(params, (list, tuple)):
        for value in params:
            yield from flatten(value, f"{prefix}[]")
    elif isinstance(params, bool):
        yield prefix, "true" if params else "false"
    else:
        yield prefix, "" if params is None else str(params)


def escaped(text: str) -> str:
    """Return `text` for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def table() -> str:
    """Return the table of options for the README, in Markdown."""
    rows = ["| option | default | what it is |", "|---|---|---|"]
    rows += [
        f"| `{field.name}` | {field.metadata['shown']} | {escaped(field.metadata['doc'])} |"
        for field in dataclasses.fields(Configuration)
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201 - that is what it is for
