"""The lines of "Safe by default", one by one, against servers that mean harm.

`LINES` says which tests hold which line; those that stand elsewhere are named, not repeated.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor import (
    ClosedByPeer,
    ConnectFailed,
    ConnectFailedError,
    JoinFailedError,
    JoinRefused,
    ReplyError,
    Socket,
    Stop,
    connect,
    get_state,
    wait,
)
from tests.support.clients import PATIENCE, Recorder, eventually, recording
from tests.support.raw_server import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Peer,
    RawServer,
    Request,
    Script,
    broadcast,
    frame,
    head,
    message,
    serve,
    switching,
)

NEVER_MSEC = 60_000
MEGABYTE = 1024 * 1024
TOKEN = "t0ken"

FOLDER = Path(__file__).parent
LINES: dict[str, dict[str, list[str]]] = {
    "TLS verified": {
        "test_tls.py": [
            "test_a_certificate_of_a_stranger",
            "test_a_certificate_for_another_host",
            "test_a_certificate_that_has_expired",
            "test_the_name_that_is_asked_for",
        ],
        "test_connecting.py": [
            "test_a_certificate_that_nobody_trusts",
            "test_a_plain_peer_where_tls_was_expected",
            "test_tls_through_a_proxy",
        ],
    },
    "headers with CR or LF refused": {
        "../configuration/test_configuration.py": [
            "test_no_header_splits_the_request",
            "test_headers_that_are_the_upgrades_own",
            "test_headers_that_are_sent_once",
        ],
        "test_safe_by_default.py": [
            "test_no_value_adds_a_line_to_the_request",
            "test_a_configured_host_replaces_ours",
        ],
    },
    "redirects not followed": {
        "test_connecting.py": ["test_a_redirect_is_not_followed"],
        "test_safe_by_default.py": ["test_no_redirect_is_followed"],
    },
    "cookies of one client never sent by another": {
        "test_connecting.py": ["test_cookies_of_one_client_are_never_sent_by_another"],
        "test_safe_by_default.py": ["test_cookies_of_other_answers_are_never_sent"],
    },
    "no Origin unless configured": {
        "test_connecting.py": ["test_the_request", "test_the_origin_that_is_configured"],
    },
    "upgrade answers bounded in header count, size and time": {
        "test_connecting.py": [
            "test_one_deadline_for_every_phase",
            "test_a_dripping_answer_does_not_move_the_deadline",
            "test_a_head_without_end_is_not_read_to_the_end",
            "test_a_body_without_end",
            "test_a_body_that_does_not_come_is_not_waited_for_beyond_the_deadline",
        ],
        "test_safe_by_default.py": [
            "test_the_number_of_headers_is_bounded",
            "test_a_hundred_headers_are_not_too_many",
            "test_the_size_of_the_head_is_bounded",
            "test_interim_answers_are_passed_over",
            "test_interim_answers_without_end",
            "test_absurd_chunks",
            "test_a_choice_among_what_was_not_offered",
        ],
    },
    "query values, headers and tokens never in logs, reprs or exceptions": {
        "test_secrets.py": [
            "test_a_conversation",
            "test_the_answers_of_the_server",
            "test_events_and_reasons",
            "test_commands",
            "test_a_failed_attempt",
            "test_the_end_of_a_connection",
            "test_a_wrong_configuration",
            "test_what_websocket_client_traces",
        ],
        "../configuration/test_configuration.py": [
            "test_the_repr_shows_no_secret",
            "test_a_query_without_names_is_not_shown",
        ],
    },
    "a server cannot make us allocate more than max_message_bytes and its own open topics": {
        "test_hostile_peers.py": [
            "test_a_message_that_is_too_long",
            "test_a_violation_ends_the_connection",
            "test_junk_is_counted_and_hurts_nothing",
            "test_pongs_do_not_pile_up_for_a_peer_that_does_not_read_them",
        ],
        "test_safe_by_default.py": [
            "test_what_is_only_announced_takes_no_memory",
            "test_fragments_take_no_more_memory_than_they_have_bytes",
            "test_a_message_takes_a_few_times_its_size",
            "test_what_is_nobodys_is_not_kept",
            "test_errors_show_what_the_server_chose_in_bounds",
            "test_a_client_ends_for_a_reason_that_is_too_deep_to_show",
        ],
    },
}


@pytest.mark.parametrize("line", LINES)
def test_every_line_has_its_tests(line: str) -> None:
    for file, names in LINES[line].items():
        there = re.findall(r"^def (test_\w+)", (FOLDER / file).read_text("utf-8"), re.MULTILINE)
        assert [name for name in names if name not in there] == []


def answering(*chunks: bytes) -> Script:
    """Return a script that reads the request, sends `chunks`, and does not hang up."""

    def script(peer: Peer) -> None:
        peer.request()
        for chunk in chunks:
            peer.send(chunk)
        peer.hold()

    return script


def upgrading(*lines: str, before: bytes = b"") -> Script:
    """Return the script of a good server that answers with more `lines`, and `before` first."""

    def script(peer: Peer) -> None:
        peer.send(before + switching(peer.request(), *lines))
        peer.serve()

    return script


def failure(script: Script, **options: Any) -> ConnectFailed:
    """Connect to a server that runs `script`; return why that failed, and see that we hung up."""
    options = {"connect_timeout_msec": NEVER_MSEC, **options}
    with RawServer(script) as server:
        with pytest.raises(ConnectFailedError) as failed:
            connect(server.uri, **options).await_connect(PATIENCE)
        assert server.hung_up.wait(PATIENCE)
    reason = failed.value.reason
    assert isinstance(reason, ConnectFailed)
    return reason


def refusal(script: Script, **options: Any) -> str:
    """Return the detail of a failure that is the upgrade's, without a status."""
    reason = failure(script, **options)
    assert (reason.kind, reason.status) == ("upgrade", None)
    return reason.detail


