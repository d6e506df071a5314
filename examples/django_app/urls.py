"""The addresses of the views."""

from __future__ import annotations

from django.urls import path

from examples.django_app import views
from slipstream_actor.contrib.django.views import health

urlpatterns = [
    path("messages", views.say),
    path("messages/async", views.say_async),
    path("messages/last", views.last),
    path("health", health),
]
