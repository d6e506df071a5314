"""Where values come from that are no arguments: the environment, a file, a prompt.

The arguments of a process can be read by everybody on the machine, so a token is never one.
No error here shows a value.
"""

from __future__ import annotations

import getpass
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec

from slipstream_actor.cli.exits import Exit, Failure
from slipstream_actor.socket.pushes import require_event

__all__ = [
    "decoded_json",
    "is_utf8",
    "json_from",
    "object_from",
    "read_file",
    "require_pushable",
    "require_utf8",
    "secret_from",
    "text_from",
    "wrong",
]


def wrong(option: str, rule: str) -> Failure:
    """Return the failure of an argument."""
    return Failure(Exit.USAGE, f"{option} {rule}")


def require_pushable(command: str, event: str) -> None:
    """Raise `Failure` for an event that cannot be pushed, before anybody is called."""
    require_utf8("EVENT", event)
    try:
        require_event(command, event)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None


def require_utf8(option: str, text: str) -> None:
    """Raise `Failure` for an argument whose bytes are not UTF-8: Python has surrogates there."""
    if not is_utf8(text):
        raise wrong(option, "is not UTF-8")


def is_utf8(text: str) -> bool:
    """Whether a text has no surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_file(option: str, path: str) -> bytes:
    """Return what is in a file; `-` is standard input."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise wrong(option, f"names a file that cannot be read: {error.strerror}") from None


def from_environment(option: str, name: str) -> str:
    """Return the value of a variable."""
    value = os.environ.get(name)
    if value is None:
        raise wrong(option, "names a variable that the environment does not have")
    return value


def text_from(option: str, value: str) -> str:
    """Return a text: `env:NAME` is a variable's, `@FILE` a file's without the last line's end."""
    if value.startswith("env:"):
        return from_environment(option, value.removeprefix("env:"))
    if value.startswith("@"):
        return decoded(option, read_file(option, value[1:]))
    return value


def secret_from(option: str, source: str) -> str:
    """Return a secret from `env:NAME`, `file:PATH` (or `@PATH`) or `prompt`, never from itself."""
    if source.startswith("env:"):
        return from_environment(option, source.removeprefix("env:"))
    if source.startswith(("file:", "@")):
        return decoded(option, read_file(option, source.removeprefix("file:").removeprefix("@")))
    if source == "prompt":
        return prompted(option)
    raise wrong(
        option,
        "takes env:NAME, file:PATH or prompt, and never the secret itself: the arguments of a"
        " process can be read by everybody on the machine",
    )


def prompted(option: str) -> str:
    """Ask for a secret at the terminal, without an echo."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(f"{option.lstrip('-')}: ")
        except (getpass.GetPassWarning, EOFError, OSError):
            raise wrong(option, "asks at a terminal, and there is none") from None


def decoded(option: str, data: bytes) -> str:
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise wrong(option, "names a file that is not UTF-8") from None


def json_from(option: str, value: str) -> Any:
    """Return what a text says as JSON; it may also be `@FILE` or `env:NAME`."""
    try:
        return decoded_json(text_from(option, value))
    except ValueError as error:
        raise wrong(option, str(error)) from None


def decoded_json(text: str | bytes) -> Any:
    """Return what JSON says. Raises `ValueError`, which shows nothing of it."""
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except ValueError:
        raise ValueError("is no JSON") from None


def object_from(option: str, value: str) -> dict[str, Any]:
    """Return the JSON object that a text is or names."""
    found = json_from(option, value)
    if not isinstance(found, dict):
        raise wrong(option, "is JSON, but no object")
    return found
