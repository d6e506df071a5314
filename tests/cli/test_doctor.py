"""`slipstream-actor doctor`: against servers that are well, and broken in every way."""

from __future__ import annotations

import contextlib
import datetime
import json
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from slipstream_actor.cli.examination import Examination, Step, connect_each
from slipstream_actor.cli.main import main
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.testing import PhoenixServer
from tests.integration.deaf import CA, answering
from tests.support.raw_server import TEXT, Peer, RawServer, Script, closing, dead_uri, frame
from tests.support.shell import at_terminal, command

Captured = pytest.CaptureFixture[str]
STEPS = ["resolve", "connect", "proxy", "tls", "upgrade", "version", "heartbeat", "join"]
# So long may a step take that is to be in vain.
BRIEF = ["--timeout", "400ms"]


class Broken(NamedTuple):
    """A server that is broken, what the doctor is told, and what it is to find."""

    server: Callable[[], contextlib.AbstractContextManager[str]]
    arguments: list[str]
    step: str
    status: int
    detail: str
    anchor: str


@contextmanager
def phoenix(path: str = "/socket/websocket") -> Iterator[str]:
    with PhoenixServer() as server:
        yield server.uri.replace("/socket/websocket", path)


def raw(script: Script, scheme: str = "ws") -> Callable[[], Any]:
    @contextmanager
    def serve() -> Iterator[str]:
        with RawServer(script) as server:
            yield server.uri.replace("ws", scheme, 1)

    return serve


