"""A socket in the file system that is its owner's alone."""

from __future__ import annotations

import errno
import os
import socket
import stat

from slipstream_actor.actors.forks import close_in_child

__all__ = ["identity", "listening", "remove"]

OWNER_ONLY = 0o600
BACKLOG = 16


def listening(path: str) -> socket.socket:
    """Return a socket that listens at `path`, in the place of one that nobody listens at.

    Raises `OSError` where somebody does, or what is there is something else.
    """
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "there are no local sockets on this system")
    make_room(path, family)
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
