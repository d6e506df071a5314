"""`app`: the page as a WSGI application. Which request leads where, and what every answer has."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote

import msgspec

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.dashboard.guard import (
    Authorize,
    Environ,
    csrf_token,
    is_authorized,
    is_own_page,
    new_cookie,
)
from slipstream_actor.dashboard.processes import ELSEWHERE, Processes, own_key
from slipstream_actor.dashboard.stream import Stream, Streams
from slipstream_actor.debug.encoding import as_json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = ["Dashboard", "app"]

logger: Logger = get_logger("slipstream_actor.dashboard")

# The page's files, and their types.
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.png": ("icon.png", "image/png"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "charts", "clients", "detail", "dom", "events", "model", "words")
    },
}
SECURITY = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
]
JSON = "application/json"
# Bytes of a request's body, and fields of its query.
LONGEST, MOST_FIELDS = 4096, 10
CONTROL = ("disconnect", "reconnect")


class Response(NamedTuple):
    """What is answered: a body, or a stream of it."""

    status: HTTPStatus
    type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    stream: Stream | None = None


class Problem(Exception):
    """A request that is answered with a status, and a few words."""

    def __init__(self, status: HTTPStatus, text: str = "", **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.text: str = text or status.phrase
        self.headers: tuple[tuple[str, str], ...] = tuple(
            (name.replace("_", "-"), value) for name, value in headers.items()
        )


class Dashboard:
    """The application that `app` returns."""

    def __init__(
        self,
        authorize: Authorize | None,
        *,
        allow_control: bool,
        events: bool,
        processes: Processes,
    ) -> None:
        self._authorize = authorize
        self._allow_control = allow_control
        self._processes = processes
        self._streams = Streams(processes) if events else None
        self._routes: dict[str, tuple[str, Callable[[Environ], Response]]] = {
            "/report.json": ("GET", self._report),
            "/messages.json": ("GET", self._messages),
            "/trace.json": ("POST", self._trace),
            "/control.json": ("POST", self._control),
        }
        if events:
            self._routes["/events"] = ("GET", self._events)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        try:
            response = self._answer(environ)
        except Problem as problem:
            text = f"{problem.text}\n".encode()
            response = Response(problem.status, "text/plain; charset=utf-8", text, problem.headers)
        headers = [("Content-Type", response.type), *SECURITY, *response.headers]
        status = f"{response.status.value} {response.status.phrase}"
        if response.stream is not None:
            start_response(status, headers)
            if environ["REQUEST_METHOD"] != "HEAD":
                return response.stream
            response.stream.close()
            return []
        start_response(status, [*headers, ("Content-Length", str(len(response.body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _answer(self, environ: Environ) -> Response:
        if not is_authorized(self._authorize, environ):
            raise Problem(HTTPStatus.FORBIDDEN)
        path = environ.get("PATH_INFO", "")
        if not path:
            # Without the slash the page's own addresses would be those of its neighbours.
            here = quote(environ.get("SCRIPT_NAME", ""), encoding="latin-1")
            raise Problem(HTTPStatus.PERMANENT_REDIRECT, Location=f"{here}/")
        if path in FILES:
            require_method(environ, "GET")
            return page(environ) if path == "/" else asset(path)
        if path not in self._routes:
            raise Problem(HTTPStatus.NOT_FOUND)
        method, respond = self._routes[path]
        require_method(environ, method)
        require_same_site(environ)
        return respond(environ)

    # what is looked at

    def _report(self, environ: Environ) -> Response:
        return json_of(
            {
                "time": time.time(),
                "csrf": csrf_token(environ),
                "control": self._allow_control,
                "events": self._streams is not None,
                **self._processes.parts(),
            }
        )

    def _messages(self, environ: Environ) -> Response:
        try:
            query = parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=MOST_FIELDS)
        except ValueError:
            raise Problem(HTTPStatus.BAD_REQUEST) from None
        process, client = (query.get(name, [""])[0] for name in ("process", "client"))
        return self._tell(process, {"request": "messages", "client": client})

    def _events(self, environ: Environ) -> Response:
        stream = None if self._streams is None else self._streams.open(own_key())
        if stream is None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many watch", Retry_After="5")
        headers = (("X-Accel-Buffering", "no"),)
        return Response(HTTPStatus.OK, "text/event-stream; charset=utf-8", b"", headers, stream)

    # what is done

    def _trace(self, environ: Environ) -> Response:
        told = self._told(environ)
        request = {"request": "messages", "client": told.client, "payloads": True}
        return self._tell(told.process, request)

    def _control(self, environ: Environ) -> Response:
        told = self._told(environ)
        if told.action not in CONTROL:
            raise Problem(HTTPStatus.BAD_REQUEST, "there is no such action")
        logger.info("%s of the client %r is asked for", told.action, told.client)
        return self._tell(told.process, {"request": told.action, "client": told.client})

    def _told(self, environ: Environ) -> Order:
        """Return what is to be done, if it may be."""
        if not self._allow_control:
            raise Problem(HTTPStatus.FORBIDDEN, "control is not allowed here")
        if not is_own_page(environ):
            raise Problem(HTTPStatus.FORBIDDEN, "this request is not one of the page's own")
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != JSON:
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        try:
            return msgspec.json.decode(body_of(environ), type=Order)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Problem(HTTPStatus.BAD_REQUEST) from None

    def _tell(self, process: str, request: dict[str, Any]) -> Response:
        answered = self._processes.tell(process, request, allow_control=self._allow_control)
        if answered.ok:
            return json_of(answered)
        elsewhere = answered.error == ELSEWHERE
        status = HTTPStatus.MISDIRECTED_REQUEST if elsewhere else HTTPStatus.CONFLICT
        return json_of(answered, status)


class Order(msgspec.Struct):
    """What the page asks to be done."""

    process: str
    client: str
    action: str = ""


def require_method(environ: Environ, method: str) -> None:
    allowed = ("GET", "HEAD") if method == "GET" else (method,)
    if environ["REQUEST_METHOD"] not in allowed:
        raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, Allow=", ".join(allowed))


def require_same_site(environ: Environ) -> None:
    """Refuse what another site's page has asked for: to look at a client's messages costs it."""
    if environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site"):
        raise Problem(HTTPStatus.FORBIDDEN)


def body_of(environ: Environ) -> bytes:
    """Return the body of a request."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = -1
    if length < 0:
        raise Problem(HTTPStatus.BAD_REQUEST)
    if length > LONGEST:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body: bytes = environ["wsgi.input"].read(length)
    return body