def close(socket: Socket) -> None:
    """Disconnect, and wait until it is done."""
    socket.disconnect().await_disconnect()


def answer_headers(script: Script, **options: Any) -> dict[str, str]:
    """Connect to a server that runs `script`, and return the headers of its answer."""
    with RawServer(script) as server:
        socket = connect(server.uri, **options).await_connect(PATIENCE)
        close(socket)
    assert socket.response_headers is not None
    return dict(socket.response_headers)


def request_of(**options: Any) -> Request:
    """Return the request that a client with `options` sends."""
    with RawServer(serve) as server:
        close(connect(server.uri, **options).await_connect())
        return server.next_request()


# headers with CR or LF refused


SPLIT = "1\r\nX-Injected: 1\r\n\r\nGET / HTTP/1.1"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"params": {"a": SPLIT, SPLIT: "b"}}, id="params"),
        pytest.param({"params": lambda: {"a": [SPLIT], "b": {SPLIT: SPLIT}}}, id="callable"),
        pytest.param({"auth_token": SPLIT}, id="auth_token"),
        pytest.param({"auth_token": lambda: SPLIT}, id="auth_token, callable"),
        # What other protocols take for the end of a line.
        pytest.param({"headers": {"X-Odd": "1\x85X-Injected: 1\u2028X-Injected: 1"}}, id="header"),
    ],
)
def test_no_value_adds_a_line_to_the_request(options: dict[str, Any]) -> None:
    request = request_of(**options)
    assert request.all("x-injected") == []
    names = {name for name, _ in request.headers}
    usual = {"host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version"}
    assert names - usual <= {"sec-websocket-protocol", "x-odd"}
    assert len(request.headers) == len(names)


def test_a_configured_host_replaces_ours() -> None:
    """As one connects to an address and asks for a name."""
    request = request_of(headers={"hOST": "phoenix.example:8080"})
    assert request.all("host") == ["phoenix.example:8080"]


# redirects not followed


@pytest.mark.parametrize("status", [300, 301, 303, 307, 308, 399])
def test_no_redirect_is_followed(status: int) -> None:
    with RawServer(serve) as elsewhere:
        answer = head(f"{status} Go", f"Location: {elsewhere.uri}", "content-length: 0")
        reason = failure(answering(answer), auth_token=TOKEN)
        assert (reason.kind, reason.status) == ("upgrade", status)
        assert elsewhere.accepted == 0


# cookies of one client never sent by another


