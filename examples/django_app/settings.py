"""The settings: what a project has anyhow, and where Phoenix is."""

from __future__ import annotations

from typing import Any

SECRET_KEY = "only for this example"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "examples.django_app.urls"
USE_TZ = True
DATABASES: dict[str, Any] = {}

INSTALLED_APPS = ["slipstream_actor.contrib.django"]
MIDDLEWARE = ["slipstream_actor.contrib.django.middleware.ErrorResponses"]

SLIPSTREAM_CLIENTS = {
    "rooms": {
        "client": "examples.django_app.client.Rooms",
        # Outranks the address below, where it is set.
        "uri_env": "PHOENIX_URI",
        "uri": "ws://localhost:4000/socket/websocket",
    }
}