@functools.cache
def read(name: str) -> bytes:
    """Return one of the page's files."""
    return files("slipstream_actor.dashboard").joinpath("static", name).read_bytes()


def page(environ: Environ) -> Response:
    cookie = new_cookie(environ)
    headers = () if cookie is None else (("Set-Cookie", cookie),)
    return asset("/")._replace(headers=headers)


def asset(path: str) -> Response:
    name, kind = FILES[path]
    return Response(HTTPStatus.OK, kind, read(name))


def json_of(data: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(status, JSON, as_json(data))


def app(
    authorize: Authorize | None = None, *, allow_control: bool = False, events: bool = False
) -> Dashboard:
    """Return a WSGI application: a page that shows the clients of this process, and of every one
    that serves itself in `SLIPSTREAM_DEBUG_DIR`.

    `authorize(environ)` says who may see it: `True` lets a request in, and nothing else does;
    without `authorize` nobody is, and every answer is a 403. So it is when `authorize` raises,
    which is logged. With `allow_control` whoever may see it may also disconnect and reconnect
    clients, and see what is in their messages, as `debug.trace` shows it; else no payload is on the
    page. With `events` what happens is streamed to the page at once, which takes a worker, or a
    thread of one, for each viewer; else the page asks every other second.

    Raises `TypeError` for an `authorize` that cannot be called, or is a coroutine function.
    """
    if authorize is not None and not callable(authorize):
        raise TypeError(f"authorize must be a function of the environ, not {authorize!r}")
    if inspect.iscoroutinefunction(authorize):
        raise TypeError("authorize must be a function that returns a bool, no coroutine function")
    return Dashboard(authorize, allow_control=allow_control, events=events, processes=Processes())