@pytest.mark.parametrize("status", ["403 No", "302 Found", "103 Early", "401 Who"])
def test_cookies_of_other_answers_are_never_sent(status: str) -> None:
    """A client's own next attempt sends none either."""
    cookie = head(status, "Set-Cookie: planted=1; Domain=.invalid", "content-length: 0")
    with RawServer(answering(cookie)) as server:
        options: dict[str, Any] = {"connect_timeout_msec": 200, "reconnect_after_msec": [1]}
        with recording(server.uri, **options), recording(server.uri, **options):
            for _ in range(4):
                assert server.next_request().all("cookie") == []


# upgrade answers bounded in header count, size and time


def many(count: int) -> list[str]:
    """Return header lines: some different, some the same."""
    return [f"x-{n % 60}: {n}" for n in range(count)]


def interim(count: int) -> bytes:
    """Return that many interim answers, with ten headers each."""
    return head("103 Early Hints", *many(10)) * count


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(upgrading(*many(98)), id="101"),
        pytest.param(upgrading(*many(4000)), id="very many"),
        pytest.param(upgrading(*["a:"] * 10_000), id="the same one"),
        pytest.param(upgrading(*["no colon"] * 98), id="lines that are none"),
        pytest.param(upgrading(*[" folded"] * 98), id="folded lines"),
        pytest.param(answering(head("403 No", *many(101))), id="a refusal's"),
        pytest.param(upgrading(*many(8), before=interim(9)), id="interim answers' too"),
    ],
)
def test_the_number_of_headers_is_bounded(script: Script) -> None:
    assert refusal(script) == "the answer has more than 100 headers"


def test_a_hundred_headers_are_not_too_many() -> None:
    headers = answer_headers(upgrading(*many(97)))
    assert headers["x-0"] == "0, 60"
    assert headers["x-59"] == "59"
    assert len(headers) == 63


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(upgrading("x-pad: " + "x" * 66_000), id="one header"),
        pytest.param(answering(b"HTTP/1.1 101 " + b"x" * 70_000 + b"\r\n\r\n"), id="status line"),
        pytest.param(answering(head("403 No", "x" * 66_000)), id="a refusal's"),
        pytest.param(
            upgrading("x: " + "x" * 40_000, before=head("103 Early", "x: " + "x" * 30_000)),
            id="an interim answer's too",
        ),
    ],
)
def test_the_size_of_the_head_is_bounded(script: Script) -> None:
    assert refusal(script) == "the answer's head is over 65536 bytes long"


def test_a_long_head_is_not_too_long() -> None:
    assert len(answer_headers(upgrading("x-pad: " + "x" * 65_000))["x-pad"]) == 65_000


def test_interim_answers_are_passed_over() -> None:
    """RFC 9110 section 15.2; what they say is not the answer's."""
    before = head("100 Continue") + head("103 Early Hints", "Link: </a>") + head("199 Odd")
    headers = answer_headers(upgrading("x-own: 1", before=before))
    assert headers["x-own"] == "1"
    assert "link" not in headers


def test_an_interim_answer_and_a_refusal() -> None:
    refused = head("403 No", "content-length: 4") + b"gone"
    reason = failure(answering(head("100 Continue"), refused))
    assert (reason.status, reason.body) == (403, "gone")


