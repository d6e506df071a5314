"""The root of the errors, and those that belong to no room. All that the library raises:

    SlipstreamError
    ├── ConfigurationError (ValueError)   an option of `connect`, or of supervision
    ├── NotConfiguredError                `reconnect` of a socket that never connected
    ├── NeverJoinedError                  `rejoin` of a topic that was never joined
    ├── NotConnectedError                 the operation needs a connection
    ├── NotJoinedError                    the operation needs a joined topic
    ├── SendBufferFullError               `push` found no room in time
    ├── SerializerError                   a message that cannot be encoded or decoded
    ├── ReplyError                        `Reply.unwrap` of a status other than "ok"
    ├── ConnectFailedError                `await_connect`
    ├── JoinFailedError                   `await_join`
    ├── AwaitTimeoutError (TimeoutError,  `await_*`, `call`, `wait…`, a future or proxy ran out of
    │                      pykka.Timeout) time
    ├── NotOwnerError                     `await_*` in a thread that does not own the socket
    ├── CallbackReturnError               a callback's return value
    ├── StartError                        `init` returned `Stop`, or a supervised child failed
    │   └── StartIgnored                  `init` returned `Ignore`
    ├── AlreadyStartedError               the name is taken
    └── ClientEndedError (ActorDeadError) the client has ended, or nobody has the name
        └── ForkedError                   a client or socket of this process' parent

Those of a socket's methods are in `socket.errors`, `ReplyError` in `protocol.message`,
`ForkedError` in `actors.forks`. `except pykka.ActorDeadError`, `except pykka.Timeout` and `except
TimeoutError` catch ours. All of them can be pickled: what cannot travel (the `socket`, a `ref`) is
`None` on the other side.
"""

from __future__ import annotations

import concurrent.futures
import enum
import itertools
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from pykka import ActorDeadError, Timeout

__all__ = [
    "AlreadyStartedError",
    "AwaitTimeoutError",
    "CallbackReturnError",
    "CancelledError",
    "ClientEndedError",
    "ConfigurationError",
    "SerializerError",
    "SlipstreamError",
    "StartError",
    "StartIgnored",
]

# Characters of a text that the server chose, and names of its fields.
LONGEST, MOST_NAMES = 200, 10
# Where the reasons are, and the fields in which they have what the server sent.
REASONS = "slipstream_actor.protocol.reasons"
# What looks like a token: JSON Web Tokens, Phoenix.Token's (signed and encrypted), and what HTTP's
# authorization has, where that is not the word itself ("no bearer token"). Compiled when there is
# something to be shown.
TOKEN = (
    r"(?<![A-Za-z0-9])(?:eyJ|SFMyNTY|SFMzODQ|SFM1MTI|QTEyOEdDTQ)[\w.=-]+"
    r"|(?i:\bbearer\s+(?!tokens?(?:\s|\Z))\S+|\bbasic\s+(?=\S*[\d=])[a-z0-9+/]{8,}=*)"
)
HIDDEN = "…"
FROM_SERVER = ("response", "payload")


class SlipstreamError(Exception):
    """The root of every exception of this library."""

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (type(self), self.args, {k: portable(v) for k, v in vars(self).items()})


