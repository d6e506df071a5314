"""Hints for attempts to connect that have failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from slipstream_actor.protocol.hint_rows import Hint, Row, always, row
from slipstream_actor.protocol.reasons import ConnectFailed

__all__ = ["COMPRESSION", "CONNECT_HINTS", "NO_SOCKET", "NO_WEBSOCKET"]


def answered(*statuses: int) -> Callable[[ConnectFailed], bool]:
    """Whether the server's answer has one of these statuses."""
    return lambda failed: failed.status in statuses


def told(kind: str, *words: str) -> Callable[[ConnectFailed], bool]:
    """Whether a failure of this kind has one of these words in its detail; none: whichever."""
    lower = [word.lower() for word in words]

    def matches(failed: ConnectFailed) -> bool:
        if failed.kind != kind or failed.status is not None:
            return False
        detail = failed.detail.lower()
        return not lower or any(word in detail for word in lower)

    return matches


def asks_for_a_pause(failed: ConnectFailed) -> bool:
    return failed.status in (429, 503) and "retry-after" in failed.headers


def is_page_about_tls(failed: ConnectFailed) -> bool:
    """nginx, Apache, Go and others answer a plain request on their TLS port so."""
    body = failed.body.lower()
    words = "https port", "https server", "speaking plain http", "ssl-enabled", "tls-enabled"
    return failed.status == 400 and any(word in body for word in words)


def failed(anchor: str, text: str, matches: Callable[[Any], bool] = always) -> Row:
    """Return a row about a `ConnectFailed`."""
    return row(ConnectFailed, anchor, text, matches)


NO_WEBSOCKET = Hint(
    "Phoenix's path ends in /websocket, and this URI's does not: what the endpoint calls"
    ' socket "/socket" is at ws://host/socket/websocket',
    "404",
)
NO_SOCKET = Hint(
    'the endpoint has no such socket (what it calls socket "/socket" is at'
    " ws://host/socket/websocket), or another server answers at this host and port",
    "404",
)
TLS_PORT = (
    "the port speaks TLS: the URI begins with wss:// there, and another port may be the plain one"
)
HTTP2 = (
    "the server has chosen HTTP/2, on which this client speaks no websocket: an ssl_context of your"
    ' own offers "http/1.1" alone (set_alpn_protocols), and the server has to speak HTTP/1.1'
)
PROXY_CREDENTIALS = (
    "the proxy wants a user and a password: http://user:password@host:port as the option proxy, or"
    " in the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)"
)
COMPRESSION = (
    "the server, or something before it, does not speak permessage-deflate as RFC 7692 has it:"
    " without the option extensions nothing is compressed"
)
NO_ANSWER = (
    "something accepts connections there and answers no HTTP request: the port may be one for TLS"
    " (wss://) or of another service, or a load balancer with no server behind it"
)


def needs_files(failed: ConnectFailed) -> bool:
    """Whatever it was that none could be had for."""
    return failed.status is None and "too many open files" in failed.detail.lower()


def limits() -> Iterator[Row]:
    """What this process has no more of."""
    yield failed(
        "files",
        "this process has as many files and sockets open as it may: ulimit -n",
        needs_files,
    )


def proxies() -> Iterator[Row]:
    """What becomes of a way through a proxy."""
    yield failed("proxy", PROXY_CREDENTIALS, answered(407))
    yield failed(
        "proxy",
        PROXY_CREDENTIALS,
        told("proxy", "code 407", "authentication failure", "acceptable authentication"),
    )
    yield failed(
        "proxy",
        "the proxy does not let this host and port through, or does not reach them; NO_PROXY names"
        " hosts that need none, proxy=False means none at all",
        told("proxy", "the proxy refused"),
    )
    yield failed(
        "proxy",
        "the option proxy, or the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY), names a proxy"
        " that is not there; NO_PROXY names hosts that need none, proxy=False means none at all",
        told("proxy", "cannot be reached"),
    )
    yield failed(
        "proxy",
        "what the option proxy or the environment names does not answer as a proxy of its kind:"
        " http, socks4, socks5 or socks5h",
        told("proxy", "the proxy's answer", "the proxy closed", "the proxy failed"),
    )
    yield failed(
        "proxy",
        "the proxy has not answered: it does not reach this host and port either, or what the"
        " option proxy or the environment names is none of its kind",
        told("timeout", "the proxy"),
    )


