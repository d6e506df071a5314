"""Middleware that answers what a client could not do with the HTTP status that it stands for."""

from __future__ import annotations

import logging

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.contrib.django.responses import already_logged
from slipstream_actor.contrib.http import RETRY_AFTER, http_status, problem
from slipstream_actor.errors import SlipstreamError

__all__ = ["ErrorResponses"]

logger: Logger = get_logger("slipstream_actor.django")


class ErrorResponses(MiddlewareMixin):
    """Answers what `request`, `invoke` and `Reply.unwrap` raise in a view with 503, 504 or 409.

    The body is the error's kind, as JSON. For views that are coroutines too.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the answer, or `None` for what is none of ours."""
        status = http_status(exception)
        if status is None or not isinstance(exception, SlipstreamError):
            return None
        level = logging.WARNING if status >= 500 else logging.INFO
        logger.log(level, "answered %s with %d: %s", request.path, status, exception)
        response = JsonResponse(problem(exception), status=status)
        if status == 503:
            response["Retry-After"] = str(RETRY_AFTER)
        return already_logged(response)
