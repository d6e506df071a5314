"""Responses of which `django.request` has nothing to add."""

from __future__ import annotations

from django.http import HttpResponse

__all__ = ["already_logged"]


def already_logged(response: HttpResponse) -> HttpResponse:
    """Return the response, of which Django logs nothing more.

    Else each 503 is an ERROR of `django.request`, and a mail to `ADMINS`.
    """
    # What `django.utils.log.log_response` looks for.
    vars(response)["_has_been_logged"] = True
    return response