def statuses() -> Iterator[Row]:
    """What a server says that answers with plain HTTP."""
    yield failed("tls-expected", TLS_PORT, is_page_about_tls)
    yield failed(
        "404",
        "Phoenix's path ends in /websocket: what the endpoint calls"
        ' socket "/socket" is at ws://host/socket/websocket',
        answered(404),
    )
    yield failed(
        "403",
        "connect/3 of the server's socket said no (:error), or its check_origin does not know the"
        " Origin, or it does not speak this vsn; the server's log says which",
        answered(403),
    )
    yield failed(
        "401",
        "the server, or a proxy before it, wants other credentials: those of this client are in"
        " its params, its auth_token or its headers, and may be callables that fetch fresh ones",
        answered(401),
    )
    yield failed(
        "busy",
        "the server asks for a pause (Retry-After), and the default policy keeps it",
        asks_for_a_pause,
    )
    yield failed(
        "busy",
        "the server takes no more connections from here for now",
        answered(429),
    )
    yield failed(
        "gateway",
        "a proxy or load balancer answered, and has no server behind it that does",
        answered(502, 503, 504, *range(520, 531)),
    )
    yield failed(
        "500",
        "connect/3 of the server's socket raised, or the auth_token is one that it cannot read; the"
        " server's log has the exception",
        answered(500),
    )
    yield failed(
        "too-long",
        "what was sent is too long: params travel in the URI, and a big token belongs into"
        " auth_token or into the params of a join",
        answered(413, 414, 431),
    )
    yield failed(
        "upgrade-lost",
        "the server saw no upgrade to a websocket: a proxy in between has to pass the headers"
        " Upgrade and Connection on",
        answered(400, 405, 426),
    )
    yield failed(
        "redirect",
        "redirects are not followed, lest a token goes where they lead: the URI has to be that"
        " place itself (wss:// for ws://, another host or path)",
        answered(*range(300, 400)),
    )
    yield failed(
        "plain-http",
        "a web page answered, so there is no websocket at this path; Phoenix's ends in /websocket,"
        " and a proxy in between has to pass the headers Upgrade and Connection on",
        answered(*range(200, 300)),
    )
    yield failed(
        "plain-http",
        "an HTTP answer, so there is no websocket at this path; Phoenix's ends in /websocket",
        lambda failed: failed.status is not None,
    )


def certificates() -> Iterator[Row]:
    """What is wrong with a certificate."""
    yield failed(
        "clock",
        "the certificate is not valid yet by this machine's clock: is the clock right?",
        told("tls", "not yet valid"),
    )
    yield failed(
        "certificate-expired",
        "the server's certificate has to be renewed, unless this machine's clock is ahead",
        told("tls", "certificate has expired"),
    )
    yield failed(
        "certificate-name",
        "the server's certificate is one of other names: the URI has to have one of those",
        told("tls", "mismatch", "doesn't match", "unrecognized_name"),
    )
    yield failed(
        "certificate-authority",
        "nobody whom this machine trusts has signed the certificate: for an authority of your own"
        ' ssl_context=ssl.create_default_context(cafile="ca.pem"); else the server leaves out the'
        " certificates between its own and the authority's",
        told("tls", "self-signed", "self signed", "issuer certificate", "unable to verify"),
    )
    yield failed(
        "client-certificate",
        "the server wants another certificate of the client: ssl_context with load_cert_chain",
        told(
            "tls",
            "certificate required",
            "alert bad certificate",
            "alert unknown ca",
            "alert certificate",
            "certificate_required",
            "alert_unknown_ca",
        ),
    )