def rebuilt(kind: type[SlipstreamError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    """Return the exception that was pickled: its constructor takes other arguments than `args`."""
    error = kind.__new__(kind, *args)
    error.args = args  # Those that are an `OSError` do not set them so.
    error.__dict__.update(state)
    return error


def portable(value: Any) -> Any:
    """Return `value` if it can be pickled, else `None`."""
    # Not at the top: it is slow to import, and whoever pickles an error has done so.
    import pickle

    try:
        pickle.dumps(value)
    except Exception:  # Whatever an object's own pickling raises.
        return None
    return value


class Shown(reprlib.Repr):
    """A `repr` of bounded size, depth and cost, of what the server chose."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = 10
        self.maxstring = self.maxlong = self.maxother = 200

    def repr_instance(self, x: Any, level: int) -> str:
        """Show a reason's fields within the bounds, unless it has a `repr` of its own."""
        if isinstance(x, bytes):
            return self.repr_str(x, level)  # type: ignore[arg-type]
        if not isinstance(x, msgspec.Struct) or type(x).__repr__ is not msgspec.Struct.__repr__:
            return super().repr_instance(x, level)
        fields = ", ".join(
            f"{name}={self.repr_field(name, getattr(x, name), level - 1)}"
            for name in x.__struct_fields__
        )
        return f"{type(x).__name__}({fields})"

    def repr_field(self, name: str, value: Any, level: int) -> str:
        """Show a field of a reason."""
        return self.repr1(value, level)


shown: Callable[[Any], str] = Shown().repr


class ShownReason(Shown):
    """A `repr` of what something has ended for: of words, of an exception, and of a reason of ours
    without what the server said beside its `reason`. Of all else, which may hold anything, the type
    is shown; of a mapping what is shown of a response."""

    def repr(self, x: Any) -> str:
        """Show a reason, whatever one of the user's own raises."""
        try:
            return super().repr(x)
        except Exception:
            return type(x).__name__

    def repr1(self, x: Any, level: int) -> str:
        """Show a reason, or a part of a tuple that is one."""
        if isinstance(x, Mapping):
            return said_by_server(x)
        if isinstance(x, UnicodeError):  # Its `repr` has the text that it is about.
            return f"{type(x).__name__}({shown(str(x))})"
        if isinstance(x, enum.Enum):
            return f"{type(x).__name__}.{x.name}"
        if isinstance(x, (str, int, float, BaseException)) or is_reason(x):
            return super().repr1(x, level)
        return super().repr1(x, level) if type(x) in (tuple, type(None)) else type(x).__name__

    def repr_field(self, name: str, value: Any, level: int) -> str:
        """Show a field of a reason: of what the server sent, and of an exception, no more than the
        log says of it."""
        if name in FROM_SERVER:
            return said_by_server(value)
        if isinstance(value, BaseException):
            return type(value).__name__
        if isinstance(value, str):
            value = without_tokens(value[:LONGEST])
        return super().repr_field(name, value, level)


def is_reason(value: Any) -> bool:
    """Whether it is one of `slipstream_actor.reasons`."""
    return isinstance(value, msgspec.Struct) and type(value).__module__ == REASONS


shown_reason: Callable[[Any], str] = ShownReason().repr


def one_line(text: str) -> str:
    """Return the beginning of a text, without what does not print."""
    cut = text[:LONGEST]
    plain = cut if cut.isprintable() else "".join(map(printed, cut))
    return plain if len(text) <= LONGEST else f"{plain}…"


def printed(character: str) -> str:
    """Return a character, escaped if it does not print."""
    return character if character.isprintable() else ascii(character)[1:-1]


def without_tokens(text: str) -> str:
    """Return a text without what looks like a token."""
    return re.sub(TOKEN, HIDDEN, text)


def said(text: str) -> str:
    """Return the beginning of what a server says, on one line, without what looks like a token."""
    plain = one_line(without_tokens(text[:LONGEST]))
    return plain if len(text) <= LONGEST else f"{plain}…"


def said_by_server(response: Any) -> str:
    """Return what a response gives as its reason, in quotes; else what its fields are called."""
    if not isinstance(response, Mapping):
        return f"{type(response).__name__}"
    reason = response.get("reason")
    if isinstance(reason, str):
        return f'"{said(reason)}"'
    names = [said(str(name)) for name in itertools.islice(response, MOST_NAMES)]
    more = ", …" if len(response) > MOST_NAMES else ""
    return f"fields {', '.join(names)}{more}" if names else "no fields"


def near(name: str, known: Iterable[str], most: int = 1, alike: float = 0.6) -> list[str]:
    """Return the known names that `name` may be a slip of the pen for, the nearest first: `most` of
    them, and none that is less `alike` than that, from 0 to 1."""
    # Not at the top: it is slow to import, and few programs err so.
    import difflib

    return difflib.get_close_matches(name, list(known), most, alike)


def suggest(name: str, known: Iterable[str], alike: float = 0.6) -> str:
    """Return the end of an error: the known name that is nearest, if one is `near`."""
    meant = near(name, known, alike=alike)
    return f"; did you mean {meant[0]}?" if meant else ""


class ConfigurationError(SlipstreamError, ValueError):
    """An option of `connect` is wrong, of `ChildSpec` or of `Supervisor`; raised there, at once.

    Names the `option`, the value's type and the rule; never the value, which may be a secret. The
    test kit raises it for a client that did not connect with `test_mode=True`.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option


class SerializerError(SlipstreamError, ValueError):
    """A message that cannot be encoded (raised by `push`, `join` and `request`) or decoded
    (counted). What a serializer of one's own has raised is the `__cause__`."""


class AwaitTimeoutError(SlipstreamError, TimeoutError, Timeout):
    """What was `awaited` did not come within `timeout` seconds. `socket` is as it was.

    Raised by `await_*`, `call`, `wait`, `wait_until_joined` and `get_state`, and by the futures of
    `ask`, `stop` and proxies. The text says how it stands: in which callback the client is, and for
    how long, whether it is connected, and what went wrong last. `maybe_sent`, of a `request`: the
    server may have heard it.
    """

    def __init__(
        self,
        awaited: str,
        timeout: float | None,
        *,
        socket: Any = None,
        hint: str = "",
        maybe_sent: bool = False,
    ) -> None:
        seconds = timeout if timeout is None else round(timeout, 3)
        super().__init__(f"awaited {awaited} for {seconds} s{hint}")
        self.awaited = awaited
        self.timeout = timeout
        self.socket = socket
        self.maybe_sent = maybe_sent


class ClientEndedError(SlipstreamError, ActorDeadError):
    """The client that was to do something has ended, for `reason`, or ends before it has done it.

    Raised by its ref, its name, its proxies and futures, by `call`, `wait_until_joined` and
    `get_state`. `reason` is what `wait` returns of it, by its name too while that is remembered
    (the last 1,000 names), `"noproc"` for a name that nobody has had.
    """

    def __init__(self, reason: Any, message: str = "") -> None:
        super().__init__(message or f"the client has ended: {shown_reason(reason)}")
        self.reason = reason


class CancelledError(SlipstreamError, concurrent.futures.CancelledError):
    """Raised by the `get` of a future that was cancelled, or whose coroutine was."""


class CallbackReturnError(SlipstreamError):
    """A callback returned what it may not; raised in the actor, after the callback."""


class StartError(SlipstreamError):
    """Raised by `start`: `init` returned `Stop(reason)`, or there was no thread.

    By `Supervisor.start`: a child did not start, which is the `__cause__`; the reason is then
    `("failed_to_start_child", id, reason)`.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(f"not started: {shown_reason(reason)}")
        self.reason = reason


class StartIgnored(StartError):
    """Raised by `start`: `init` returned `Ignore()`, so there is to be no client now.

    `client_class` is the class whose `init` it was; the `reason` is `"ignore"`, and a supervisor
    keeps such a child as one that does not run.
    """

    def __init__(self, client_class: type) -> None:
        super(StartError, self).__init__(
            f"{client_class.__name__} was not started: init returned Ignore()"
        )
        self.reason: Any = "ignore"
        self.client_class = client_class


class AlreadyStartedError(SlipstreamError):
    """Raised by `start`: `name` belongs to the living actor `ref`.

    By `Supervisor.start_child` and `restart_child`: the child with the id `name` runs.
    """

    def __init__(self, name: Any, ref: Any) -> None:
        super().__init__(f"the name {name!r} is taken by {ref}")
        self.name = name
        self.ref = ref
