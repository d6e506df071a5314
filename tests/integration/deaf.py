"""Ways to be deaf: set-ups in which a client "does nothing", each with another cause.

`WAYS` has them by name, as functions that return a context: it begins the client, waits until the
trouble is there, and yields a `Deaf`. What the log, the state and an error say of each is tested
beside this, to the letter: whoever has one of them knows the cause.
"""

from __future__ import annotations

import datetime
import queue
import socket as sockets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeAlias

import trustme

from slipstream_actor import (
    AlreadyStartedError,
    ClientActor,
    Message,
    Socket,
    V2Serializer,
    cast,
    connect,
)
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE
from tests.support.raw_server import TEXT, Peer, RawServer, Script, closing, frame

CA = trustme.CA()
TOPIC = "bench:stove"
# What stands in a client's options, params and payloads, and in no line, state or error.
SECRET = "s3cret"
OPTIONS: dict[str, Any] = {
    "reconnect_after_msec": [60_000],
    "reconnect_jitter_msec": 0,
    "rejoin_after_msec": [60_000],
    "rejoin_jitter_msec": 0,
    "proxy": False,
    "params": {"token": SECRET},
}


class Deaf(NamedTuple):
    """A client that does nothing: its ref, `None` if it has none; where it connects to, as it is
    shown; the topic that it wants; and what `start` raised."""

    client: Any
    where: str
    topic: str = TOPIC
    error: BaseException | None = None


Way: TypeAlias = Callable[[], AbstractContextManager[Deaf]]
WAYS: dict[str, Way] = {}


def way(function: Callable[[], Iterator[Deaf]]) -> Way:
    """Register a set-up, by its name."""
    made = contextmanager(function)
    WAYS[function.__name__.replace("_", " ").strip()] = made
    return made


class Kitchen(ClientActor):
    """Wants one topic, and notes which callbacks it has seen."""

    def init(self, uri: str, topic: str, seen: queue.Queue[str], **options: Any) -> Socket:
        self.seen = seen
        return connect(uri, **{**OPTIONS, **options}).join(topic, {"token": SECRET})

    def handle_connect(self, socket: Socket) -> Any:
        self.seen.put("connect")

    def handle_join(self, topic: str, response: Any, socket: Socket) -> Any:
        self.seen.put("join")

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        self.seen.put("disconnect")
        return super().handle_disconnect(reason, socket)

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        self.seen.put("topic_close")
        return super().handle_topic_close(topic, reason, socket)

    def handle_leave(self, topic: str, socket: Socket) -> Any:
        self.seen.put("leave")

    def handle_cast(self, message: Callable[[Socket], Any], socket: Socket) -> Any:
        return message(socket)


class Away(Kitchen):
    """Overrides `handle_disconnect`, and forgets to reconnect."""

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        self.seen.put("disconnect")


@contextmanager
def kitchen(
    uri: str, *until: str, topic: str = TOPIC, kind: type[Kitchen] = Kitchen, **options: Any
) -> Iterator[Any]:
    """Start a client called "pantry", wait until it has seen these callbacks, and stop it."""
    seen: queue.Queue[str] = queue.Queue()
    ref: Any = kind.start(uri, topic, seen, name="pantry", **options)
    try:
        for callback in until:
            wait_for(seen, callback)
        yield ref
    finally:
        ref.stop()


def wait_for(seen: queue.Queue[str], callback: str) -> None:
    """Wait for a callback, passing over others."""
    while seen.get(timeout=PATIENCE) != callback:
        pass


def shown(uri: str) -> str:
    """Return a URI as it is shown: without its query."""
    return uri.partition("?")[0]


@contextmanager
def unconnected(uri: str, **options: Any) -> Iterator[Deaf]:
    """A client whose first attempt has failed."""
    with kitchen(uri, "disconnect", **options) as client:
        yield Deaf(client, shown(uri))


@contextmanager
def against(script: Script, *, scheme: str = "ws", **options: Any) -> Iterator[Deaf]:
    """A client that a server with this script does not let in."""
    with (
        RawServer(script) as server,
        unconnected(server.uri.replace("ws", scheme, 1), **options) as deaf,
    ):
        yield deaf


def answering(status: int, *lines: str, body: str = "") -> Script:
    """Return the script of a server that answers so."""

    def answer(peer: Peer) -> None:
        peer.request()
        head = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *lines]
        peer.send(("\r\n".join(head) + "\r\n\r\n" + body).encode())
        peer.hold()

    return answer


@contextmanager
def secure(certificate: trustme.LeafCert, **options: Any) -> Iterator[Deaf]:
    """A client that a server's certificate keeps away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with (
        PhoenixServer(ssl_context=context) as server,
        unconnected(server.uri, **{"ssl_context": trusting(), **options}) as deaf,
    ):
        yield deaf


def trusting() -> ssl.SSLContext:
    """Return a client's context that trusts our certificate authority."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


