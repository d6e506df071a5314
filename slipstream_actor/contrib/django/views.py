"""A health view: `path("health/channels", health)`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from slipstream_actor.contrib import health as healths
from slipstream_actor.contrib.django.registry import clients
from slipstream_actor.contrib.django.responses import already_logged

__all__ = ["health"]


def health(request: HttpRequest, *, start: bool = False) -> HttpResponse:
    """Answer how the clients of this process stand, as JSON, and wait for none of them.

    200 when each is connected and has joined all that it wants, or has not been used in this
    process; 503 else. With `start` (`path("health/channels", health, {"start": True})`) one that
    has not been used is started, and it is 503 until that is ready. The log of the clients says
    what is the matter, so `django.request` logs no error for each probe.
    """
    found = healths.health(clients, start=start)
    return already_logged(JsonResponse({**found}, status=200 if found["healthy"] else 503))
