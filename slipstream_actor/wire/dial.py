"""From an address to a connected, non-blocking socket: names, proxies, TCP and TLS, one deadline.

Everything waits through a `Waiter`, so that a stop or a `disconnect` ends it at once.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
import ssl
import traceback
from collections.abc import Iterator
from typing import Any, TypeVar

from slipstream_actor.actors.forks import close_in_child
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.uris import server_name
from slipstream_actor.wire.addresses import in_order, remembering
from slipstream_actor.wire.answer import may_be_http, parse_status
from slipstream_actor.wire.proxies import open_proxy, proxy_for
from slipstream_actor.wire.race import Race
from slipstream_actor.wire.waiter import AttemptFailed, Waiter, text

__all__ = ["dial", "verifying_context"]

T = TypeVar("T")
MAX_PROXY_HEAD = 64 * 1024
NO_CONSENT = "the proxy's answer is none to a CONNECT"


def dial(config: Configuration, waiter: Waiter) -> socket.socket:
    """Return a non-blocking socket connected to the configured host, TLS done.

    Raises `AttemptFailed`.
    """
    proxy = proxy_for(config)
    with remembering(waiter):
        if proxy is not None:
            sock = dial_proxy(config, proxy, waiter)
        else:
            sock = dial_tcp(config.host, config.port, config, waiter)
        try:
            return handshake(sock, config, waiter) if config.secure else sock
        except BaseException:
            sock.close()
            raise


def dial_tcp(host: str, port: int, config: Configuration, waiter: Waiter) -> socket.socket:
    """Return a socket connected to whichever of the host's addresses answers first."""
    addresses = in_order(host, port, resolve(host, port, waiter))
    return Race(host, port, addresses, lambda sock: set_options(sock, config), waiter).run()


def resolve(host: str, port: int, waiter: Waiter) -> list[Any]:
    """Return the addresses of `host`.

    `getaddrinfo` cannot be interrupted: for a name it runs in a thread of its own, which is
    abandoned at the deadline, and ends when the system's resolver gives up.
    """

    def look_up() -> list[Any]:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    try:
        if is_address(host):
            return look_up()
        return waiter.elsewhere("name resolution", look_up, lambda _: None)
    except (OSError, UnicodeError) as error:
        raise AttemptFailed("resolve", f"{host}: {text(error)}") from error


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, and needs no look-up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def set_options(sock: socket.socket, config: Configuration) -> None:
    """Set what websocket-client would set on a socket of its own, and the option `sockopt`."""
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in config.sockopt:
            sock.setsockopt(*option)
    except (OSError, TypeError, ValueError, OverflowError) as error:
        retryable = isinstance(error, OSError)
        raise AttemptFailed("io", f"sockopt: {text(error)}", retryable=retryable) from error