# it does not connect


@way
def a_wrong_path() -> Iterator[Deaf]:
    with PhoenixServer() as server, unconnected(server.uri.removesuffix("/websocket")) as deaf:
        yield deaf


@way
def the_path_of_another_socket() -> Iterator[Deaf]:
    uri_of = "/kitchen/websocket"
    with (
        PhoenixServer() as server,
        unconnected(server.uri.replace("/socket/websocket", uri_of)) as deaf,
    ):
        yield deaf


@way
def a_refused_token() -> Iterator[Deaf]:
    with PhoenixServer() as server, unconnected(server.uri, params={"reject": "yes"}) as deaf:
        yield deaf


@way
def other_credentials() -> Iterator[Deaf]:
    with PhoenixServer() as server, unconnected(server.uri, params={"reject": "401"}) as deaf:
        yield deaf


@way
def a_closed_port() -> Iterator[Deaf]:
    with sockets.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Nobody listens there.
        port = closed.getsockname()[1]
        with unconnected(f"ws://127.0.0.1:{port}/socket/websocket") as deaf:
            yield deaf


@way
def a_certificate_of_strangers() -> Iterator[Deaf]:
    with secure(trustme.CA().issue_cert("127.0.0.1")) as deaf:
        yield deaf


@way
def a_clock_before_the_certificate() -> Iterator[Deaf]:
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    with secure(CA.issue_cert("127.0.0.1", not_before=tomorrow)) as deaf:
        yield deaf


@way
def a_certificate_that_has_expired() -> Iterator[Deaf]:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    with secure(CA.issue_cert("127.0.0.1", not_after=yesterday)) as deaf:
        yield deaf


@way
def a_certificate_of_another_name() -> Iterator[Deaf]:
    with secure(CA.issue_cert("kitchen.invalid")) as deaf:
        yield deaf


@way
def http_2() -> Iterator[Deaf]:
    context = trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secure(CA.issue_cert("127.0.0.1"), ssl_context=context) as deaf:
        yield deaf


