"""`app`: who is let in, what is answered, and what every answer has."""

from __future__ import annotations

import json
import logging
import os
import re
from importlib.resources import files
from typing import Any

import pytest

from slipstream_actor import dashboard
from slipstream_actor.dashboard.application import FILES
from slipstream_actor.debug.report import report
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import eventually
from tests.support.wsgi import Asker, anybody

PATHS = [*FILES, "/report.json", "/messages.json", "/trace.json", "/control.json", "/events", ""]
TOPIC = "bench:a"


@pytest.fixture
def asker() -> Asker:
    return Asker(dashboard.app(anybody))


# who is let in


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_without_authorize_nobody_is_let_in(path: str, method: str) -> None:
    for application in (dashboard.app(), dashboard.app(lambda _: False, allow_control=True)):
        answered = Asker(application).ask(path, method)
        assert answered.status == 403
        assert answered.body in (b"Forbidden\n", b"")


@pytest.mark.parametrize("value", [None, 1, "yes", {"is": "staff"}, object()])
def test_only_true_lets_somebody_in(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert Asker(dashboard.app(lambda _: value)).ask().status == 403
    assert "no bool" in caplog.text
    assert "staff" not in caplog.text


def test_a_coroutine_lets_nobody_in() -> None:
    async def authorize(_: Any) -> bool:
        return True

    wrong: Any = authorize
    with pytest.raises(TypeError, match="no coroutine"):
        dashboard.app(wrong)
    # Nor in a disguise, and it is not left behind.
    disguised: Any = lambda environ: authorize(environ)  # noqa: E731, PLW0108
    assert Asker(dashboard.app(disguised)).ask().status == 403
    with pytest.raises(TypeError, match="function of the environ"):
        dashboard.app(True)  # type: ignore[arg-type]


def test_an_authorize_that_fails_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    def authorize(environ: Any) -> bool:
        raise LookupError(environ["HTTP_COOKIE"])

    asker = Asker(dashboard.app(authorize))
    asker.cookie = "session=s3cret"
    assert asker.ask("/report.json").status == 403
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert re.search(r"LookupError at .*test_application\.py:\d+", caplog.text)
    assert "s3cret" not in caplog.text


def test_authorize_is_given_the_request() -> None:
    seen = []

    def authorize(environ: dict[str, Any]) -> bool:
        seen.append((environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        return environ.get("REMOTE_USER") == "ada"

    asker = Asker(dashboard.app(authorize), mounted_at="/ops")
    assert asker.ask("/report.json").status == 403
    assert asker.ask("/report.json", REMOTE_USER="ada").status == 200
    assert seen == [("/ops", "/report.json")] * 2


# what is answered


def test_the_page_and_its_files(asker: Asker) -> None:
    page = asker.ask()
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for path, (name, kind) in FILES.items():
        answered = asker.ask(path)
        assert answered.headers["Content-Type"] == kind
        assert answered.body == files(dashboard).joinpath("static", name).read_bytes()
        assert answered.body
    linked = re.findall(r'(?:src|href)="([^"#]+)"', page.body.decode())
    scripts = [asker.ask(f"/{name}").body.decode() for name in linked if name.endswith(".js")]
    scripts += [asker.ask(path).body.decode() for path in FILES if path.endswith(".js")]
    linked += [name for script in scripts for name in re.findall(r'from "\./([^"]+)"', script)]
    assert {f"/{name}" for name in linked} | {"/"} == set(FILES)


def test_nothing_else_is_in_the_folder() -> None:
    there = {file.name for file in files(dashboard).joinpath("static").iterdir()}
    assert there == {name for name, _ in FILES.values()}


@pytest.mark.parametrize("path", [*FILES, "/report.json"])
def test_what_every_answer_has(asker: Asker, path: str) -> None:
    headers = asker.ask(path).headers
    policy = dict(
        part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "data:"} & set(
        " ".join(policy.values()).split()
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_no_other_origin_is_named() -> None:
    """Nor is anything inline, or made of text."""
    forbidden = (
        r"https?:|//\w+\.|innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function"
    )
    for name, _ in FILES.values():
        data = files(dashboard).joinpath("static", name).read_bytes()
        if not name.endswith(".png"):
            assert not re.search(forbidden, data.decode()), name
    html = files(dashboard).joinpath("static", "page.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)


def test_a_head_is_a_get_without_its_body(asker: Asker) -> None:
    for path in FILES:
        head, get = asker.ask(path, "HEAD"), asker.ask(path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(get.body))
    assert asker.ask("/report.json", "HEAD").body == b""
    streaming = Asker(dashboard.app(anybody, events=True))
    for _ in range(20):
        assert streaming.ask("/events", "HEAD").status == 200


@pytest.mark.parametrize("path", [path for path in PATHS if path and path != "/events"])
def test_other_methods_are_told_which_ones_there_are(asker: Asker, path: str) -> None:
    looked_at = path not in ("/trace.json", "/control.json")
    for method in ("PUT", "DELETE", "OPTIONS", "POST" if looked_at else "GET"):
        answered = asker.ask(path, method)
        assert answered.status == 405
        assert answered.headers["Allow"] == ("GET, HEAD" if looked_at else "POST")


@pytest.mark.parametrize(
    "path", ["/nothing", "/page.js/", "/../setup.cfg", "/static/page.js", "//", "/\xff"]
)
def test_all_else_is_not_there(asker: Asker, path: str) -> None:
    assert asker.ask(path).status == 404


def test_it_is_at_home_under_a_prefix() -> None:
    asker = Asker(dashboard.app(anybody), mounted_at="/ops/sl\xc3\xa4ck")
    answered = asker.ask("")
    assert answered.status == 308
    assert answered.headers["Location"] == "/ops/sl%C3%A4ck/"
    page = asker.ask("/")
    assert "; Path=/ops/sl%C3%A4ck/;" in page.headers["Set-Cookie"]
    assert not re.search(r'(?:src|href)="/', page.body.decode())


def test_a_report(asker: Asker, client: Any) -> None:
    ref, _ = client
    answered = asker.ask("/report.json")
    assert answered.headers["Content-Type"] == "application/json"
    whole = answered.json()
    assert (whole["control"], whole["events"], whole["left_out"]) == (False, False, 0)
    (process,) = whole["processes"]
    assert (process["pid"], process["here"], process["answers"]) == (os.getpid(), True, True)
    (part,) = process["report"]["clients"]
    assert part["id"] == ref.actor_urn
    assert part["connection"]["id"]
    # It is not told twice.
    assert process["report"]["connections"] == []
    assert report().keys() == process["report"].keys()


def test_what_has_happened_is_told(asker: Asker, client: Any) -> None:
    ref, log = client

    def happened() -> list[tuple[str, str | None]]:
        (process,) = asker.ask("/report.json").json()["processes"]
        return [(event["what"], event["topic"]) for event in process["events"]]

    assert happened() == []
    ref.proxy().do(lambda s: s.join("bench:b")).get()
    log.take("join")
    assert happened() == [("joining", "bench:b"), ("joined", "bench:b")]


def test_the_last_messages_have_nothing_in_them(
    asker: Asker, client: Any, server: PhoenixServer
) -> None:
    ref, log = client
    path = f"/messages.json?process={os.getpid()}&client={ref.actor_urn}"
    assert asker.ask(path).json()["result"] == []
    server.broadcast(TOPIC, "news", {"body": "what is said"})
    log.take("message")
    (message,) = eventually(lambda: asker.ask(path).json()["result"], "the message")
    assert (message["direction"], message["what"]) == ("in", f"{TOPIC} news")
    assert message["payload"] is None


@pytest.mark.parametrize(
    "query", ["", "process=1", "process={pid}", "process={pid}&client=x", "&" * 50]
)
def test_messages_of_nobody(asker: Asker, query: str) -> None:
    answered = asker.ask(f"/messages.json?{query.format(pid=os.getpid())}")
    assert answered.status in (400, 409, 421)


def test_another_sites_page_is_not_told(asker: Asker) -> None:
    for site in ("cross-site", "same-site"):
        assert asker.ask("/report.json", HTTP_SEC_FETCH_SITE=site).status == 403
    for site in ("same-origin", "none"):
        assert asker.ask("/report.json", HTTP_SEC_FETCH_SITE=site).status == 200
    # A link to the page is no harm.
    assert asker.ask("/", HTTP_SEC_FETCH_SITE="cross-site").status == 200


def test_without_events_there_is_no_stream(asker: Asker) -> None:
    assert asker.ask("/events").status == 404


def test_numbers_that_json_has_not(asker: Asker) -> None:
    """The page reads it with `JSON.parse`."""
    json.loads(asker.ask("/report.json").body, parse_constant=pytest.fail)
