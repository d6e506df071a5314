"""Where the page's data is from: this process, and those that serve themselves in a directory."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import msgspec

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.dashboard.asking import Answer, ask
from slipstream_actor.debug.directory import served_directories
from slipstream_actor.debug.encoding import as_json
from slipstream_actor.debug.happenings import happenings
from slipstream_actor.debug.plain import Plain
from slipstream_actor.debug.report import report
from slipstream_actor.debug.requests import Refused, answer
from slipstream_actor.debug.sockets import SUFFIX, sockets_in
from slipstream_actor.errors import SlipstreamError

__all__ = ["ELSEWHERE", "Processes"]

logger: Logger = get_logger("slipstream_actor.dashboard")

# Seconds for all processes together, and for one that is to do something: as long as it may wait
# for a callback, and a moment.
PATIENCE, PATIENCE_WITH_CONTROL = 1.0, 6.0
MOST = 64
ELSEWHERE = "this request has come to another process, which does not reach that one"


class Whose(msgspec.Struct):
    """Of a report whose it is."""

    pid: int


class Processes:
    """This process, if it is to be shown, and those of a directory: by default of each in which
    processes serve themselves when they are asked."""

    def __init__(self, directory: str | None = None, *, here: bool = True) -> None:
        self._directory = directory
        self._here = here
        # Since when a socket has not answered.
        self._silent: dict[str, float] = {}

    def parts(self) -> Plain:
        """Return the report of each process, how many were not asked, and whether there is a
        directory: whether all of the host's are among them.

        One that does not answer within a second has `answers: false`, and since when.
        """
        paths, left_out = self._paths()
        now = time.time()
        answers = ask(paths, [{"request": "report"}, {"request": "events"}], PATIENCE)
        own = [self._own()] if self._here else []
        others = [part for path in answers if (part := self._other(path, answers[path], now))]
        self._silent = {path: at for path, at in self._silent.items() if path in answers}
        host = bool(self._directories())
        return {"processes": [*own, *others], "left_out": left_out, "host": host}

    def events(self) -> dict[str, list[Plain]]:
        """Return what has happened in the other processes, by their keys."""
        answers = ask(self._paths()[0], [{"request": "events"}], PATIENCE)
        found = {}
        for path, answered in answers.items():
            if answered and answered[0].ok:
                found[key_of(path)] = happenings_in(answered[0].result)
        return found

    def tell(self, key: str, request: Plain, *, allow_control: bool) -> Answer:
        """Return the answer of the process with this key to a request."""
        if self._here and key == own_key():
            return answer_here(request, allow_control=allow_control)
        path = next((path for path in self._paths()[0] if key_of(path) == key), None)
        if path is None:
            return Answer(False, error=ELSEWHERE)
        found = ask([path], [request], PATIENCE_WITH_CONTROL)
        answered = found.get(path)
        if not answered:
            return Answer(False, error="it does not answer" if path in found else "it has ended")
        return answered[0]

    def _own(self) -> Plain:
        whole = report()
        shown = {id(client["connection"]) for client in whole["clients"]}
        whole["connections"] = [part for part in whole["connections"] if id(part) not in shown]
        return part_of(own_key(), os.getpid(), whole, happenings()) | {"here": True}

    def _other(self, path: str, answers: list[Answer] | None, now: float) -> Plain | None:
        """Return the part of another process; `None` if it is this one by another name."""
        key = key_of(path)
        pid = whose(answers[0]) if answers else None
        if answers is None or pid is None:
            since = self._silent.setdefault(path, now)
            return {"key": key, "here": False, "answers": False, "since": since}
        self._silent.pop(path, None)
        if self._here and pid == os.getpid():
            return None
        events: Any = answers[1].result if answers[1].ok else []
        return part_of(key, pid, answers[0].result, events)

    def _directories(self) -> list[str]:
        return [self._directory] if self._directory else served_directories()

    def _paths(self) -> tuple[list[str], int]:
        """Return the sockets of others, each by one name, and how many there are besides."""
        mine = own_key() if self._here else None
        sockets = itertools.chain.from_iterable(map(sockets_in, self._directories()))
        found = {key_of(path): path for path in filter(is_ours, sockets)}
        paths = [path for key, path in sorted(found.items()) if key != mine]
        return paths[:MOST], max(0, len(paths) - MOST)


def own_key() -> str:
    """Return what this process is called on the page: as its socket is, if it has one."""
    return str(os.getpid())


def key_of(path: str) -> str:
    """Return what a process is called on the page, as a text that JSON can have."""
    called = os.path.basename(path).removesuffix(SUFFIX)
    return called.encode(errors="backslashreplace").decode()


def is_ours(path: str) -> bool:
    """Whether it is of our own user: what another one serves is not to be believed."""
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except OSError:
        return False


def whose(answered: Answer) -> int | None:
    """Return the id of the process whose report it is, `None` if it is none."""
    try:
        return msgspec.json.decode(answered.result, type=Whose).pid if answered.ok else None
    except (ValueError, RecursionError):
        return None


def happenings_in(result: msgspec.Raw) -> list[Plain]:
    """Return what a process says has happened, as far as that can be understood."""
    try:
        told = msgspec.json.decode(result, type=list[Plain])
    except (ValueError, RecursionError):
        return []
    return [happening for happening in told if type(happening.get("number")) is int]


def part_of(key: str, pid: int, whole: Any, events: Any) -> Plain:
    """Return the part of a process that answers."""
    part: Plain = {"key": key, "pid": pid, "here": False, "answers": True}
    return {**part, "report": whole, "events": events}


def answer_here(request: Plain, *, allow_control: bool) -> Answer:
    """Return this process' answer to a request."""
    try:
        result = answer(request, allow_control=allow_control)
    except (Refused, SlipstreamError) as error:
        return Answer(False, error=str(error))
    except Exception as error:
        logger.debug("a request has failed", exc_info=True)
        return Answer(False, error=type(error).__name__)
    return Answer(True, msgspec.Raw(as_json(result)))