@pytest.mark.parametrize("piece", [head("100 Continue"), head("102 Processing", "a: b")])
def test_interim_answers_without_end(piece: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        while True:
            peer.send(piece * 100)

    assert refusal(script) in (
        "the answer has more than 100 headers",
        "the answer's head is over 65536 bytes long",
    )


def test_a_header_on_several_lines_is_one() -> None:
    """RFC 9112 section 5.2: each end of line in it is a space."""
    headers = answer_headers(upgrading("x-a: 1", "\t2", " Set-Cookie: 3", "x-b: 4"))
    assert headers["x-a"] == "1 2 Set-Cookie: 3"
    assert headers["x-b"] == "4"
    assert "set-cookie" not in headers


def test_an_answer_that_begins_in_the_middle_of_a_header() -> None:
    assert refusal(answering(head("101 OK", " upgrade: websocket"))) == "the answer is no HTTP/1.1"


def test_a_second_accept_is_no_second_chance() -> None:
    detail = refusal(upgrading("sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="))
    assert detail.startswith("the answer is no websocket's")


CHUNKS = {
    "huge": b"f" * 16 + b"\r\nbody",
    "longest": b"f" * 5000 + b"\r\nbody",
    "negative": b"-5\r\nbody\r\n0\r\n\r\n",
    "no size": b"\r\nbody\r\n",
    "junk": b"zz\r\nbody\r\n",
    "an endless size": b"1" * 60_000,
    "an endless extension": b"4;" + b"x" * 60_000,
    "tiny": b"1;x\r\nb\r\n" * 4000,
    "endless trailers": b"4\r\nbody\r\n0\r\n" + b"a: b\r\n" * 10_000,
}


@pytest.mark.parametrize("name", CHUNKS)
def test_absurd_chunks(name: str) -> None:
    """Of a refusal's body: the refusal is told, and some of the body, or nothing."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head("503 No", "transfer-encoding: chunked") + CHUNKS[name])
        peer.finish()
        peer.hold()

    reason = failure(script)
    assert (reason.kind, reason.status) == ("upgrade", 503)
    assert len(reason.body) <= 1024


EXTENSION = "the server chose an extension, and none was offered"
PROTOCOL = "the server chose a subprotocol that was not offered"


@pytest.mark.parametrize(
    ("line", "options", "detail"),
    [
        ("Sec-WebSocket-Extensions: permessage-deflate", {}, EXTENSION),
        ("sec-websocket-extensions: x-own; a=1", {"auth_token": TOKEN}, EXTENSION),
        ("Sec-WebSocket-Protocol: phoenix", {}, PROTOCOL),
        ("Sec-WebSocket-Protocol: other", {"auth_token": TOKEN}, PROTOCOL),
        ("Sec-WebSocket-Protocol: phoenix, phoenix", {"auth_token": TOKEN}, PROTOCOL),
        ("Sec-WebSocket-Protocol: c", {"headers": {"Sec-WebSocket-Protocol": "a, b"}}, PROTOCOL),
    ],
)
def test_a_choice_among_what_was_not_offered(
    line: str, options: dict[str, Any], detail: str
) -> None:
    """RFC 6455 section 4.1: the client fails the connection."""
    assert refusal(upgrading(line), **options) == detail


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("Sec-WebSocket-Protocol: phoenix", {"auth_token": TOKEN}),
        ("Sec-WebSocket-Protocol: b", {"headers": {"sec-websocket-protocol": "a, b"}}),
        ("Sec-WebSocket-Protocol:", {}),
        ("Sec-WebSocket-Extensions:", {}),
        ("X-Nothing: 1", {"auth_token": TOKEN}),
    ],
)
def test_a_choice_among_what_was_offered(line: str, options: dict[str, Any]) -> None:
    """Or none, on which nobody insists (note 46)."""
    answer_headers(upgrading(line), **options)


# a server cannot make us allocate more than max_message_bytes and its own open topics


class Unmoved(Recorder):
    """Keeps nothing of what the server sends."""

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        if event == "mark":
            self.note("mark")

    def handle_reply(self, ref: Any, reply: Any, socket: Socket) -> Any:
        return None


class Memory:
    """What is allocated in the process, from here on."""

    def __init__(self) -> None:
        tracemalloc.reset_peak()
        self._before = tracemalloc.get_traced_memory()[0]

    @property
    def kept(self) -> int:
        """Bytes that there are more than before."""
        return tracemalloc.get_traced_memory()[0] - self._before

    @property
    def peak(self) -> int:
        """Bytes that there were more than before, at most."""
        return tracemalloc.get_traced_memory()[1] - self._before


@contextmanager
def measuring(*floods: bytes, **options: Any) -> Iterator[Any]:
    """Yield a function that has the next flood sent, and returns when the client is through it.

    Each flood is followed by a ping: its pong says so. The floods are made beforehand.
    """
    go_on = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        for flood in floods:
            while not go_on.acquire(timeout=0.05):
                if peer.server.stopping.is_set():
                    return
            peer.send(flood)
            peer.send(frame(PING, b"through"))
            while peer.frame().opcode != PONG:
                pass
        peer.hold()

    options = {"close_timeout_msec": 100, "reconnect_after_msec": [NEVER_MSEC], **options}
    with RawServer(script) as server, recording(server.uri, Unmoved, **options) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda socket: socket.join("room")).get()
        log.take("join")

        def flood() -> None:
            go_on.release()
            server.next_frame(opcode=PONG)

        tracemalloc.start()
        try:
            yield ref, log, flood
        finally:
            tracemalloc.stop()


def announced(size: int, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """Return the header of a frame."""
    return bytes([(0x80 if fin else 0) | opcode, 127]) + size.to_bytes(8, "big")


@pytest.mark.parametrize("begun", [b"", frame(TEXT, b"[", fin=False)], ids=["frame", "fragment"])
def test_what_is_only_announced_takes_no_memory(begun: bytes) -> None:
    """Of sixty megabytes, one comes: what waits for the rest is in proportion to that."""
    opcode = CONTINUATION if begun else TEXT
    come = begun + announced(60 * MEGABYTE, opcode) + b"x" * MEGABYTE

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(come)
        peer.hold()

    with RawServer(script) as server:
        tracemalloc.start()
        try:
            memory = Memory()
            socket = connect(server.uri, close_timeout_msec=100).await_connect()
            # The first of it may have come with the 101, and is not counted.
            eventually(lambda: get_state(socket.channel_pid).counters.bytes_in > MEGABYTE * 0.9)
            assert memory.peak < 6 * MEGABYTE
        finally:
            tracemalloc.stop()
        close(socket)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_fragments_take_no_more_memory_than_they_have_bytes(size: int) -> None:
    """Each kept as an object of its own, they would take twenty times as much."""
    count = 75_000
    fragments = frame(TEXT, b"x", fin=False)
    fragments += frame(CONTINUATION, b"xy"[:size], fin=False) * count
    with measuring(fragments) as (_, _, flood):
        memory = Memory()
        flood()
        eventually(lambda: memory.kept < 2 * count * size + MEGABYTE / 2)
        assert memory.peak < 2 * count * size + 2 * MEGABYTE


def in_fragments(data: bytes, of: int) -> bytes:
    """Return a text message in fragments of `of` bytes."""
    parts = [data[at : at + of] for at in range(0, len(data), of)]
    middle = b"".join(frame(CONTINUATION, part, fin=False) for part in parts[1:])
    return frame(TEXT, parts[0], fin=False) + middle + frame(CONTINUATION)


@pytest.mark.parametrize("of", [None, 100_000, 5 * MEGABYTE])
def test_a_message_takes_a_few_times_its_size(of: int | None) -> None:
    size = 8 * MEGABYTE
    data = b'[null,null,"room","big","' + b"x" * size + b'"]'
    whole = frame(TEXT, data) if of is None else in_fragments(data, of)
    with measuring(whole + broadcast("mark"), max_message_bytes=size + 100) as (_, log, flood):
        memory = Memory()
        flood()
        log.take("mark")
        assert memory.peak < 5 * size
        eventually(lambda: memory.kept < MEGABYTE)


def nobodys(start: int, count: int) -> bytes:
    """Return messages with refs, join_refs and topics that there are not, all different."""
    messages = []
    for n in range(start, start + count):
        pad = f"{n}" + "x" * 500
        messages += [
            message(str(n), str(n), pad, "phx_close"),
            message(pad, pad, "room", "phx_error"),
            message(None, str(n), pad, "phx_reply", {"status": "ok", "response": {"pad": pad}}),
            message("1", pad, "room", "phx_reply", {"status": "ok", "response": {}}),
            message(None, "1", pad, "phx_reply", {"status": [pad], "response": {}}),
            message(str(n), None, "room", pad, {"pad": pad}),
            message(None, None, pad, pad, {pad: pad}),
            message(None, None, "room", "phx_close", {"pad": pad}),
            message(None, None, pad, "phx_reply", {"pad": pad}),
            message(None, "2", pad, "phx_reply", {"status": pad, "response": pad}),
        ]
    return b"".join(messages)


def test_what_is_nobodys_is_not_kept() -> None:
    """Whatever a server invents, the connection knows of its own joins and refs alone."""
    floods = [nobodys(1000, 200), nobodys(10_000, 2000)]
    mark = broadcast("mark")
    with measuring(*(flood + mark for flood in floods)) as (ref, log, flood):
        ref.proxy().do(lambda socket: socket.push("room", "unanswered")).get()
        flood()
        log.take("mark")
        before = get_state(get_state(ref).connection)
        memory = Memory()
        flood()
        log.take("mark")
        # Were one topic of each message kept, it would be ten times as much.
        eventually(lambda: memory.kept < MEGABYTE)
        after = get_state(get_state(ref).connection)
        assert (after.refs, after.topics) == (before.refs, before.topics)
        assert list(after.topics) == ["room"]
        assert get_state(ref).socket.joins.keys() == {"room"}


ANSWERS = {
    "deep lists": "[" * 900 + "]" * 900,
    "deep maps": '{"a":' * 900 + "1" + "}" * 900,
    "long text": '"' + "x" * MEGABYTE + '"',
    "many keys": "{" + ",".join(f'"{n}":[{n}]' for n in range(10_000)) + "}",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_errors_show_what_the_server_chose_in_bounds(name: str) -> None:
    """However deep or long an answer is, the error is the one that is documented, and short."""
    assert_short_errors(ANSWERS[name])


def assert_short_errors(response: str) -> None:
    """A refused join and a refused push whose answer is `response`: both errors are short."""

    def refuse(peer: Peer, event: str) -> None:
        join_ref, ref, topic, *_ = peer.expect(event)
        start = f'["{join_ref}","{ref}","{topic}","phx_reply",'
        peer.send(frame(TEXT, f'{start}{{"status":"no","response":{response}}}]'.encode()))

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        refuse(peer, "ask")
        refuse(peer, "phx_join")
        peer.hold()

    with RawServer(script) as server:
        socket = connect(server.uri, close_timeout_msec=100).join("room").await_join("room")
        reply = socket.await_reply(socket.push("room", "ask"))
        with pytest.raises(ReplyError) as refused:
            deep(reply.unwrap)
        assert len(str(refused.value)) < 3000
        socket = socket.join("other")
        with pytest.raises(JoinFailedError) as failed:
            deep(lambda: socket.await_join("other"))
        assert len(str(failed.value)) < 3000
        close(failed.value.socket)


class Strict(Unmoved):
    """Gives up when a topic is refused."""

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        return Stop(reason, socket)


def test_a_client_ends_for_a_reason_that_is_too_deep_to_show(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server finds out what is just not too deep to decode, and refuses a join with it."""
    caplog.set_level(logging.DEBUG)
    deepest = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        for levels in range(900, 1010):
            nested = b"[" * levels + b"]" * levels
            peer.send(frame(TEXT, b'[null,null,"room","%d",%s]' % (levels, nested)))
        peer.send(broadcast("mark"))
        peer.wait_for(deepest)
        join_ref, ref, *_ = peer.expect("phx_join")
        levels = counted[-1] - 20  # It may be read with more of the stack taken.
        nested = b"[" * levels + b"]" * levels
        start = b'["%s","%s","room","phx_reply",' % (join_ref.encode(), ref.encode())
        peer.send(frame(TEXT, start + b'{"status":"error","response":%s}]' % nested))
        peer.hold()

    counted: list[int] = []

    class Counting(Strict):
        def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
            if event == "mark":
                deepest.set()
            else:
                counted.append(int(event))

    with RawServer(script) as server, recording(server.uri, Counting) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda socket: socket.join("room")).get()
        reason = wait(ref, PATIENCE)
        assert isinstance(reason, JoinRefused)
        if sys.version_info < (3, 12):  # Later ones count the recursion in C apart.
            with pytest.raises(RecursionError):
                deep(lambda: repr(reason))
    assert "stops: JoinRefused(response=list)" in caplog.text


def deep(function: Any, levels: int = 150) -> Any:
    """Call `function` with less of the stack left than the connection's thread has."""
    return deep(function, levels - 1) if levels else function()


# beside the lines


def test_a_close_reason_that_is_no_utf_8() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(then=frame(CLOSE, b"\x03\xe8" + b"bye\xff\xfe"))
        peer.hold()

    with (
        RawServer(script) as server,
        recording(server.uri, reconnect_after_msec=[NEVER_MSEC]) as (
            _,
            log,
        ),
    ):
        assert log.take("disconnect")[1] == ClosedByPeer(1000, "bye\ufffd\ufffd")
