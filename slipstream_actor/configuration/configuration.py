"""Every option of `connect`: its default, its rule and its line in the documentation, once.

`python -m slipstream_actor.configuration` prints the documentation's table.
"""

from __future__ import annotations

import base64
import dataclasses
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Literal

from slipstream_actor.configuration.params import evaluate
from slipstream_actor.configuration.proxy_urls import proxy_url
from slipstream_actor.configuration.query import flatten
from slipstream_actor.configuration.retry import Policy
from slipstream_actor.configuration.rules import (
    Rule,
    RuleError,
    clean_text,
    codec,
    header_pairs,
    instance,
    known_extensions,
    known_vsn,
    methods,
    optional,
    parse_uri,
    policy,
    query_params,
    socket_options,
    token,
    truth,
    whole,
)
from slipstream_actor.configuration.uris import redact, server_name, without_escapes
from slipstream_actor.errors import ConfigurationError, suggest
from slipstream_actor.protocol.serializer import (
    JsonParser,
    MsgspecJson,
    Serializer,
    V1Serializer,
    V2Serializer,
)

__all__ = ["Configuration", "table"]

MEBIBYTE = 1024 * 1024

# The default parser and its serializers, which have no state: one for all connections.
OURS = MsgspecJson()
OUR_SERIALIZERS = (type(None), V1Serializer, V2Serializer)
OF_VSN: dict[str, Serializer] = {"1.0.0": V1Serializer(OURS), "2.0.0": V2Serializer(OURS)}

# What somebody means who asks for an option that other libraries have.
MEANT = {
    "compress": ': extensions=["permessage-deflate"]',
    "compression": ': extensions=["permessage-deflate"]',
    "reconnect": (
        ": a client reconnects because the default handle_disconnect returns socket.reconnect(),"
        " and stays away where one of its own returns the socket; reconnect_after_msec has the"
        " delays"
    ),
    "timeout": ": connect_timeout_msec, join_timeout_msec or reply_timeout_msec?",
    "token": ": it goes into params, or is the auth_token",
    "url": ": the URI is the first argument, uri",
}


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