@way
def tls_to_a_plain_port() -> Iterator[Deaf]:
    def answer(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.hold()

    with against(answer, scheme="wss") as deaf:
        yield deaf


@way
def plain_to_a_tls_port() -> Iterator[Deaf]:
    def alert(peer: Peer) -> None:
        peer.request()
        peer.send(b"\x15\x03\x01\x00\x02\x02\x46")
        peer.hold()

    with against(alert) as deaf:
        yield deaf


@way
def a_web_page() -> Iterator[Deaf]:
    with against(answering(200, body="<h1>It works!</h1>")) as deaf:
        yield deaf


@way
def a_redirect() -> Iterator[Deaf]:
    with against(answering(302, f"location: https://elsewhere.invalid/?token={SECRET}")) as deaf:
        yield deaf


@way
def a_gateway_without_a_server() -> Iterator[Deaf]:
    with against(answering(502, body="<h1>Bad Gateway</h1>")) as deaf:
        yield deaf


@way
def a_busy_server() -> Iterator[Deaf]:
    with against(answering(503, "retry-after: 90")) as deaf:
        yield deaf


@way
def a_proxy_in_the_way() -> Iterator[Deaf]:
    with RawServer(answering(407, "proxy-authenticate: Basic")) as proxy:
        uri = "ws://kitchen.invalid/socket/websocket"
        with unconnected(uri, proxy=f"http://{SECRET}:{SECRET}@127.0.0.1:{proxy.port}") as deaf:
            yield deaf


@way
def no_answer_to_the_upgrade() -> Iterator[Deaf]:
    with against(Peer.hold, connect_timeout_msec=200) as deaf:
        yield deaf


@way
def the_port_of_another_service() -> Iterator[Deaf]:
    def greet(peer: Peer) -> None:
        peer.send(b"SSH-2.0-OpenSSH_9.9\r\n")
        peer.hold()

    with against(greet) as deaf:
        yield deaf


@way
def params_that_fail() -> Iterator[Deaf]:
    def fetch() -> dict[str, str]:
        raise LookupError(SECRET)

    with PhoenixServer() as server, unconnected(server.uri, params=fetch) as deaf:
        yield deaf


# it is connected, and not joined


@contextmanager
def unjoined(topic: str, join: Any, **options: Any) -> Iterator[Deaf]:
    """A client whose join the server answers so."""

    def answer(peer: Peer) -> None:
        peer.upgrade()
        asked = peer.expect("phx_join")
        if join is not None:
            peer.reply(asked, join)
        peer.serve()

    with (
        RawServer(answer) as server,
        kitchen(server.uri, "topic_close", topic=topic, **options) as client,
    ):
        yield Deaf(client, server.uri, topic)


def refusal(**response: Any) -> dict[str, Any]:
    """Return the answer of a server that refuses a join."""
    return {"status": "error", "response": response}


@way
def a_join_that_is_refused() -> Iterator[Deaf]:
    with unjoined(TOPIC, refusal(reason="members only", secret=SECRET)) as deaf:
        yield deaf


@way
def a_join_that_is_refused_without_a_reason() -> Iterator[Deaf]:
    with unjoined(TOPIC, refusal(code=7, message=SECRET)) as deaf:
        yield deaf


@way
def a_topic_misspelt() -> Iterator[Deaf]:
    with unjoined("bnech:stove", refusal(reason="unmatched topic")) as deaf:
        yield deaf


@way
def a_join_that_crashes() -> Iterator[Deaf]:
    with unjoined(TOPIC, refusal(reason="join crashed")) as deaf:
        yield deaf


@way
def a_join_without_an_answer() -> Iterator[Deaf]:
    with unjoined(TOPIC, None, join_timeout_msec=100) as deaf:
        yield deaf


@way
def a_server_that_speaks_v1() -> Iterator[Deaf]:
    def answer(peer: Peer) -> None:
        peer.upgrade()
        peer.expect("phx_join")
        peer.send(frame(TEXT, b'{"topic": "t", "event": "phx_reply", "payload": {}, "ref": "1"}'))
        peer.hold()

    with RawServer(answer) as server, kitchen(server.uri, "connect") as client:
        yield Deaf(client, server.uri)


class Rotten(V2Serializer):
    """A serializer that is not the server's."""

    def decode(self, data: str | bytes) -> Message:
        raise ValueError(SECRET)


@way
def a_wrong_serializer() -> Iterator[Deaf]:
    with (
        PhoenixServer() as server,
        kitchen(server.uri, "connect", serializer=Rotten()) as client,
    ):
        yield Deaf(client, server.uri)


# it was joined


@contextmanager
def joined(
    script: Callable[[Peer], object], *until: str, kind: type[Kitchen] = Kitchen, **options: Any
) -> Iterator[Deaf]:
    """A client that a server lets in, and then does so to it."""

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        script(peer)

    with (
        RawServer(serve) as server,
        kitchen(server.uri, "join", *until, kind=kind, **options) as client,
    ):
        yield Deaf(client, server.uri)


@way
def a_channel_that_crashes() -> Iterator[Deaf]:
    with PhoenixServer() as server, kitchen(server.uri, "join", topic="test:good") as client:
        cast(client, lambda socket: socket.push("test:good", "raise") and None)
        yield Deaf(client, server.uri, "test:good")


@way
def a_channel_that_the_server_closes() -> Iterator[Deaf]:
    def close(peer: Peer) -> None:
        peer.send(frame(TEXT, f'["1", "1", "{TOPIC}", "phx_close", {{}}]'.encode()))
        peer.serve()

    with joined(close, "leave") as deaf:
        yield deaf


@way
def a_lost_connection() -> Iterator[Deaf]:
    def close(peer: Peer) -> None:
        peer.send(closing(1012, "restarting"))
        peer.hold()

    with joined(close, "disconnect") as deaf:
        yield deaf


@way
def a_heartbeat_without_an_answer() -> Iterator[Deaf]:
    with joined(Peer.hold, "disconnect", heartbeat_interval_msec=100) as deaf:
        yield deaf


@way
def an_overridden_handle_disconnect() -> Iterator[Deaf]:
    def vanish(peer: Peer) -> None:
        peer.finish()
        peer.hold()

    with joined(vanish, "disconnect", kind=Away) as deaf:
        yield deaf


@way
def its_own_disconnect() -> Iterator[Deaf]:
    with joined(Peer.serve) as deaf:
        cast(deaf.client, lambda socket: socket.disconnect())
        yield deaf


@way
def a_dead_client() -> Iterator[Deaf]:
    def burn(_: Socket) -> None:
        raise ValueError("burnt toast")

    with joined(Peer.serve) as deaf:
        cast(deaf.client, burn)
        assert deaf.client.actor_stopped.wait(PATIENCE)
        yield deaf


@way
def a_stuck_callback() -> Iterator[Deaf]:
    reached, released = threading.Event(), threading.Event()

    def simmer(_: Socket) -> None:
        reached.set()
        assert released.wait(PATIENCE)

    with joined(Peer.serve) as deaf:
        cast(deaf.client, simmer)
        assert reached.wait(PATIENCE)
        try:
            yield deaf
        finally:
            released.set()


@way
def a_name_that_is_taken() -> Iterator[Deaf]:
    with joined(Peer.serve) as deaf:
        try:
            Kitchen.start(deaf.where, TOPIC, queue.Queue(), name="pantry")
        except AlreadyStartedError as error:
            yield Deaf(None, deaf.where, error=error)
