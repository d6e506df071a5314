"""`python -m examples.django_app`: the views, against an embedded server."""

from __future__ import annotations

import os
from typing import Any

import django
from django.test import Client

from slipstream_actor.testing import Channel, PhoenixServer


class Lobby(Channel):
    """Tells everybody what is said, and who says it how often."""

    def handle_in(self, event: str, payload: Any) -> Any:
        """Answer with the length."""
        if not payload["body"]:
            return "error", {"reason": "empty"}
        self.broadcast(event, payload)
        return "ok", {"length": len(payload["body"])}


def main() -> None:
    """Ask the views as a browser does."""
    with PhoenixServer({"rooms:*": Lobby}) as server:
        os.environ["PHOENIX_URI"] = server.uri
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")
        django.setup()
        browser = Client()
        for address in ("/messages", "/messages/async"):
            said = browser.post(address, {"body": "hello"}, content_type="application/json")
            print("said:", said.status_code, said.json())
        print("last:", browser.get("/messages/last").json())
        said = browser.post("/messages", {"body": ""}, content_type="application/json")
        print("refused:", said.status_code, said.json())
        health = browser.get("/health")
        print("health:", health.status_code, health.json()["clients"]["rooms"]["topics"])
        from slipstream_actor.contrib.django import clients

        clients["rooms"].stop()


if __name__ == "__main__":
    main()
