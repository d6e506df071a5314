"""A WSGI application asked without a server, with `wsgiref.validate` in between."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

__all__ = ["Answered", "Asker", "anybody"]


class Answered(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def anybody(_: Any) -> bool:
    """Let everybody in: for `authorize`."""
    return True


class Asker:
    """Asks an application, as a browser at its page does: it keeps the cookie."""

    def __init__(self, application: Any, *, mounted_at: str = "") -> None:
        self.application: Callable[..., Any] = validator(application)
        self.mounted_at = mounted_at
        self.cookie: str | None = None

    def ask(
        self, path: str = "/", method: str = "GET", body: bytes = b"", **environ: Any
    ) -> Answered:
        """Ask, with more of the environment where it is given."""
        path, _, query = path.partition("?")
        asked: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": self.mounted_at,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "wsgi.input": io.BytesIO(body),
        }
        if body:
            asked["CONTENT_LENGTH"] = str(len(body))
        if self.cookie is not None:
            asked["HTTP_COOKIE"] = self.cookie
        asked.update(environ)
        setup_testing_defaults(asked)
        found: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            found[:] = status, headers
            return lambda data: None

        pieces = self.application(asked, start_response)
        try:
            body = b"".join(pieces)
        finally:
            pieces.close()
        headers = dict(found[1])
        if "Set-Cookie" in headers:
            self.cookie = headers["Set-Cookie"].partition(";")[0]
        return Answered(int(found[0].partition(" ")[0]), headers, body)

    def post(self, path: str, data: Any, **environ: Any) -> Answered:
        """Ask for something to be done, as the page does."""
        if self.cookie is None:
            self.ask()
        asked = {
            "CONTENT_TYPE": "application/json",
            "HTTP_ORIGIN": "http://127.0.0.1",
            "HTTP_SEC_FETCH_SITE": "same-origin",
            "HTTP_X_CSRF_TOKEN": self.ask("/report.json").json()["csrf"],
        }
        given = {key: value for key, value in {**asked, **environ}.items() if value is not None}
        return self.ask(path, "POST", json.dumps(data).encode(), **given)