def secure(issue: Callable[[], trustme.LeafCert]) -> Callable[[], Any]:
    @contextmanager
    def serve() -> Iterator[str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issue().configure_cert(context)
        with PhoenixServer(ssl_context=context) as server:
            yield server.uri

    return serve


def days(count: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=count)


@contextmanager
def nowhere() -> Iterator[str]:
    # No look-up is needed to know that it has no address.
    yield f"ws://{'a' * 64}.invalid/socket/websocket"


def greet(peer: Peer) -> None:
    peer.send(b"SSH-2.0-OpenSSH_9.9\r\n")
    peer.hold()


def alert(peer: Peer) -> None:
    peer.request()
    peer.send(b"\x15\x03\x01\x00\x02\x02\x46")
    peer.hold()


def plain(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.hold()


def speak_v1(peer: Peer) -> None:
    peer.upgrade()
    peer.expect("heartbeat")
    peer.send(frame(TEXT, b'{"topic": "phoenix", "event": "phx_reply", "payload": {}, "ref": "1"}'))
    peer.hold()


def join_in_v1(peer: Peer) -> None:
    peer.upgrade()
    peer.reply(peer.expect("heartbeat"))
    peer.expect("phx_join")
    peer.send(frame(TEXT, b'{"topic": "t", "event": "phx_reply", "payload": {}, "ref": "2"}'))
    peer.hold()


def answer_no_heartbeat(peer: Peer) -> None:
    peer.upgrade()
    peer.hold()


def close_at_once(peer: Peer) -> None:
    peer.upgrade(then=closing(1011, "no such serializer"))
    peer.hold()


BROKEN = {
    "no address": Broken(nowhere, [], "resolve", 3, "invalid", "resolve"),
    "a closed port": Broken(dead_uri, [], "connect", 4, "refused", "refused"),
    "a certificate of strangers": Broken(
        secure(lambda: trustme.CA().issue_cert("127.0.0.1")),
        [],
        "tls",
        5,
        "local issuer",
        "certificate-authority",
    ),
    "a certificate of tomorrow": Broken(
        secure(lambda: CA.issue_cert("127.0.0.1", not_before=days(1))),
        [],
        "tls",
        5,
        "not yet valid",
        "clock",
    ),
    "an expired certificate": Broken(
        secure(lambda: CA.issue_cert("127.0.0.1", not_after=days(-1))),
        [],
        "tls",
        5,
        "expired",
        "certificate-expired",
    ),
    "a certificate of another name": Broken(
        secure(lambda: CA.issue_cert("kitchen.invalid")),
        [],
        "tls",
        5,
        "mismatch",
        "certificate-name",
    ),
    "tls to a plain port": Broken(raw(plain, "wss"), [], "tls", 5, "", "tls-not-expected"),
    "no answer to tls": Broken(
        raw(Peer.hold, "wss"), BRIEF, "tls", 5, "the TLS handshake took", "timeout-tls"
    ),
    "a proxy that wants a password": Broken(
        dead_uri, ["--proxy", "env:GATE"], "proxy", 6, "code 407", "proxy"
    ),
    "plain to a tls port": Broken(raw(alert), [], "upgrade", 7, "TLS", "tls-expected"),
    "a wrong path": Broken(lambda: phoenix("/socket"), [], "upgrade", 7, "404", "404"),
    "another path": Broken(lambda: phoenix("/kitchen/websocket"), [], "upgrade", 7, "404", "404"),
    "a refused token": Broken(
        phoenix, ["--connect-params", '{"reject": "yes"}'], "upgrade", 7, "403", "403"
    ),
    "other credentials": Broken(
        phoenix, ["--connect-params", '{"reject": "401"}'], "upgrade", 7, "401", "401"
    ),
    "a web page": Broken(raw(answering(200, body="<h1>")), [], "upgrade", 7, "200", "plain-http"),
    "a redirect": Broken(
        raw(answering(302, "location: https://e.invalid/?token=s3cret")),
        [],
        "upgrade",
        7,
        "302",
        "redirect",
    ),
    "no server behind a gateway": Broken(raw(answering(502)), [], "upgrade", 7, "502", "gateway"),
    "a busy server": Broken(raw(answering(503, "retry-after: 9")), [], "upgrade", 7, "503", "busy"),
    "no answer": Broken(raw(Peer.hold), BRIEF, "upgrade", 7, "the upgrade took", "timeout-upgrade"),
    "another service": Broken(raw(greet), [], "upgrade", 7, "no HTTP", "no-answer"),
    "another version": Broken(raw(speak_v1), [], "version", 8, "an object", "vsn"),
    "another version, later": Broken(raw(join_in_v1), ["t"], "join", 8, "an object", "vsn"),
    "no heartbeat": Broken(
        raw(answer_no_heartbeat), BRIEF, "heartbeat", 9, "did not answer", "heartbeat"
    ),
    "closed at once": Broken(raw(close_at_once), [], "heartbeat", 9, "1011", "1011"),
    "a refused join": Broken(
        phoenix,
        ["bench:a", "--params", '{"error": {"reason": "unauthorized"}}'],
        "join",
        10,
        "unauthorized",
        "unauthorized",
    ),
    "a topic misspelt": Broken(phoenix, ["bnech:a"], "join", 10, "unmatched", "unmatched-topic"),
    "a join that crashes": Broken(
        phoenix, ["bench:a", "--params", '{"crash": true}'], "join", 10, "crashed", "join-crashed"
    ),
    "a join without an answer": Broken(
        phoenix,
        ["bench:a", "--params", '{"delay": 5000}', *BRIEF],
        "join",
        10,
        "in time",
        "join-timeout",
    ),
}


@pytest.fixture
def cafile(tmp_path: Path) -> str:
    there = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(there))
    return str(there)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A proxy that lets nobody through, in the environment, with a password."""
    with RawServer(answering(407, "proxy-authenticate: Basic")) as server:
        monkeypatch.setenv("GATE", f"http://s3cret:s3cret@127.0.0.1:{server.port}")
        yield


def steps_of(report: Any) -> dict[str, Any]:
    return {step["step"]: step for step in report["steps"]}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=list(BROKEN))
def test_each_way_to_be_broken_is_found(
    broken: Broken, cafile: str, gate: None, capsys: Captured
) -> None:
    with broken.server() as uri:
        arguments = [*broken.arguments, "--json"]
        if uri.startswith("wss"):
            arguments += ["--cafile", cafile]
        assert main(["doctor", f"{uri}?secret=s3cret", *arguments]) == broken.status
    output, errors = capsys.readouterr()
    report = json.loads(output)
    assert not report["ok"]
    assert (report["failed"], report["exit_status"]) == (broken.step, broken.status)
    steps = steps_of(report)
    assert list(steps) == STEPS
    failed = steps[broken.step]
    assert broken.detail in failed["detail"]
    assert failed["hint"].endswith(f"[troubleshooting#{broken.anchor}]")
    # What came before is told, and what cannot come after it.
    for name in STEPS[: STEPS.index(broken.step)]:
        assert steps[name]["result"] in ("ok", "skipped"), name
    assert "s3cret" not in output + errors
    # The server, which runs here too, may have said something before.
    assert errors.splitlines()[-1].startswith(f"slipstream-actor: {broken.step} failed: ")


def test_all_is_well(cafile: str, capsys: Captured) -> None:
    serve = secure(lambda: CA.issue_cert("localhost", not_after=days(5)))
    with serve() as address:
        uri = address.replace("127.0.0.1", "localhost")
        arguments = ["bench:a", "--json", "--cafile", cafile]
        assert main(["doctor", uri, *arguments]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    report = json.loads(output)
    steps = steps_of(report)
    assert report["ok"]
    assert (report["uri"], report["topic"], report["failed"]) == (uri, "bench:a", None)
    results = {name: steps[name]["result"] for name in STEPS if name != "connect"}
    # The certificate ends soon.
    warned = {"proxy": "skipped", "tls": "warning"}
    assert results == dict.fromkeys(results, "ok") | warned
    parts = {part["part"]: part for part in steps["tls"]["parts"]}
    assert set(parts) == {"chain", "host", "expiry", "alpn"}
    assert parts["expiry"]["result"] == "warning"
    assert parts["alpn"]["detail"] == "http/1.1"
    addresses = {part["address"]: part["result"] for part in steps["connect"]["parts"]}
    assert addresses["127.0.0.1"] == "ok"
    assert all(step["milliseconds"] >= 0 for step in report["steps"])


@pytest.mark.parametrize(
    ("compress", "detail"),
    [
        (True, "101, permessage-deflate; client_max_window_bits=15"),
        (False, "101, not compressed: the server has chosen no extension"),
    ],
)
def test_whether_it_is_compressed(compress: bool, detail: str, capsys: Captured) -> None:
    with PhoenixServer(compress=compress) as server:
        assert main(["doctor", server.uri, "bench:a", "--compress", "--json"]) == 0
        assert steps_of(json.loads(capsys.readouterr().out))["upgrade"]["detail"] == detail
        assert main(["doctor", server.uri, "bench:a", "--json"]) == 0
        assert steps_of(json.loads(capsys.readouterr().out))["upgrade"]["detail"] == "101"


def test_a_name_with_another_address_that_is_dead() -> None:
    """One that answers is enough, and the other one is told."""
    with PhoenixServer() as server:
        config = Configuration.validate(server.uri, {})
        examination = Examination(config, None, {}, 5.0)
        dead = (2, 1, 6, ("127.0.0.1", 1))
        examination.addresses = [dead, (2, 1, 6, ("127.0.0.1", server.port))]
        step = Step("connect")
        try:
            assert connect_each(examination, step).startswith("1 of 2")
        finally:
            examination.close()
    assert step.result == "warning"
    assert [part["result"] for part in step.parts] == ["failed", "ok"]


def test_for_a_person(server: PhoenixServer, capsys: Captured) -> None:
    assert main(["doctor", server.uri, "test:bad"]) == 10
    output, errors = capsys.readouterr()
    assert [line.split()[0] for line in output.splitlines() if line[0] != " "] == STEPS
    assert "FAILED" in output
    assert "\x1b" not in output
    assert errors.startswith("slipstream-actor: join failed")


def test_at_a_terminal(server: PhoenixServer) -> None:
    with at_terminal("doctor", server.uri, "bench:a") as examining:
        assert examining.end() == 0
        assert "\x1b[" in examining.output
        assert "heartbeat" in examining.output
        assert examining.errors == ""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_quietly(number: signal.Signals, status: int) -> None:
    with RawServer(Peer.hold) as server, command("doctor", server.uri) as examining:
        examining.wait_for("connect ")
        examining.send(number)
        assert examining.end() == status
        assert examining.errors == ""


def test_a_reader_that_has_gone() -> None:
    with (
        RawServer(answer_no_heartbeat) as server,
        command("doctor", server.uri, *BRIEF) as examining,
    ):
        examining.wait_for("connect ")
        examining.close_output()
        assert examining.end() == 141
        assert examining.errors == ""


def test_a_topic_that_is_not_utf8(server: PhoenixServer, capsys: Captured) -> None:
    assert main(["doctor", server.uri, "t\udcff"]) == 2
    assert capsys.readouterr() == ("", "slipstream-actor: TOPIC is not UTF-8\n")
