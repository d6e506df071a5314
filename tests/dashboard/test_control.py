"""What is done on the page: only where it may be, and only by the page itself."""

from __future__ import annotations

import os
from typing import Any

import pytest

from slipstream_actor import dashboard
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import eventually
from tests.support.wsgi import Asker, anybody

TOPIC = "bench:a"


@pytest.fixture
def asker() -> Asker:
    return Asker(dashboard.app(anybody, allow_control=True))


def order(ref: Any, action: str = "disconnect") -> dict[str, str]:
    return {"action": action, "process": str(os.getpid()), "client": ref.actor_urn}


def test_disconnect_and_reconnect(asker: Asker, client: Any) -> None:
    ref, log = client
    answered = asker.post("/control.json", order(ref))
    assert (answered.status, answered.json()["ok"]) == (200, True)
    log.take("disconnect")
    assert asker.post("/control.json", order(ref, "reconnect")).status == 200
    log.take("connect")


@pytest.mark.parametrize("path", ["/control.json", "/trace.json"])
def test_only_where_it_is_allowed(client: Any, path: str) -> None:
    ref, _ = client
    answered = Asker(dashboard.app(anybody)).post(path, order(ref))
    assert answered.status == 403
    assert ref.proxy().do(lambda s: s.connected).get()


@pytest.mark.parametrize("path", ["/control.json", "/trace.json"])
@pytest.mark.parametrize(
    "changed",
    [
        {"HTTP_X_CSRF_TOKEN": None},
        {"HTTP_X_CSRF_TOKEN": ""},
        {"HTTP_X_CSRF_TOKEN": "0" * 64},
        {"HTTP_X_CSRF_TOKEN": "\xff"},
        {"HTTP_COOKIE": ""},
        {"HTTP_COOKIE": f"slipstream_dashboard={'x' * 43}"},
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "http://127.0.0.1:81"},
        {"HTTP_ORIGIN": "http://127.0.0.1.evil.example"},
        {"HTTP_ORIGIN": "http://[::1"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
        {"HTTP_SEC_FETCH_SITE": "none"},
        {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": None},
        {"HTTP_SEC_FETCH_SITE": None, "HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_HOST": "evil.example"},
    ],
    ids=str,
)
def test_only_by_the_page_itself(
    asker: Asker, client: Any, path: str, changed: dict[str, Any]
) -> None:
    ref, _ = client
    assert asker.post(path, order(ref), **changed).status == 403
    assert ref.proxy().do(lambda s: s.connected).get()


@pytest.mark.parametrize(
    "changed",
    [
        {"HTTP_SEC_FETCH_SITE": None},
        {"HTTP_ORIGIN": None},
        {"HTTP_HOST": "ops.example", "HTTP_ORIGIN": "https://ops.example"},
        {"HTTP_HOST": "ops.example:8443", "HTTP_ORIGIN": "https://ops.example:8443"},
    ],
    ids=str,
)
def test_older_browsers_and_proxies(asker: Asker, client: Any, changed: dict[str, Any]) -> None:
    ref, _ = client
    assert asker.post("/control.json", order(ref, "reconnect"), **changed).status == 200


def test_the_cookie(asker: Asker) -> None:
    given = asker.ask().headers["Set-Cookie"]
    assert "; HttpOnly; SameSite=Strict" in given
    assert "Secure" not in given
    assert "Set-Cookie" not in asker.ask().headers
    # Whatever cookies of others stand beside it.
    asker.cookie = f'a="; =; b\xff=1; {asker.cookie}'
    assert "Set-Cookie" not in asker.ask().headers
    https: dict[str, Any] = {"wsgi.url_scheme": "https"}
    secure = Asker(dashboard.app(anybody)).ask(**https)
    assert "; Secure" in secure.headers["Set-Cookie"]


def test_the_token_is_the_cookies(asker: Asker) -> None:
    assert asker.ask("/report.json").json()["csrf"] is None
    asker.ask()
    token = asker.ask("/report.json").json()["csrf"]
    other = Asker(dashboard.app(anybody, allow_control=True))
    other.ask()
    assert other.ask("/report.json").json()["csrf"] != token
    # Another worker, or the same after a restart, knows it too.
    other.cookie = asker.cookie
    assert other.ask("/report.json").json()["csrf"] == token


@pytest.mark.parametrize(
    ("data", "changed", "status"),
    [
        ({"action": "suspend", "process": "", "client": ""}, {}, 400),
        ({"action": "report", "process": "", "client": ""}, {}, 400),
        ([], {}, 400),
        ({"action": "disconnect", "process": 1, "client": "x"}, {}, 400),
        ("x" * 5000, {}, 413),
        ({}, {"CONTENT_LENGTH": ""}, 400),
        ({}, {"CONTENT_TYPE": "text/plain"}, 415),
        ({}, {"CONTENT_TYPE": "application/x-www-form-urlencoded"}, 415),
        ({"action": "disconnect", "process": "../../x", "client": "x"}, {}, 421),
    ],
    ids=str,
)
def test_wrong_orders(asker: Asker, data: Any, changed: dict[str, str], status: int) -> None:
    assert asker.post("/control.json", data, **changed).status == status


def test_of_a_client_that_is_not_there(asker: Asker) -> None:
    told = {"action": "disconnect", "process": str(os.getpid()), "client": "nobody"}
    answered = asker.post("/control.json", told)
    assert answered.status == 409
    assert "no such client" in answered.json()["error"]


def test_a_trace_has_what_is_in_messages(asker: Asker, client: Any, server: PhoenixServer) -> None:
    """From the first time on that it is asked for, and for those alone who may ask."""
    ref, log = client
    server.broadcast(TOPIC, "news", {"body": "before"})
    log.take("message")
    assert asker.post("/trace.json", order(ref)).json()["result"] == []
    server.broadcast(TOPIC, "news", {"body": "what is said", "token": "s3cret"})
    log.take("message")
    (message,) = eventually(
        lambda: asker.post("/trace.json", order(ref)).json()["result"], "the message"
    )
    assert message["payload"] == "{'body': 'what is said', 'token': …}"
    path = f"/messages.json?process={os.getpid()}&client={ref.actor_urn}"
    assert [m["payload"] for m in asker.ask(path).json()["result"]] == [None]
