"""Clients in a Django project (extra `django`).

    INSTALLED_APPS = [..., "slipstream_actor.contrib.django"]
    SLIPSTREAM_CLIENTS = {"chat": {"client": "chat.clients.Chat", "uri_env": "PHOENIX_URI"}}

    from slipstream_actor.contrib.django import clients

    def say(request):
        reply = clients["chat"].request("rooms:lobby", "new:msg", {"body": "hello"}).get()

Open `registry.py` first.
"""

try:
    import django as _django  # noqa: F401 - whether it is there
except ImportError as _missing:
    raise ImportError(
        "Django needs the extra: pip install 'slipstream_actor[django]'"
    ) from _missing

from slipstream_actor.contrib.django.registry import Clients, clients

__all__ = ["Clients", "clients"]