@dataclasses.dataclass(frozen=True, repr=False, eq=False, kw_only=True, slots=True)
class Configuration:
    """The validated options of one `connect`. Made by `Configuration.validate`."""

    uri: urllib.parse.SplitResult = option(
        dataclasses.MISSING,
        parse_uri,
        "The endpoint, ws or wss, up to and including `/websocket`: text or a result of"
        " `urllib.parse`. The port is assumed to be 80 or 443; user information becomes Basic"
        " authorization. A `#` is written `%23`.",
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
        "Merged into the query; a callable, or one among the values, is evaluated at each connect."
        " Values are text, bytes of UTF-8, numbers, lists of these, and mappings of all that.",
    )
    auth_token: str | Callable[[], str] | None = option(
        None,
        optional(token),
        "Phoenix 1.8's auth token, sent as a subprotocol; a callable is evaluated at each connect.",
    )
    vsn: str = option(
        "2.0.0",
        known_vsn,
        "The serializer's version, 2.0.0 or 1.0.0; one in the URI or the params must agree.",
    )
    serializer: Serializer | None = option(
        None,
        optional(codec),
        "An object with `encode(Message)` and `decode(str | bytes)`; outranks `vsn`.",
        shown="by `vsn`",
    )
    json_parser: JsonParser = option(
        None,
        optional(methods("loads", "dumps")),
        "A module or object with `loads` and `dumps`: `json`, `orjson`, …",
        shown="msgspec",
    )
    reconnect_after_msec: Policy = option(
        [10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000],
        policy,
        "Delays of the first, second, … `reconnect`; the last one repeats. Or a callable that"
        " takes the attempt's number, 1 for the first, and may take the reason of the last failure"
        " as a second argument.",
    )
    reconnect_jitter_msec: int = option(
        1000,
        whole(0),
        "A uniform random part of it is added to each of those delays, so that clients do not all"
        " come back at once; 0 for Slipstream's exact times.",
    )
    rejoin_after_msec: Policy = option(
        [100, 500, 1000, 2000, 5000, 10000],
        policy,
        "Delays of the first, second, … `rejoin` of a topic; the last one repeats. Or a callable"
        " that takes the number of the rejoin, 1 for the first, and may take the reason that the"
        " join ended with as a second argument.",
    )
    rejoin_jitter_msec: int = option(
        1000,
        whole(0),
        "A uniform random part of it is added to each of those delays.",
    )
    stable_after_msec: int = option(
        5000,
        whole(0),
        "How long a connection, or a join, has to last for those delays to begin anew.",
    )
    honor_retry_after: bool = option(
        True,
        truth,
        "After a refusal with 429 or 503 and a `Retry-After`, do not connect again before that.",
    )
    max_retry_after_msec: int = option(
        300_000,
        whole(0),
        "Longest time that a `Retry-After` is honoured for.",
        shown="`300000`",
    )
    rejoin_on_reconnect: bool = option(
        True,
        truth,
        "After a reconnect, join every topic again that was joined or asked for.",
    )
    reply_timeout_msec: int | None = option(
        None,
        optional(whole(1)),
        "Time for the reply to each push, which then ends in a reply or in `handle_push_failed`;"
        " `push(…, reply_timeout=seconds)` overrides it.",
    )
    buffer_pushes: bool = option(
        False,
        truth,
        "Keep pushes for a topic that is being joined, or is coming back, and send them after the"
        " join; `push(…, buffer=…)` overrides it.",
    )
    buffer_max_pushes: int = option(1000, whole(1), "How many pushes are kept, for all topics.")
    buffer_max_bytes: int = option(
        16 * MEBIBYTE, whole(1), "How many bytes of them are kept.", shown="`16777216`"
    )
    buffer_max_age_msec: int = option(10_000, whole(1), "How long each of them is kept.")
    high_watermark: int = option(
        20_000,
        whole(1),
        "Above so many undelivered messages the connection stops reading, and TCP pushes back.",
    )
    low_watermark: int = option(
        None,
        optional(whole(0)),
        "Down to so many it does not read again; by default a quarter of `high_watermark`.",
        shown="`5000`",
    )
    max_undelivered_bytes: int = option(
        16 * MEBIBYTE,
        whole(1),
        "Above so many bytes of undelivered messages, as they came over the wire (inflated, where"
        " that is compressed), it does not read either.",
        shown="`16777216`",
    )
    max_send_buffer_bytes: int = option(
        16 * MEBIBYTE,
        whole(1),
        "While more bytes than these wait to be sent, `push` blocks, for up to its `send_timeout`.",
        shown="`16777216`",
    )
    max_requests: int = option(
        10_000,
        whole(1),
        "So many requests of a client may be without an outcome, and so many may wait at its handle"
        " while it is started again.",
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
        "Time for the server's answer to our close frame, from when that is out.",
    )
    shutdown_timeout_msec: int = option(
        2000,
        whole(0),
        "Time that the interpreter's exit gives a client to close.",
    )
    max_message_bytes: int = option(
        64 * MEBIBYTE,
        whole(1),
        "Longest message taken from the server, in bytes, inflated; a longer one"
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
        "A proxy's URL (http; socks4, socks5, socks5h with the extra `proxy`), whose port is"
        " assumed to be 80, or 1080 for SOCKS; `None` honours the environment, `False` uses none.",
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
    extensions: tuple[str, ...] = option(
        [],
        known_extensions,
        'Websocket extensions to offer: `["permessage-deflate"]` compresses, where the server does'
        " too (Phoenix: `compress: true`). Its parameters stand behind it as in the header:"
        ' `"permessage-deflate; server_no_context_takeover"`.',
    )
    test_mode: bool = option(
        False,
        truth,
        "Open no socket: the test is the server.",
    )

    @classmethod
    def validate(cls, uri: Any, options: Mapping[str, Any]) -> Configuration:
        """Return the configuration; raises `ConfigurationError` for the first wrong option."""
        given = {"uri": uri, **options}
        known = cls.__dataclass_fields__
        for name in given:
            if name not in known:
                meant = MEANT.get(name) or suggest(name, known)
                raise ConfigurationError(name, f"there is no such option{meant}")
        kept = {}
        for name, value in given.items():
            problem = None
            try:
                kept[name] = known[name].metadata["rule"](value)
            except RuleError as rule:
                problem = f"{rule}; got a value of type {type(value).__name__}"
            # Not where it was caught: what led to it may hold the value.
            if problem is not None:
                raise ConfigurationError(name, problem)
        kept["json_parser"] = kept.get("json_parser") or OURS
        config = cls(**kept)
        # What follows from other options.
        if config.low_watermark is None:
            object.__setattr__(config, "low_watermark", config.high_watermark // 4)
        config._check_together()
        if config.serializer is None:
            serializer = default_serializer(config.vsn, config.json_parser)
            object.__setattr__(config, "serializer", serializer)
        return config

    def _check_together(self) -> None:
        """Raise `ConfigurationError` for options that contradict each other."""
        self._check_vsn("the URI has", self._query_of_uri())
        if isinstance(self.params, Mapping):
            known = {key: value for key, value in self.params.items() if not callable(value)}
            self._check_vsn("the params have", flatten(known))
        if self.low_watermark >= self.high_watermark:
            raise ConfigurationError("low_watermark", "must be below high_watermark")
        names = self.header_names()
        for name, header in (("origin", "origin"), ("auth_token", "sec-websocket-protocol")):
            if header in names and getattr(self, name) is not None:
                raise ConfigurationError(name, f"is sent as {header}, which the headers have too")

    def _check_vsn(self, what_has: str, query: list[tuple[str, str]]) -> None:
        """Raise `ConfigurationError` for a version in the query that our serializers do not speak;
        what one of somebody's own speaks is theirs to say."""
        asked = dict(query).get("vsn", self.serializer_vsn)
        if type(self.serializer) in OUR_SERIALIZERS and asked != self.serializer_vsn:
            raise ConfigurationError("vsn", f"is {self.serializer_vsn}, and {what_has} another one")

    def _query_of_uri(self) -> list[tuple[str, str]]:
        return urllib.parse.parse_qsl(self.uri.query, keep_blank_values=True)

    @property
    def secure(self) -> bool:
        """Whether the scheme is wss."""
        return self.uri.scheme == "wss"

    @property
    def host(self) -> str:
        """The host's name in ASCII, or its address, with its zone."""
        host = without_escapes(self.uri.hostname or "")
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
        """Whether the server's messages carry a join_ref: not in V1 (docs/protocol.md#note-52)."""
        return self.serializer_vsn != "1.0.0"

    def host_header(self) -> str:
        """Return the `Host` header, without the port that the scheme implies."""
        host = f"[{server_name(self.host)}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def resource(self) -> str:
        """Return path and query of the upgrade request; evaluates `params` if it is callable."""
        params = evaluate(self.params)
        if not isinstance(params, Mapping):
            raise ConfigurationError(
                "params", f"must return a mapping; got a value of type {type(params).__name__}"
            )
        pairs = flatten(params)
        self._check_vsn("the params have", pairs)
        if "vsn" not in dict(self._query_of_uri() + pairs):
            pairs.append(("vsn", self.serializer_vsn))
        added = urllib.parse.urlencode(pairs)
        path = urllib.parse.quote(self.uri.path or "/", safe="/%:@!$&'()*+,=~-._")
        query = urllib.parse.quote(self.uri.query, safe="/%:@!$&'()*+,;=~-._?[]")
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
            try:
                data = token.encode()
            except UnicodeEncodeError:
                rule = "must return text that UTF-8 can hold"
                raise ConfigurationError("auth_token", rule) from None
            # Standard base64, whatever the prefix says, and on one line (docs/protocol.md#note-44
            # and #note-45).
            coded = base64.b64encode(data).decode().rstrip("=")
            lines.append(f"Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.{coded}")
        if self.uri.username is not None and "authorization" not in self.header_names():
            user = urllib.parse.unquote(f"{self.uri.username}:{self.uri.password or ''}")
            lines.append(f"Authorization: Basic {base64.b64encode(user.encode()).decode()}")
        return lines

    def header_names(self) -> set[str]:
        """Return the names of the configured headers, in lower case."""
        return {name.lower() for name, _ in self.headers}

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


def default_serializer(vsn: str, parser: JsonParser) -> Serializer:
    """Return the serializer of a version: with our parser one for all."""
    if parser is OURS:
        return OF_VSN[vsn]
    return V2Serializer(parser) if vsn == "2.0.0" else V1Serializer(parser)


def escaped(text: str) -> str:
    """Return `text` for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def table() -> str:
    """Return the table of options for the documentation, in Markdown."""
    rows = ["| option | default | what it is |", "|---|---|---|"]
    rows += [
        f"| `{field.name}` | {field.metadata['shown']} | {escaped(field.metadata['doc'])} |"
        for field in dataclasses.fields(Configuration)
    ]
    return "\n".join(rows)
