"""Who may see the page, and who may do something on it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from slipstream_actor.actors.logger import Logger, get_logger

__all__ = ["Authorize", "Environ", "csrf_token", "is_authorized", "is_own_page", "new_cookie"]

logger: Logger = get_logger("slipstream_actor.dashboard")

Environ = dict[str, Any]
Authorize = Callable[[Environ], bool]

COOKIE = "slipstream_dashboard"
TOKEN_HEADER = "HTTP_X_CSRF_TOKEN"
DEFAULT_PORTS = {"http": 80, "https": 443}
BYTES = 32
PURPOSE = b"slipstream_actor.dashboard"


def is_authorized(authorize: Authorize | None, environ: Environ) -> bool:
    """Whether a request is let in. What `authorize` raises is logged by its kind and place alone:
    its text, and what it was about, may be a secret."""
    if authorize is None:
        return False
    try:
        allowed: Any = authorize(environ)
    except Exception as error:
        logger.error("nobody is let in: authorize has raised %s at %s", kind(error), place(error))
        return False
    if not isinstance(allowed, bool):
        # A coroutine, a user, a reason why not: all of them would be true.
        logger.error("nobody is let in: authorize has returned a %s, no bool", kind(allowed))
        close = getattr(allowed, "close", None)
        if hasattr(allowed, "cr_frame") and callable(close):
            close()
    return allowed is True


def kind(value: object) -> str:
    return type(value).__name__


def place(error: Exception) -> str:
    """Return where an exception was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


# requests that change something


def new_cookie(environ: Environ) -> str | None:
    """Return the header that gives a browser its cookie, `None` if it has one."""
    if cookie_of(environ) is not None:
        return None
    path = quote(environ.get("SCRIPT_NAME", ""), encoding="latin-1") + "/"
    secure = "; Secure" if environ["wsgi.url_scheme"] == "https" else ""
    value = secrets.token_urlsafe(BYTES)
    return f"{COOKIE}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}"


def cookie_of(environ: Environ) -> str | None:
    """Return our cookie, whatever those of others look like."""
    for pair in environ.get("HTTP_COOKIE", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and len(value) >= BYTES:
            return str(value)
    return None


def csrf_token(environ: Environ) -> str | None:
    """Return what the page has to show with a request that changes something; `None` for one whose
    browser has no cookie.

    It follows from the cookie, so that every worker knows it; a page of another origin can read
    neither the cookie nor the answer that has the token.
    """
    cookie = cookie_of(environ)
    if cookie is None:
        return None
    return hmac.new(cookie.encode("latin-1"), PURPOSE, hashlib.sha256).hexdigest()


def is_own_page(environ: Environ) -> bool:
    """Whether a request to change something comes from the page itself: it has the token, and the
    browser says that it is of the same origin."""
    expected = csrf_token(environ)
    given = environ.get(TOKEN_HEADER, "")
    if expected is None or not hmac.compare_digest(expected.encode(), given.encode("latin-1")):
        return False
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is None and origin is None:
        return False
    if site is not None and site != "same-origin":
        return False
    return origin is None or is_same_host(origin, environ)


def is_same_host(origin: str, environ: Environ) -> bool:
    """Whether an origin is the host that was asked; a proxy may have changed the scheme."""
    try:
        theirs = urlsplit(origin)
        ours = urlsplit(f"{theirs.scheme}://{environ.get('HTTP_HOST', '')}")
        default = DEFAULT_PORTS.get(theirs.scheme)
        return (
            default is not None
            and theirs.hostname is not None
            and (theirs.hostname, theirs.port or default) == (ours.hostname, ours.port or default)
        )
    except ValueError:
        return False
