"""What the middleware and the health view answer, and what Django's log has of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import path

from slipstream_actor import (
    AwaitTimeoutError,
    NotConnectedError,
    NotJoinedError,
    Reply,
    ReplyError,
)
from slipstream_actor.testing import SocketTest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")
django.setup()

from slipstream_actor.contrib.django import clients  # noqa: E402 - behind the setup
from slipstream_actor.contrib.django.views import health  # noqa: E402

ERRORS: dict[str, Exception] = {
    "away": NotConnectedError("not there"),
    "late": AwaitTimeoutError("a reply", 1.0, maybe_sent=True),
    "lost": NotConnectedError("gone", maybe_sent=True),
    "left": NotJoinedError("gone", maybe_sent=True),
    "refused": ReplyError(Reply("error", {"reason": "no", "token": "s3cret"})),
    "wrong": ValueError("not ours"),
}


def fail(request: HttpRequest, kind: str) -> HttpResponse:
    raise ERRORS[kind]


urlpatterns = [path("fail/<kind>", fail), path("health", health)]


@pytest.fixture
def browser() -> Iterator[Client]:
    with override_settings(ROOT_URLCONF=__name__):
        yield Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("kind", "status", "retry_after", "body"),
    [
        ("away", 503, "1", {"error": "NotConnectedError"}),
        ("late", 504, None, {"error": "AwaitTimeoutError", "maybe_sent": True}),
        ("lost", 504, None, {"error": "NotConnectedError", "maybe_sent": True}),
        ("left", 504, None, {"error": "NotJoinedError", "maybe_sent": True}),
        ("refused", 409, None, {"error": "ReplyError"}),
    ],
)
def test_each_failure_has_its_answer(
    browser: Client, kind: str, status: int, retry_after: str | None, body: dict[str, Any]
) -> None:
    answer = browser.get(f"/fail/{kind}")
    assert (answer.status_code, answer.json()) == (status, body)
    assert answer.headers.get("Retry-After") == retry_after


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """Who has logged, and how loud."""
    loggers = ("django.request", "slipstream_actor.django")
    return [(one.name, one.levelno) for one in caplog.records if one.name in loggers]


@pytest.mark.parametrize("kind", ["away", "late", "refused"])
def test_what_the_middleware_answers_is_logged_once(
    browser: Client, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.INFO)
    browser.get(f"/fail/{kind}")
    level = logging.INFO if kind == "refused" else logging.WARNING
    assert told(caplog) == [("slipstream_actor.django", level)]
    assert "s3cret" not in caplog.text


def test_a_mistake_is_logged_by_django(browser: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert browser.get("/fail/wrong").status_code == 500
    assert told(caplog) == [("django.request", logging.ERROR)]


def test_a_probe_that_is_answered_503_is_no_error_of_django(
    browser: Client, caplog: pytest.LogCaptureFixture, socket_test: SocketTest
) -> None:
    with socket_test.override(clients["rooms"]) as ref:
        assert browser.get("/health").status_code == 200
        ref.stop()
        assert browser.get("/health").status_code == 503
    assert told(caplog) == []