def handshakes() -> Iterator[Row]:
    """What goes wrong in TLS before a certificate is looked at, and where TLS has no place."""
    yield failed(
        "http2",
        HTTP2,
        told("tls", "http/2", "application protocol", "application_protocol"),
    )
    yield failed(
        "tls-not-expected",
        "the port does not speak TLS: the URI is to begin with ws:// there, and another port may be"
        " the one for TLS",
        told(
            "tls",
            "wrong version number",
            "wrong_version_number",
            "http request",
            "http_request",
            "unknown protocol",
            "record layer failure",
            "packet length too long",
        ),
    )
    yield failed(
        "tls-cut-off",
        "the server hung up in the handshake: the port may be a plain one (ws://), or the server"
        " does not know the host's name",
        told("tls", "eof", "reset by peer", "broken pipe"),
    )
    yield failed(
        "tls-versions",
        "server and client have no version or cipher of TLS in common: an ssl_context of your own"
        " may allow what the server has",
        told(
            "tls",
            "protocol version",
            "unsupported protocol",
            "handshake failure",
            "cipher",
            "protocol_version",
            "handshake_failure",
            "no protocols available",
        ),
    )


def answers() -> Iterator[Row]:
    """What comes in the place of an HTTP answer."""
    yield failed("tls-expected", TLS_PORT, told("upgrade", "the answer is TLS"))
    yield failed("http2", HTTP2, told("upgrade", "the answer is HTTP/2"))
    yield failed("no-answer", NO_ANSWER, told("upgrade", "the server closed"))
    yield failed("no-answer", NO_ANSWER, told("io", "reset by peer", "broken pipe"))
    yield failed(
        "no-answer",
        "what listens there does not speak HTTP/1.1: the port may be of another service",
        told("upgrade", "the answer is no HTTP"),
    )
    yield failed(
        "subprotocol",
        "the server chose a subprotocol that this client did not offer: the header"
        " Sec-WebSocket-Protocol, in the option headers, names those that it offers",
        told("upgrade", "subprotocol"),
    )
    yield failed(
        "compression",
        COMPRESSION,
        told("upgrade", "permessage-deflate", "sec-websocket-extensions"),
    )
    yield failed(
        "odd-answer",
        "something between here and the server answers, or changes what the server answers",
        told(
            "upgrade",
            "the answer is no websocket's",
            "extension",
            "the answer has",
            "the answer's head",
        ),
    )


def ways() -> Iterator[Row]:
    """What goes wrong before a server answers at all."""
    yield failed(
        "resolve",
        "is the host's name spelt right, and does this machine (or container) reach a name server?",
        told("resolve"),
    )
    yield failed(
        "refused",
        "nothing listens on this port: is the server up, and is it this port? In a container"
        " localhost is the container itself",
        told("refused"),
    )
    yield failed(
        "timeout-tls",
        "the port takes connections and does not speak TLS: it may be a plain one (ws://)",
        told("timeout", "the TLS handshake"),
    )
    yield failed(
        "timeout-upgrade",
        "the server, or something before it, has begun to answer and does not go on, or ends its"
        " lines with LF alone, where HTTP has CR LF",
        told("timeout", "the middle of its answer"),
    )
    yield failed(
        "timeout-upgrade",
        "the port takes connections and does not answer: connect/3 or the server takes longer than"
        " connect_timeout_msec, or what listens there waits for something else (TLS: wss://)",
        told("timeout", "the upgrade"),
    )
    yield failed(
        "resolve",
        "no name server has answered: does this machine (or container) reach the one that it asks?",
        told("timeout", "name resolution"),
    )
    yield failed(
        "timeout",
        "nobody answers at all: a firewall drops the packets, or the address is not in use",
        told("timeout"),
    )
    yield failed(
        "unreachable",
        "this machine has no way to that address: network, VPN, IPv6 without a route",
        told("io", "unreachable", "no route", "address family", "cannot assign"),
    )


CONNECT_HINTS: tuple[Row, ...] = (
    *limits(),
    *proxies(),
    *statuses(),
    *certificates(),
    *handshakes(),
    *answers(),
    *ways(),
)
