"""`doctor`: how far one comes on the way to a server, and what to do where that ends."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from slipstream_actor.cli.examination import Examination, Step
from slipstream_actor.cli.exits import Failure
from slipstream_actor.cli.options import Connecting, with_connecting
from slipstream_actor.cli.output import Writer
from slipstream_actor.cli.sources import object_from, require_utf8
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.uris import place

__all__ = ["doctor"]

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
SIGNS = {"ok": "ok", "warning": "warning", "failed": "FAILED", "skipped": "-"}


@with_connecting
def doctor(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="The endpoint; env:NAME hides one with a token.")
    ],
    connecting: Connecting,
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC", help="What to join.")] = None,
    params: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE|env:NAME", help="Params of the join.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object with all steps, at the end.")
    ] = False,
) -> None:
    """Find out why a client does not connect, or join.

    Takes the steps on the way one by one: resolve, connect (to each address), proxy, tls (chain,
    host, expiry, ALPN), upgrade, version, heartbeat, join. Says of each what happened, how long it
    took, and what to do where it failed. The exit status is that of the first step that failed.
    --timeout is for each step.
    """
    require_utf8("TOPIC", topic or "")
    where, options = connecting.checked(uri)
    config = Configuration.validate(where, options)
    join_params = {} if params is None else object_from("--params", params)
    examination = Examination(config, topic, join_params, connecting.seconds)
    writer = Writer(as_json=as_json)
    steps = []
    for step in examination.run():
        steps.append(step)
        if not as_json:
            show(writer, step)
    failed = [step for step in steps if step.result == "failed"]
    if as_json:
        writer.line(report(place(config.uri), topic, steps))
    if failed:
        first = failed[0]
        raise Failure(first.status, f"{first.name} failed: {first.detail}")


def report(where: str, topic: str | None, steps: list[Step]) -> dict[str, Any]:
    """Return what `--json` shows."""
    failed = next((step for step in steps if step.result == "failed"), None)
    return {
        "uri": where,
        "topic": topic,
        "ok": failed is None,
        "failed": None if failed is None else failed.name,
        "exit_status": 0 if failed is None else int(failed.status),
        "steps": [step.as_json() for step in steps],
    }


def show(writer: Writer, step: Step) -> None:
    """Write a step as lines for people."""
    took = f"{step.seconds * 1000:.1f} ms" if step.result != "skipped" else ""
    sign = SIGNS[step.result]
    writer.text(
        (f"{step.name:<10}", "bold"),
        (f"{sign:<8}", STYLES[step.result]),
        (f"{took:>11}  ", "dim"),
        (step.detail, ""),
    )
    for part in step.parts:
        name = part.get("part") or part.get("address")
        told = f"{SIGNS[part['result']]:<8}"
        writer.text(
            (f"  {name:<20} ", ""), (told, STYLES[part["result"]]), (f"  {part['detail']}", "")
        )
    if step.hint is not None:
        writer.text(("  what to do: ", "bold"), (step.hint, ""))
