"""The commands and what they have in common: how they end, and what they say on standard error."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer

from slipstream_actor.cli.bench import bench
from slipstream_actor.cli.doctor import doctor
from slipstream_actor.cli.exits import Exit, Failure, status_of_error
from slipstream_actor.cli.listen import listen
from slipstream_actor.cli.output import discard_output, say
from slipstream_actor.cli.proxy import proxy
from slipstream_actor.cli.push import push
from slipstream_actor.cli.repl import repl
from slipstream_actor.cli.serve import serve
from slipstream_actor.cli.signals import Terminated
from slipstream_actor.cli.top.command import top
from slipstream_actor.debug.version import installed_version
from slipstream_actor.errors import SlipstreamError

__all__ = ["NAME", "run"]

NAME = "slipstream-actor"
LOGGER = logging.getLogger("slipstream_actor")

application: typer.Typer = typer.Typer(
    help="A client for Phoenix Channels, in the shell. Standard output has what was asked for, and"
    " standard error all else.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def show_version(value: bool) -> None:
    if value:
        print(f"slipstream_actor {installed_version()}")
        raise typer.Exit


@application.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Take the options that no command has."""


def run(arguments: Sequence[str]) -> int:
    """Run the tool, and return its exit status."""
    try:
        application(args=list(arguments), prog_name=NAME)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            # Of help that nobody reads Click makes a status of its own.
            raise ended.__context__ from None
        return ended.code if isinstance(ended.code, int) else Exit.OTHER
    return Exit.OK


def ended(status: Exit) -> NoReturn:
    raise SystemExit(int(status))


def guarded(command: Callable[..., Any]) -> Callable[..., None]:
    """Return a command that ends quietly, whatever ends it, with the status for that."""

    def guarded_command(**given: Any) -> None:
        with saying(verbose=given.get("verbose", False), quiet=given.get("quiet", False)):
            try:
                command(**given)
            except Failure as failure:
                if not failure.logged or given.get("quiet"):
                    say(f"{NAME}: {failure.text}")
                ended(failure.status)
            except BrokenPipeError:
                discard_output()
                ended(Exit.BROKEN_PIPE)
            except SlipstreamError as error:
                say(f"{NAME}: {error}")
                ended(status_of_error(error))
            except KeyboardInterrupt:
                ended(Exit.INTERRUPTED)
            except Terminated:
                ended(Exit.TERMINATED)

    functools.update_wrapper(guarded_command, command)
    signature = inspect.signature(command, eval_str=True)
    guarded_command.__signature__ = signature  # type: ignore[attr-defined]
    return guarded_command


def add(command: Callable[..., Any], example: str) -> None:
    """Add a command; its example stands at the end of its help."""
    lines = "\n".join(f"  {line}" for line in example.splitlines())
    application.command(epilog=f"\b\nFor example:\n{lines}")(guarded(command))


class Lines(logging.Handler):
    """Writes to what is standard error by then: a prompt puts something in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


@contextmanager
def saying(*, verbose: bool, quiet: bool) -> Iterator[None]:
    """Have the package's log on standard error meanwhile, as lines for people."""
    handler = Lines()
    handler.setFormatter(logging.Formatter("%(message)s"))
    level, propagates = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    LOGGER.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = propagates
        LOGGER.setLevel(level)


add(
    listen,
    """\
slipstream-actor listen ws://localhost:4000/socket/websocket rooms:lobby
slipstream-actor listen "$URI" rooms:lobby --event new:msg --count 1 | jq .payload""",
)
add(
    push,
    """\
slipstream-actor push ws://localhost:4000/socket/websocket rooms:lobby new:msg '{"body": "hello"}'
slipstream-actor push "$URI" rooms:lobby new:msg - --await-reply < messages.jsonl""",
)
add(
    doctor,
    """\
slipstream-actor doctor wss://example.com/socket/websocket rooms:lobby
slipstream-actor doctor env:URI --json | jq .failed""",
)
add(
    serve,
    """\
slipstream-actor serve --port 4000
slipstream-actor serve my_app:channels""",
)
add(
    proxy,
    """\
slipstream-actor proxy ws://localhost:4000/socket/websocket --port 4001
echo "delay 200ms" | slipstream-actor proxy ws://localhost:4000/socket/websocket""",
)
add(
    bench,
    """\
slipstream-actor bench ws://localhost:4000/socket/websocket bench:a echo '{"a": 1}'
slipstream-actor bench env:URI rooms:lobby ping --count 10000 --json""",
)
add(
    repl,
    """\
slipstream-actor repl ws://localhost:4000/socket/websocket
slipstream-actor repl wss://example.com/socket/websocket --token prompt""",
)
add(
    top,
    """\
slipstream-actor top /run/chat/debug
slipstream-actor top https://example.com/slipstream --token env:TOKEN --once""",
)
