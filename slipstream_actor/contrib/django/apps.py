"""The app: its checks, and what a change of the settings in a test means."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import register
from django.core.signals import setting_changed

from slipstream_actor.contrib.django.checks import check_clients
from slipstream_actor.contrib.django.registry import SETTING, clients

__all__ = ["SlipstreamConfig"]


class SlipstreamConfig(AppConfig):
    """`INSTALLED_APPS = [..., "slipstream_actor.contrib.django"]`. Starts nothing."""

    name = "slipstream_actor.contrib.django"
    label = "slipstream"

    def ready(self) -> None:
        """Have `manage.py check` look at the settings."""
        register(check_clients)
        setting_changed.connect(begin_anew, dispatch_uid=self.name)


def begin_anew(*, setting: str, **_: Any) -> None:
    """`override_settings` has changed a setting."""
    if setting == SETTING:
        clients.reconfigure()
