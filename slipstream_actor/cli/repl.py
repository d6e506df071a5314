"""`repl`: commands at a prompt, with what comes meanwhile above it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

import typer

from slipstream_actor.actors.calls import cast
from slipstream_actor.cli.listen import failure_of
from slipstream_actor.cli.options import Connecting, with_connecting
from slipstream_actor.cli.output import Writer
from slipstream_actor.cli.repl_commands import COMMANDS, Ended, Talk, Talker
from slipstream_actor.client.asking import drain
from slipstream_actor.errors import SlipstreamError

__all__ = ["repl"]

STYLES = {"error": "bold red", "not joined": "bold red", "joined": "bold green"}
# These are followed by a topic.
WITH_TOPIC = ("push", "leave", "presences")
PROMPT = "> "


@with_connecting
def repl(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="The endpoint; env:NAME hides one with a token.")
    ],
    connecting: Connecting,
) -> None:
    """Join, push and leave at a prompt, and see what comes meanwhile.

    "help" lists the commands; the tab key completes them, and topics. Nothing of what is typed is
    written to a file: it may hold tokens. From a pipe lines are taken as they come, and what comes
    is written as lines of JSON.
    """
    where, options = connecting.checked(uri)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    with above_the_prompt() if interactive else nullcontext():
        ready = threading.Event()
        show = Shown()
        talk = Talk(show, connecting.seconds, waits=not interactive)
        client: Any = Talker.start(where, options, talk.show, ready.set)
        talk.client = client
        try:
            client.actor_inbox.ended.add_done_callback(lambda _: ready.set())
            cast(client, "begin")
            ready.wait()
            with prompted(talk) if interactive else nullcontext(sys.stdin) as lines:
                converse(client, talk, show, lines)
            drain(client, connecting.seconds)
        finally:
            client.stop()
    show.check()


def converse(client: Any, talk: Talk, show: Shown, lines: Iterable[str]) -> None:
    """Do what the lines say, until there are no more or the client has ended."""
    require_alive(client)
    for line in lines:
        require_alive(client)
        show.check()
        try:
            talk.obey(line)
        except Ended:
            return


def require_alive(client: Any) -> None:
    """Raise the failure that the client has ended with, if it has."""
    if client.actor_inbox.ended.done:
        raise failure_of(client.actor_inbox.ended.get())


class Shown:
    """Writes what comes, from several threads."""

    def __init__(self) -> None:
        self._writer = Writer(as_json=False)
        self._lock = threading.Lock()
        self._failed: OSError | None = None

    def __call__(self, kind: str, topic: str, text: str) -> None:
        """Write a line: what has come, of which topic, and what it says."""
        try:
            with self._lock:
                self._write(kind, topic, text)
        except OSError as error:
            # Not in a client's thread: whoever reads lines is told.
            self._failed = error

    def check(self) -> None:
        """Raise what a write has failed with: `BrokenPipeError` when nobody reads any more."""
        if self._failed is not None:
            raise self._failed

    def _write(self, kind: str, topic: str, text: str) -> None:
        if not self._writer.pretty:
            self._writer.line({"kind": kind, "topic": topic, "text": text})
            return
        parts = (topic, "cyan"), (kind, STYLES.get(kind, "bold")), (text, "")
        told = [part for part in parts if part[0]]
        spaced = [piece for part in told for piece in (part, (" ", ""))]
        self._writer.text(*spaced[:-1])


def above_the_prompt() -> Any:
    """Have what is written meanwhile stand above the prompt."""
    from prompt_toolkit.patch_stdout import patch_stdout

    return patch_stdout(raw=True)


@contextmanager
def prompted(talk: Talk) -> Iterator[Iterator[str]]:
    """Have the terminal's lines typed at a prompt, until Ctrl-D."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import DynamicCompleter, NestedCompleter
    from prompt_toolkit.history import InMemoryHistory

    from slipstream_actor.cli.keyboard import keyboard

    def completer() -> NestedCompleter:
        topics = dict.fromkeys(topics_of(talk))
        words = {name: topics if name in WITH_TOPIC else None for name in COMMANDS}
        return NestedCompleter.from_nested_dict(words)

    keys = keyboard()
    session: PromptSession[str] = PromptSession(
        history=InMemoryHistory(),
        completer=DynamicCompleter(completer),
        complete_while_typing=False,
        input=keys,
    )
    # From one prompt to the next, too.
    with keys.raw_mode():
        yield typed(session)


def typed(session: Any) -> Iterator[str]:
    """Yield the lines of a session, until Ctrl-D."""
    while True:
        try:
            yield session.prompt(PROMPT)
        except EOFError:
            return


def topics_of(talk: Talk) -> list[str]:
    """Return the topics to complete, none when that cannot be told."""
    try:
        return talk.topics()
    except SlipstreamError:
        return []
