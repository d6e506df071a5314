"""A socket in the file system that is its owner's alone, and those of a directory."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator

from slipstream_actor.actors.forks import close_in_child

__all__ = ["SUFFIX", "identity", "listening", "remove", "sockets_in"]

# Of the sockets of a directory.
SUFFIX = ".sock"

OWNER_ONLY = 0o600
BACKLOG = 16


def listening(path: str) -> socket.socket:
    """Return a socket that listens at `path`, in the place of one that nobody listens at.

    Raises `OSError`, which names the path, where somebody does, what is there is something else,
    or nothing can be made there.
    """
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "there are no local sockets on this system")
    try:
        make_room(path, family)
        return bound(path, family)
    except OSError as error:
        if error.filename is not None:
            raise
        # What a socket raises names no path, and for one that is too long no number.
        raise OSError(
            error.errno or errno.ENAMETOOLONG, error.strerror or str(error), path
        ) from None


def bound(path: str, family: int) -> socket.socket:
    """Return a socket that listens at `path`, where nothing is."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    close_in_child(sock)
    try:
        sock.bind(path)
        # Nobody can connect before it listens.
        os.chmod(path, OWNER_ONLY)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def make_room(path: str, family: int) -> None:
    """Remove a socket that was left behind."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise FileExistsError(errno.EEXIST, "there is something else", path)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "somebody listens there", path)


def identity(path: str) -> tuple[int, int] | None:
    """Return what a file is known by, `None` where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: str, known: tuple[int, int] | None) -> None:
    """Remove the file, unless it is another one by now."""
    if known is not None and identity(path) == known:
        os.unlink(path)


def sockets_in(directory: str) -> Iterator[str]:
    """Yield the local sockets in a directory, as far as it can be read."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                with contextlib.suppress(OSError):
                    if stat.S_ISSOCK(entry.stat().st_mode):
                        yield entry.path
