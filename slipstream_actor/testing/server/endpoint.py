"""From a request to an upgrade or a refusal: what Phoenix.Transports.WebSocket does, in its order.

Method, query, auth token, subprotocols, serializer, connect, and the upgrade's own headers last: a
refused connect is therefore a 403 even where the request is no upgrade at all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any

from slipstream_actor.testing.server import query
from slipstream_actor.testing.server.codec import Codec
from slipstream_actor.testing.server.codec import negotiate as negotiate_version
from slipstream_actor.testing.server.compression import Compression, negotiate
from slipstream_actor.testing.server.http import CACHE_CONTROL, Request, Response, head

logger: logging.Logger = logging.getLogger("slipstream_actor.testing")

AUTH_TOKEN_PREFIX = "base64url.bearer.phx."
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_JSON = ("content-type", "application/json; charset=utf-8")


@dataclass(frozen=True)
class Mount:
    """The options of one `socket` line of an endpoint.

    `auth_token`: read a token from the subprotocols (docs/protocol.md#note-44 to #note-46).
    `subprotocols`: those that the server selects from. `max_frame_size`: bytes, a frame's header
    counted in (docs/protocol.md#note-36). `timeout`: seconds without a frame from the client after
    which the connection ends (docs/protocol.md#note-34). `max_channels`: per connection, None for
    no limit (docs/protocol.md#note-15). `compress`: permessage-deflate, for clients that offer it
    (docs/protocol.md#note-48).
    """

    auth_token: bool = False
    subprotocols: tuple[str, ...] = ()
    max_frame_size: int = 10_000_000
    timeout: float = 60.0
    max_channels: int | None = 100
    compress: bool = False


class RefuseConnect(Exception):
    """Raised by a `connect` to refuse the upgrade: an HTTP status, a body, headers.

    See docs/protocol.md#note-38.
    """

    def __init__(
        self, status: int = 403, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.response: Response = Response(status, body, list((headers or {}).items()))


class Unwinding(BaseException):
    """The connection ends, and so does what runs in its thread; nothing on the way may stop it."""


@dataclass(frozen=True)
class ConnectRequest:
    """What a `connect` is asked.

    `params`: the query (docs/protocol.md#note-40). `info`: the connect info. `sleep`: takes
    seconds, and ends at once with the connection.
    """

    params: dict[str, Any]
    info: dict[str, Any]
    sleep: Callable[[float], None]


Connect = Callable[[ConnectRequest], str | None]
"""Returns the socket's id, None for one without, or raises `RefuseConnect`."""


@dataclass(frozen=True)
class Upgrade:
    """An accepted upgrade: the 101, and what the socket behind it knows of the request."""

    response: bytes
    mount: Mount
    codec: Codec
    params: dict[str, Any]
    info: dict[str, Any]
    socket_id: str | None
    compression: Compression | None = None


@dataclass(frozen=True)
class Peer:
    """The other end of a connection."""

    address: tuple[Any, ...]
    secure: bool
    sleep: Callable[[float], None]


class Endpoint:
    """Answers requests.

    `mounts` maps a path such as "/socket" to its options and may be changed by tests.
    """

    def __init__(self, mounts: Mapping[str, Mount], connect: Connect) -> None:
        self.mounts: dict[str, Mount] = dict(mounts)
        self._connect = connect

    def answer(self, request: Request, peer: Peer) -> Upgrade | Response:
        """The response to `request`.

        Runs `connect`, so it may take its time; raises nothing for what a client may send.
        """
        path, _, query_string = request.target.partition(b"?")
        mount = self._mount(path.decode("latin-1"))
        if mount is None:
            return Response(404, b"not found")
        if request.method != "GET":
            return Response(400)
        try:
            return self._upgrade(request, query.parse(query_string), mount, peer)
        except query.BadQuery:
            return _error(400, "Bad Request")
        except RefuseConnect as refusal:
            return refusal.response
        except Unwinding:
            raise
        except BaseException:  # pytest.fail() and sys.exit() too: they would end this thread alone.
            logger.exception("connecting to %s crashed", path.decode("latin-1"))
            return _error(500, "Internal Server Error")

    def _mount(self, path: str) -> Mount | None:
        segments = [segment for segment in path.split("/") if segment]
        if segments[-1:] != ["websocket"]:
            return None
        return self.mounts.get("/" + "/".join(segments[:-1]))

    def _upgrade(
        self, request: Request, params: dict[str, Any], mount: Mount, peer: Peer
    ) -> Upgrade | Response:
        token = None
        if mount.auth_token:
            request, token = _take_auth_token(request)
        selected = _select_subprotocol(request, mount.subprotocols)
        codec = negotiate_version(params.get("vsn", "1.0.0"))
        if codec is None:
            raise RefuseConnect(403)
        info = _connect_info(request, peer)
        if mount.auth_token:
            info["auth_token"] = token
        socket_id = self._connect(ConnectRequest(params, info, peer.sleep))
        fault = _upgrade_fault(request)
        if fault is not None:
            return Response(400, fault.encode())
        offers = request.tokens("sec-websocket-extensions") if mount.compress else []
        compression = negotiate(offers)
        response = _accept(request, selected, compression)
        return Upgrade(response, mount, codec, params, info, socket_id, compression)


def _error(status: int, detail: str) -> Response:
    return Response(status, f'{{"errors":{{"detail":"{detail}"}}}}'.encode(), [_JSON])


def _take_auth_token(request: Request) -> tuple[Request, str | None]:
    """The request without its token, and the token.

    Only the first header line counts, and only a single token in it (docs/protocol.md#note-45); one
    that is no base64 raises (docs/protocol.md#note-44).
    """
    lines = request.all("sec-websocket-protocol")
    offered = [token.strip() for token in lines[0].split(",") if token.strip()] if lines else []
    tokens = [offer for offer in offered if offer.startswith(AUTH_TOKEN_PREFIX)]
    if len(tokens) != 1:
        return request, None
    rest = [offer for offer in offered if offer != tokens[0]]
    headers = [pair for pair in request.headers if pair[0] != "sec-websocket-protocol"]
    if rest:
        headers.append(("sec-websocket-protocol", ", ".join(rest)))
    return replace(request, headers=headers), _decode_token(tokens[0][len(AUTH_TOKEN_PREFIX) :])


def _decode_token(encoded: str) -> str:
    """Standard base64, in spite of the prefix; padding is optional (docs/protocol.md#note-44)."""
    bare = encoded.rstrip("=")
    if len(encoded) != len(bare) and len(encoded) % 4:
        raise binascii.Error("wrong padding")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()


def _select_subprotocol(request: Request, supported: tuple[str, ...]) -> str | None:
    lines = request.all("sec-websocket-protocol")
    if not supported or not lines:
        return None
    offered = [token.strip() for token in lines[0].split(",")]
    for subprotocol in supported:
        if subprotocol in offered:
            return subprotocol
    raise RefuseConnect(403)


def _connect_info(request: Request, peer: Peer) -> dict[str, Any]:
    """What the recorded `params:*` channel shows under "info"."""
    scheme = "https" if peer.secure else "http"
    host = (request.all("host") or [""])[0]
    return {
        "peer_data": {
            "address": _erlang_address(peer.address[0]),
            "port": peer.address[1],
            "ssl_cert": None,
        },
        "sec_websocket_headers": _matching(request, "sec-websocket-"),
        "trace_context_headers": _matching(request, "traceparent", "tracestate"),
        "uri": f"{scheme}://{host}{request.target.decode('utf-8', 'replace')}",
        "user_agent": next(iter(request.all("user-agent")), None),
        "x_headers": _matching(request, "x-"),
    }


def _matching(request: Request, *prefixes: str) -> list[list[str]]:
    return [[name, value] for name, value in request.headers if name.startswith(prefixes)]


def _erlang_address(address: str) -> str:
    if ":" in address:
        return "{" + address + "}"
    return "{" + address.replace(".", ", ") + "}"


def _upgrade_fault(request: Request) -> str | None:
    """What is wrong with the request as an upgrade, in Bandit's words.

    See docs/protocol.md#note-39.
    """
    if request.version != "1.1":
        return f"HTTP version HTTP/{request.version} unsupported"
    for name, needed in (("connection", "upgrade"), ("upgrade", "websocket")):
        if needed not in [token.lower() for token in request.tokens(name)]:
            return f"'{name}' header must contain '{needed}', got {_inspect(request.all(name))}"
    if not request.all("sec-websocket-key"):
        return "'sec-websocket-key' header is absent"
    if request.all("sec-websocket-version") != ["13"]:
        versions = _inspect(request.all("sec-websocket-version"))
        return f"'sec-websocket-version' header must equal '13', got {versions}"
    return None


def _inspect(values: list[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _accept(request: Request, subprotocol: str | None, compression: Compression | None) -> bytes:
    key = request.all("sec-websocket-key")[0].encode("latin-1")
    digest = hashlib.sha1(key + _WEBSOCKET_GUID).digest()
    headers = [
        ("date", formatdate(usegmt=True)),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", base64.b64encode(digest).decode()),
        CACHE_CONTROL,
    ]
    if compression is not None:
        headers.append(("sec-websocket-extensions", compression.answer()))
    if subprotocol is not None:
        headers.append(("sec-websocket-protocol", subprotocol))
    return head(101, headers)
