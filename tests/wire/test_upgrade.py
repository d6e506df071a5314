"""The answer to the upgrade: what is a websocket's, what is a refusal, and what is neither.

Whatever bytes come, an attempt ends as connected or as `AttemptFailed`, soon and in bounds.
"""

from __future__ import annotations

import base64
import hashlib
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.protocol.reasons import ConnectFailed
from slipstream_actor.wire import addresses, dial
from slipstream_actor.wire.answer import BODY_START, body_of, parse_head, tokens, unchunked
from slipstream_actor.wire.dial import ProxyStream
from slipstream_actor.wire.waiter import AttemptFailed, Route
from slipstream_actor.wire.websocket import Transport, upgrade

CONFIG = Configuration.validate("ws://example.test/socket/websocket", {})
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# In the place of what answers the request's key.
ACCEPT = b"$ACCEPT$"
HOLD = b"$HOLD$"


class Answering:
    """A non-blocking socket, and the waiter on it: a server that answers in `parts`.

    Behind them it hangs up; after a part that is `HOLD` it stays silent for ever.
    """

    route: Route | None = None

    def __init__(self, *parts: bytes) -> None:
        self.request = b""
        self.waits = 0
        self._parts = list(parts)
        self._silent = False

    def send(self, data: Any) -> int:
        self.request += bytes(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        if not self._parts:
            return b""
        part = self._parts.pop(0)
        if part == HOLD:
            self._silent = True
            raise BlockingIOError
        part = part.replace(ACCEPT, self.accept())
        if len(part) > size:
            self._parts.insert(0, part[size:])
        return part[:size]

    def accept(self) -> bytes:
        _, found, after = self.request.partition(b"Sec-WebSocket-Key: ")
        key = after.partition(b"\r\n")[0]
        return base64.b64encode(hashlib.sha1(key + GUID).digest()) if found else b""

    def gettimeout(self) -> float:
        return 0

    # the waiter

    def left(self, phase: str) -> float:
        return 1.0

    def ready(self, sock: Any, phase: str, **interest: Any) -> bool:
        self.waits += 1
        if self._silent:
            raise AttemptFailed("timeout", f"{phase} took too long")
        return True

    def any_writable(self, socks: Any, phase: str, at_most: float | None = None) -> bool:
        raise AssertionError("there is one socket")

    def elsewhere(self, phase: str, function: Any, discard: Any) -> Any:
        raise AssertionError("nothing here blocks")


def attempt(*parts: bytes, lines: Sequence[str] = ()) -> Transport:
    peer: Any = Answering(*parts)
    return upgrade(peer, CONFIG, peer, "/socket/websocket?vsn=2.0.0", list(lines))


def refused(*parts: bytes) -> ConnectFailed:
    with pytest.raises(AttemptFailed) as failed:
        attempt(*parts)
    return failed.value.reason


def answer(
    line: str = "HTTP/1.1 101 Switching Protocols",
    *,
    upgrade_to: str = "websocket",
    connection: str = "Upgrade",
    accept: str = "$ACCEPT$",
    more: Sequence[str] = (),
) -> bytes:
    """Return the right answer but for what is given."""
    lines = [
        line,
        f"Upgrade: {upgrade_to}",
        f"Connection: {connection}",
        f"Sec-WebSocket-Accept: {accept}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


# what is a websocket's


@pytest.mark.parametrize(
    "given",
    [
        answer(),
        answer("HTTP/1.1 101"),
        answer("HTTP/1.1 101 "),
        answer("HTTP/1.1 101 Caf\xe9\tau lait"),
        answer(upgrade_to="WebSocket"),
        answer(upgrade_to=" \twebsocket\t "),
        answer(upgrade_to="websocket", more=["upgrade: WEBSOCKET"]),
        answer(connection="keep-alive, UPGRADE"),
        answer(connection="keep-alive,,upgrade ,x"),
        answer(connection="keep-alive", more=["connection: upgrade"]),
        answer(accept=" \t$ACCEPT$ \t"),
        answer(accept="\r\n $ACCEPT$"),
        answer(more=["X-Empty:", "X:y", "x_odd!#$%&'*+-.^`|~: 1", "X-Obs: \xff\xfe"]),
        answer(more=["Content-Length: 12", "Transfer-Encoding: chunked"]),
        answer().replace(b"Upgrade:", b"uPGRADE:").replace(b"Sec-WebSocket", b"sEC-wEBsOCKET"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 9 + answer(),
    ],
)
@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_the_right_answer(given: bytes, cut: int) -> None:
    # A part is as long as its placeholder, at least: the accept is filled in part by part.
    whole = [given[:-2], given[-2:]] if cut > 1000 else None
    over = attempt(*(whole or pieces(given, cut)))
    assert over.ended is None
    assert over._rest == b""


def pieces(given: bytes, size: int) -> list[bytes]:
    """Cut what is given, but not in the middle of the placeholder."""
    before, found, after = given.partition(ACCEPT)
    cut = [part[n : n + size] for part in (before, after) for n in range(0, len(part), size)]
    at = -(-len(before) // size)
    return [*cut[:at], found, *cut[at:]]


def test_what_stands_behind_the_answer_is_the_first_frames() -> None:
    over = attempt(answer() + b"\x81\x02hi")
    assert over.receive() == [b"hi"]


# what is none


WRONG: dict[str, bytes] = {
    "HTTP/1.0": answer("HTTP/1.0 101 Switching Protocols"),
    "HTTP/1.2": answer("HTTP/1.2 101 Switching Protocols"),
    "HTTP/1.10": answer("HTTP/1.10 101 Switching Protocols"),
    "HTTP/1.1x": answer("HTTP/1.1x 101 Switching Protocols"),
    "HTTP/2": answer("HTTP/2 101 Switching Protocols"),
    "http in small letters": answer("http/1.1 101 Switching Protocols"),
    "a space before": answer(" HTTP/1.1 101 Switching Protocols"),
    "two spaces": answer("HTTP/1.1  101 Switching Protocols"),
    "a tab": answer("HTTP/1.1\t101 Switching Protocols"),
    "four digits": answer("HTTP/1.1 1010 Switching Protocols"),
    "two digits": answer("HTTP/1.1 10 Switching Protocols"),
    "a status with a zero before": answer("HTTP/1.1 099 Switching Protocols"),
    "a negative status": answer("HTTP/1.1 -101 Switching Protocols"),
    "digits of another script": answer("HTTP/1.1 1\xb21 Switching Protocols"),
    "a zero byte in the reason": answer("HTTP/1.1 101 Switching\x00Protocols"),
    "a bare CR in the reason": answer("HTTP/1.1 101 Switching\rProtocols"),
    "bare LFs": answer().replace(b"\r\n", b"\n"),
    "a bare LF among them": answer(more=["X: 1\nY: 2"]),
    "a bare CR": answer(more=["X: 1\rY: 2"]),
    "a zero byte": answer(more=["X: \x00"]),
    "a DEL": answer(more=["X: \x7f"]),
    "no colon": answer(more=["no colon here"]),
    "no name": answer(more=[": value"]),
    "a space in a name": answer(more=["X Y: value"]),
    "a space behind a name": answer(more=["X : value"]),
    "a name that is no ASCII": answer(more=["Caf\xe9: value"]),
    "a name in brackets": answer(more=["(X): value"]),
    "a line of a colon": answer(more=[":"]),
    "a folded first line": answer("HTTP/1.1 101 OK\r\n folded: 1"),
    "no colon in an interim answer": b"HTTP/1.1 100 Continue\r\nodd\r\n\r\n" + answer(),
    "an interim answer of HTTP/1.0": b"HTTP/1.0 100 Continue\r\n\r\n" + answer(),
}

NO_WEBSOCKET: dict[str, bytes] = {
    "accept in small letters": answer().replace(ACCEPT, b"$ACCEPT$".lower()),
    "accept and more": answer(accept="$ACCEPT$="),
    "accept twice": answer(more=["Sec-WebSocket-Accept: $ACCEPT$"]),
    "accept and another": answer(more=["Sec-WebSocket-Accept: x"]),
    "accept in quotes": answer(accept='"$ACCEPT$"'),
    "accept with a parameter": answer(accept="$ACCEPT$; q=1"),
    "accept, folded in two": answer(accept="$ACCEPT$\r\n x"),
    "accept behind a no-break space": answer(accept="\xa0$ACCEPT$"),
    "accept of bytes that are no ASCII": answer(accept="\xff" * 28),
    "no accept": answer(accept=""),
    "no upgrade": answer(upgrade_to=""),
    "an upgrade to another": answer(upgrade_to="h2c"),
    "an upgrade to both": answer(upgrade_to="websocket, h2c"),
    "an upgrade with a version": answer(upgrade_to="websocket/13"),
    "an upgrade with a no-break space": answer(upgrade_to="websocket\xa0"),
    "no connection": answer(connection=""),
    "another connection": answer(connection="close"),
    "a connection of something longer": answer(connection="upgrades"),
    "a connection of two words": answer(connection="upgrade close"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_is_not_http(name: str) -> None:
    reason = refused(WRONG[name])
    assert (reason.kind, reason.status) == ("upgrade", None)
    assert reason.detail in (
        "the answer is no HTTP/1.1",
        "the server closed in the middle of an answer",
    )


@pytest.mark.parametrize("name", NO_WEBSOCKET)
def test_a_101_that_is_no_websockets(name: str) -> None:
    reason = refused(NO_WEBSOCKET[name])
    assert (reason.kind, reason.status) == ("upgrade", None)
    assert reason.detail.startswith("the answer is no websocket's")


def test_an_accept_in_another_case() -> None:
    """websocket-client would take it."""

    class Swapping(Answering):
        def accept(self) -> bytes:
            return super().accept().swapcase()

    peer: Any = Swapping(answer())
    with pytest.raises(AttemptFailed, match="Sec-WebSocket-Accept is not right"):
        upgrade(peer, CONFIG, peer, "/", [])


def test_an_accept_for_another_key() -> None:
    key = base64.b64encode(b"x" * 16)
    other = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    assert "Sec-WebSocket-Accept" in refused(answer(accept=other)).detail


# refusals, and their bodies


def refusal(*lines: str, status: str = "HTTP/1.1 503 No", body: bytes = b"") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1") + body


CHUNKED = "Transfer-Encoding: chunked"
BODIES: dict[str, tuple[bytes, str]] = {
    "with a length": (refusal("Content-Length: 5", body=b"hello"), "hello"),
    "longer than its length": (refusal("Content-Length: 2", body=b"hello"), "he"),
    "shorter than its length": (refusal("Content-Length: 50", body=b"hello"), "hello"),
    "a length twice": (refusal("Content-Length: 5", "Content-Length: 5", body=b"hello!"), "hello"),
    "two lengths": (refusal("Content-Length: 5, 6", body=b"hello!"), "hello!"),
    "a length with zeros": (refusal(f"Content-Length: {'0' * 50}5", body=b"hello!"), "hello"),
    "a huge length": (refusal(f"Content-Length: {'9' * 5000}", body=b"hello"), "hello"),
    "a negative length": (refusal("Content-Length: -5", body=b"hello"), "hello"),
    "a length of words": (refusal("Content-Length: five", body=b"hello"), "hello"),
    "a length that is no ASCII": (refusal("Content-Length: \xb2", body=b"hello"), "hello"),
    "chunks": (refusal(CHUNKED, body=b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"), "hello"),
    "chunks with trailers": (refusal(CHUNKED, body=b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n"), "hello"),
    "chunks and a length": (
        refusal(CHUNKED, "Content-Length: 1", body=b"5\r\nhello\r\n0\r\n\r\n"),
        "hello",
    ),
    "chunks of another coding": (
        refusal("Transfer-Encoding: gzip, chunked", body=b"2\r\n\x1f\x8b\r\n0\r\n\r\n"),
        "\x1f\ufffd",
    ),
    "chunks that break off": (refusal(CHUNKED, body=b"50\r\nhello"), "hello"),
    "a chunk of a negative size": (refusal(CHUNKED, body=b"-FFFFFFFFFFFF\r\nhello\r\n"), ""),
    "a second one of a negative size": (refusal(CHUNKED, body=b"1\r\nh\r\n-1\r\nello\r\n"), "h"),
    "a chunk with a plus": (refusal(CHUNKED, body=b"+5\r\nhello\r\n"), ""),
    "a chunk in hexadecimal": (refusal(CHUNKED, body=b"0x5\r\nhello\r\n"), ""),
    "a chunk with an underscore": (refusal(CHUNKED, body=b"1_0\r\nhello\r\n"), ""),
    "a huge chunk": (refusal(CHUNKED, body=b"f" * 16 + b"\r\nhello"), "hello"),
    "a chunk of a longer size than there is": (refusal(CHUNKED, body=b"f" * 17 + b"\r\nx"), ""),
    "a chunk without its end": (refusal(CHUNKED, body=b"2\r\nheXX3\r\nllo\r\n0\r\n\r\n"), "he"),
    "an unknown coding": (refusal("Transfer-Encoding: x-odd", body=b"hello"), "hello"),
    "an unknown encoding": (
        refusal("Content-Encoding: x-odd", "Content-Length: 5", body=b"hello"),
        "hello",
    ),
    "no body at all": (refusal("Content-Length: 0"), ""),
    "none by its status": (refusal(status="HTTP/1.1 204 No", body=b"hello"), ""),
    "nothing of its length": (refusal("Connection: close", body=b"hello"), "hello"),
    "HTTP/1.0": (refusal(status="HTTP/1.0 503 No", body=b"hello"), "hello"),
    "no UTF-8": (refusal("Content-Length: 2", body=b"\xff\xfe"), "\ufffd\ufffd"),
    "a header line that is none": (refusal("odd", "Content-Length: 2", body=b"hello"), "he"),
    "a header with a zero": (refusal("X: \x00", "Content-Length: 2", body=b"hello"), "he"),
    "folded": (refusal("Content-Length:", " 2", body=b"hello"), "he"),
    "an odd status": (refusal("Content-Length: 2", status="HTTP/1.1 999", body=b"hello"), "he"),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_refusal_whatever_its_body(name: str, size: int) -> None:
    """With its status; and some of the body, or nothing."""
    given, body = BODIES[name]
    behind = given.index(b"\r\n\r\n") + 4
    parts = [given[:behind], *(given[n : n + size] for n in range(behind, len(given), size))]
    reason = refused(*parts) if size == 1 else refused(given)
    status = int(given[9:12])
    assert (reason.kind, reason.status) == ("upgrade", status)
    # Without a length, what does not come with the head is not waited for.
    assert reason.body == body or (size == 1 and body.startswith(reason.body))
    assert "hello" not in repr(reason)


@pytest.mark.parametrize("name", ["chunks", "chunks with trailers", "with a length"])
def test_a_body_that_is_whole_is_not_waited_behind(name: str) -> None:
    given, body = BODIES[name]
    assert refused(given, HOLD).body == body
    peer: Any = Answering(given, HOLD)
    with pytest.raises(AttemptFailed):
        upgrade(peer, CONFIG, peer, "/", [])
    assert not peer.waits


def test_the_end_of_the_time_is_the_end_of_a_body() -> None:
    reason = refused(refusal("Content-Length: 50", body=b"hello"), HOLD)
    assert (reason.kind, reason.status, reason.body) == ("upgrade", 503, "hello")


@given(st.binary(max_size=200))
@example(b"0\r\n\r\n")
@example(b"5\r\nhello\r\n0\r\n\r\n")
def test_chunks_are_read_the_same_however_they_come(raw: bytes) -> None:
    """Once they are over they stay so, and nothing that was read is taken back."""
    before, over = b"", False
    for end in range(len(raw) + 1):
        body, more = unchunked(raw[:end])
        if over:
            assert (body, more) == (before, False)
        assert body.startswith(before)
        before, over = body, not more


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.binary(max_size=9))
def test_chunks_hold_what_was_put_into_them(chunks: list[bytes], behind: bytes) -> None:
    raw = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    assert unchunked(raw) == (b"".join(chunks), True)
    assert unchunked(raw + b"0\r\n" + behind) == (b"".join(chunks), False)


# whatever comes


FRAGMENTS = st.sampled_from(
    [
        b"HTTP/1.1 101 Switching Protocols",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 503 No",
        b"HTTP/1.0 200 OK",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b": ",
        b" ",
        b"\x00",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: $ACCEPT$",
        b"Sec-WebSocket-Extensions: x",
        b"Sec-WebSocket-Protocol: x",
        b"Set-Cookie: a=b; Domain=.invalid",
        b"Transfer-Encoding: chunked",
        b"Content-Length: ",
        b"Connection: close",
        b"-FFFFFFFFFFFFFFFFFFFFFF\r\n",
        b"ffffffffffffffff\r\n",
        b"5\r\nhello\r\n",
        b"99999999999999999999999",
        b"\x81\x02hi",
        HOLD,
    ]
)
ANSWERS = st.lists(st.one_of(FRAGMENTS, FRAGMENTS, st.binary(max_size=30)), max_size=25)


@st.composite
def spoilt(draw: Any) -> list[bytes]:
    """The right answer or a refusal, with some bytes replaced, put in or taken out."""
    given = draw(st.sampled_from([answer(), *(given for given, _ in BODIES.values())]))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(given)))
        drop = draw(st.integers(0, 4))
        given = given[:at] + draw(st.one_of(FRAGMENTS, st.binary(max_size=3))) + given[at + drop :]
    cut = draw(st.integers(0, len(given)))
    return [given[:cut], given[cut:]]


@settings(max_examples=500)
@given(st.one_of(ANSWERS, spoilt()))
def test_whatever_comes_is_connected_or_failed(parts: list[bytes]) -> None:
    try:
        over = attempt(*parts)
    except AttemptFailed as failed:
        reason = failed.reason
        assert reason.kind in ("upgrade", "timeout")
        assert len(reason.body) <= BODY_START
        assert reason.status is None or reason.status >= 200
        assert len(repr(reason)) < 300
    else:
        assert over.headers["upgrade"].lower().startswith("websocket")
        over.receive()


@pytest.mark.parametrize(
    "piece",
    [
        b"x",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 503 No\r\n\r\n",
        b"X: y\r\n",
        b"\r\n",
        b" folded\r\n",
        b"1;" + b"x" * 50 + b"\r\n",
        b"f" * 100,
    ],
)
@pytest.mark.parametrize(
    "before",
    [b"", b"HTTP/1.1 101 OK\r\n", refusal(CHUNKED), refusal("Connection: close")],
    ids=["nothing", "101", "chunks", "close"],
)
def test_what_does_not_end_is_ended(before: bytes, piece: bytes) -> None:
    """Without waiting, and without keeping it."""
    tracemalloc.start()
    try:
        begun = time.monotonic()
        peer = EndlessPeer(before, piece)
        with pytest.raises(AttemptFailed) as failed:
            upgrade(cast(Any, peer), CONFIG, cast(Any, peer), "/", [])
        assert failed.value.reason.kind == "upgrade"
        assert time.monotonic() - begun < 20
        assert peer.given < 200_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


class EndlessPeer(Answering):
    """Sends `before`, and then `piece` again and again."""

    def __init__(self, before: bytes, piece: bytes) -> None:
        super().__init__(before or piece)
        self.given = 0
        self._piece = piece

    def recv(self, size: int) -> bytes:
        if not self._parts:
            self._parts = [self._piece * (size // len(self._piece) or 1)]
        part = super().recv(size)
        self.given += len(part)
        return part


# heads


@given(st.binary(max_size=300))
@example(b"HTTP/1.1 200 OK\r\n\r\n")
def test_a_head_is_read_or_not(head: bytes) -> None:
    parsed = parse_head(head)
    if parsed is not None:
        assert head.startswith(b"HTTP/1.")
        assert 100 <= parsed.status <= 999
        body, _ = body_of(parsed, head)
        assert len(body) <= BODY_START


@pytest.mark.parametrize(
    ("value", "items"),
    [("", []), (",", []), ("A", ["a"]), (" a ,, B\t,c d", ["a", "b", "c d"])],
)
def test_the_items_of_a_value(value: str, items: list[str]) -> None:
    assert tokens(value) == items


# a proxy's answer


def consent(*parts: bytes) -> Answering:
    peer = Answering(*parts)
    ProxyStream(cast(Any, peer), cast(Any, peer)).read_consent()
    return peer


@pytest.mark.parametrize(
    "given",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n",
        b"HTTP/1.1 204 \r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\nX: 1\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ],
)
def test_a_proxys_consent(given: bytes) -> None:
    peer = consent(given + b"the server's")
    assert peer.recv(100) == b"the server's"


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 407 Who\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad\r\n\r\n",
        b"HTTP/1.1 302 Go\r\nLocation: x\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\n\r\n",
        b"HTTP/1.1 +200 OK\r\n\r\n",
        b"HTTP/1.1 2_0 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
        b"x" * 100_000,
    ],
)
def test_a_proxys_refusal(given: bytes) -> None:
    with pytest.raises(AttemptFailed) as failed:
        consent(given)
    assert failed.value.reason.kind == "proxy"


@settings(max_examples=300)
@given(ANSWERS, st.sampled_from(["http", "socks5", "socks5h", "socks4"]))
@example([b"\x05\x02\x01\x00\x05\x00\x00\x03\x02\xff\xff\x00\x00"], "socks5h")
@example([b"\x05\x00\x05\x00\x00\x09"], "socks5h")
@example([b"\x05\xff"], "socks5h")
def test_whatever_a_proxy_says_is_consent_or_failed(parts: list[bytes], scheme: str) -> None:
    check_proxy(parts, scheme)


SOCKS = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 0x5A, 0x5B, 255]), max_size=30).map(bytes)


@settings(max_examples=300)
@given(SOCKS, st.sampled_from(["socks5", "socks5h", "socks4"]))
def test_whatever_a_socks_proxy_says_is_consent_or_failed(said: bytes, scheme: str) -> None:
    check_proxy([said], scheme)


def check_proxy(parts: Sequence[bytes], scheme: str) -> None:
    peer: Any = Answering(*parts)
    config = Configuration.validate("ws://192.0.2.1/socket/websocket", {})
    closed: list[bool] = []
    peer.close = lambda: closed.append(True)
    dialled: Callable[..., Any] = lambda *_: peer  # noqa: E731
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dial, "dial_tcp", dialled)
        try:
            dial.dial_proxy(config, f"{scheme}://user:s3cret@192.0.2.2:1080", peer)
            reason = None
        except AttemptFailed as failed:
            reason = failed.reason
    assert bool(closed) == (reason is not None)
    if reason is not None:
        assert reason.kind in ("proxy", "timeout")
        assert "s3cret" not in repr(reason)
        assert "None" not in reason.detail


def test_nothing_is_remembered_of_these() -> None:
    assert not any(host == "example.test" for host, _ in addresses._last)
