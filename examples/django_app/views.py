"""The views: what the browser asks for, the client asks Phoenix for."""

from __future__ import annotations

import json

from django.http import HttpRequest, JsonResponse

from examples.django_app.client import LOBBY, Rooms
from slipstream_actor.contrib.django import clients

rooms = clients["rooms"]


def say(request: HttpRequest) -> JsonResponse:
    """Say something in the lobby, and answer with Phoenix's reply."""
    said = {"body": json.loads(request.body)["body"]}
    reply = rooms.request(LOBBY, "new:msg", said, timeout=2.0).get()
    return JsonResponse(reply.unwrap(), status=201)


async def say_async(request: HttpRequest) -> JsonResponse:
    """The same in a coroutine."""
    said = {"body": json.loads(request.body)["body"]}
    reply = await rooms.request(LOBBY, "new:msg", said, timeout=2.0)
    return JsonResponse(reply.unwrap(), status=201)


def last(request: HttpRequest) -> JsonResponse:
    """What was said last."""
    return JsonResponse({"body": rooms.invoke(Rooms.last).get(timeout=2.0)})