def verifying_context() -> ssl.SSLContext:
    """Return a context that verifies certificate and host name, with HTTP/1.1 only
    (docs/protocol.md#note-43).

    Raises `OSError`, with the file's name, for one of the environment (`SSLKEYLOGFILE`) that cannot
    be written.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.cache
def default_context() -> ssl.SSLContext:
    """Return the one of all connections that have none of their own. Raises `AttemptFailed`."""
    try:
        return verifying_context()
    except OSError as error:
        raise AttemptFailed("tls", f"the default ssl_context: {error}") from error


def context_of(config: Configuration) -> ssl.SSLContext:
    """Return the option `ssl_context`, or the default one. Raises `AttemptFailed`."""
    if config.ssl_context is not None:
        return config.ssl_context
    context = default_context()
    if has_read_nothing(context):
        default_context.cache_clear()
    return context


def has_read_nothing(context: ssl.SSLContext) -> bool:
    """Whether there is a file of authorities and `context` has none of them.

    OpenSSL reads it once, and says nothing when it cannot: at the limit of open files, for one.
    """
    stats = context.cert_store_stats()
    return not stats["x509"] and ssl.get_default_verify_paths().cafile is not None


def handshake(sock: socket.socket, config: Configuration, waiter: Waiter) -> ssl.SSLSocket:
    """Return `sock` with TLS on it."""
    context = context_of(config)
    with tls_errors(config.host):
        try:
            secure = context.wrap_socket(
                sock, server_hostname=server_name(config.host), do_handshake_on_connect=False
            )
        except OSError as error:
            close_wrapped(error)
            raise
    close_in_child(secure)
    try:
        with tls_errors(config.host):
            while True:
                try:
                    secure.do_handshake()
                    require_http_1(config.host, secure)
                    return secure
                except ssl.SSLWantReadError:
                    waiter.ready(secure, "the TLS handshake", read=True)
                except ssl.SSLWantWriteError:
                    waiter.ready(secure, "the TLS handshake", write=True)
    except BaseException:
        secure.close()
        raise


def require_http_1(host: str, secure: ssl.SSLSocket) -> None:
    """Refuse HTTP/2, which a server chooses that is offered it (docs/protocol.md#note-43)."""
    if secure.selected_alpn_protocol() == "h2":
        raise AttemptFailed("tls", f"{host}: the server chose HTTP/2 (ALPN h2)")


def close_wrapped(error: OSError) -> None:
    """Close what `wrap_socket` leaves open, and out of reach, when the peer has sent an RST."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        wrapped = frame.f_locals.get("self")
        if isinstance(wrapped, ssl.SSLSocket):
            wrapped.close()


@contextlib.contextmanager
def tls_errors(host: str) -> Iterator[None]:
    """Map what a TLS handshake raises."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        # A context of the user's may have raised it, which has a text of its own or none.
        said = getattr(error, "verify_message", "") or text(error)
        raise AttemptFailed("tls", f"{host}: {said.rstrip('.')}") from error
    except (OSError, ValueError) as error:
        raise AttemptFailed("tls", f"{host}: {text(error)}") from error


def dial_proxy(config: Configuration, url: str, waiter: Waiter) -> socket.socket:
    """Return a socket that a proxy has connected to the host."""
    host, port, connector = open_proxy(url, lambda name, at: resolve(name, at, waiter))
    try:
        sock = dial_tcp(host, port, config, waiter)
    except AttemptFailed as failed:
        if failed.reason.kind == "timeout":
            raise
        detail = f"the proxy cannot be reached: {failed}"
        raise AttemptFailed("proxy", detail, retryable=failed.reason.retryable) from failed
    try:
        # An address's zone is one of this machine's (RFC 6874 section 4).
        connector(ProxyStream(sock, waiter), config.host.partition("%")[0], config.port)
        return sock
    except (AttemptFailed, OSError) as error:
        sock.close()
        if isinstance(error, AttemptFailed):
            raise
        raise AttemptFailed("proxy", f"the proxy failed: {text(error)}") from error
    except BaseException:
        sock.close()
        raise


class ProxyStream:
    """What a proxy is talked to through; it waits in the mailbox.

    python-socks calls `write` and `read_exactly`, its versions before 3 by their other names.
    """

    def __init__(self, sock: socket.socket, waiter: Waiter) -> None:
        self._sock = sock
        self._waiter = waiter

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        while data:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                self._waiter.ready(self._sock, "the proxy", write=True)

    write_all = write

    def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes."""
        data = b""
        while len(data) < size:
            data += self._read(size - len(data))
        return data

    read_exact = read_exactly

    def read_consent(self) -> None:
        """Read an HTTP proxy's consent; interim answers are passed over.

        Any answer of the 200s is one (RFC 9110 section 9.3.6).
        """
        size, status = 0, 100
        while status < 200:
            head = self._read_head(MAX_PROXY_HEAD - size)
            size += len(head)
            parsed = parse_status(head.partition(b"\r\n")[0])
            if parsed is None or parsed[1] == 101:
                raise AttemptFailed("proxy", NO_CONSENT)
            status = parsed[1]
        if status >= 300:
            raise AttemptFailed("proxy", f"the proxy refused (code {status})")

    def _read_head(self, limit: int) -> bytes:
        """Return the head of an answer, byte by byte: what follows is the server's."""
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            if len(head) >= limit:
                raise AttemptFailed("proxy", "the proxy's answer has no end")
            head += self._read(1)
            if not may_be_http(head):
                raise AttemptFailed("proxy", NO_CONSENT)
        return bytes(head)

    def _read(self, size: int) -> bytes:
        while True:
            try:
                chunk = self._sock.recv(size)
            except BlockingIOError:
                self._waiter.ready(self._sock, "the proxy", read=True)
                continue
            if not chunk:
                raise AttemptFailed("proxy", "the proxy closed the connection")
            return chunk
