"""The matrix of faults by moments: what a client sees of each, and when it is joined again.

    python -m tests.integration.fault_matrix

prints it as two Markdown tables, without and with TLS. The tests of it are in
`test_fault_matrix.py`, what happens in a cell in `fault_cell.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from slipstream_actor.testing import FaultProxy

Moment: TypeAlias = Literal["connect", "tls", "upgrade", "join", "push", "reply", "idle", "closing"]
Scheme: TypeAlias = Literal["ws", "wss"]
Kind: TypeAlias = Literal["harmless", "ends", "silent"]

MOMENTS: tuple[Moment, ...] = get_args(Moment)
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
HOUR = 3600.0

PATIENT: dict[str, Any] = {
    "connect_timeout_msec": 30_000,
    "join_timeout_msec": 30_000,
    "heartbeat_interval_msec": 30_000,
}
"""No timeout helps the client: what it sees, it sees without one."""

IMPATIENT: dict[str, Any] = {
    "connect_timeout_msec": 200,
    "join_timeout_msec": 200,
    "heartbeat_interval_msec": 150,
}
"""For what only a timeout can find."""

DIALLING: dict[str, Any] = {**PATIENT, "connect_timeout_msec": 200}
"""What it finds by itself is that nobody answers its attempts."""

BEATING: dict[str, Any] = {**PATIENT, "heartbeat_interval_msec": 500}
"""While it is idle its heartbeats are all that moves."""

CONNECTING_ENDS = {"ConnectFailed io", "ConnectFailed tls", "ConnectFailed upgrade"}
OPEN_ENDS = {"ClosedByPeer 1006", "TransportFailed"}
TIMED_OUT = {"ConnectFailed timeout"}


@dataclass(frozen=True)
class Fault:
    """A row. `apply` does it at the moment that it is given.

    Of `ends`, the client is told by the network; of `silent` ones, by no one. `then` is what the
    attempts to come back end with before it is healed; `seen` is what a moment makes of it, where
    that is something else than of its kind.
    """

    name: str
    kind: Kind
    apply: Callable[[FaultProxy, Moment], object]
    then: str | None = None
    seen: dict[Moment, set[str]] = field(default_factory=dict)
    senseless: dict[Moment, str] = field(default_factory=dict)

    def options(self, moment: Moment) -> dict[str, Any]:
        """The timeouts of the client that lives through it."""
        if self.kind == "silent":
            return IMPATIENT
        if self.then == "ConnectFailed timeout":
            return DIALLING
        return BEATING if moment == "idle" and self.kind == "ends" else PATIENT

    def expected(self, moment: Moment) -> set[str]:
        """One of these is the first that the client sees; nothing, where there is none."""
        if moment == "closing":
            return {"ClosedByClient"}
        if moment in self.seen:
            return self.seen[moment]
        if self.kind == "harmless":
            return set()
        if moment in ("connect", "tls", "upgrade"):
            return TIMED_OUT if self.kind == "silent" else CONNECTING_ENDS
        if self.kind == "ends":
            return OPEN_ENDS
        return {"JoinTimeout"} if moment == "join" else {"HeartbeatTimeout"}


# what the network does


def refuse(proxy: FaultProxy, moment: Moment) -> None:
    """As a host that is started anew: nobody listens, and what was open is reset."""
    proxy.refuse()
    proxy.reset()


def silence(proxy: FaultProxy, moment: Moment) -> None:
    """As a process that hangs behind a listening kernel; what was open is reset."""
    proxy.silence()
    proxy.reset()


def reset(proxy: FaultProxy, moment: Moment) -> None:
    """Once, for what is open; before that, for what is about to be."""
    if moment == "connect":
        proxy.cut(0, how="reset")
    else:
        proxy.reset()


def cut(how: Literal["close", "reset"]) -> Callable[[FaultProxy, Moment], None]:
    """In the midst of what is under way: the server's next bytes, or the client's big push."""

    def apply(proxy: FaultProxy, moment: Moment) -> None:
        if moment == "push":
            proxy.cut(65_536, "up", how)
        else:
            proxy.cut(3, "down", how)

    return apply


def half_close(direction: Literal["up", "down"]) -> Callable[[FaultProxy, Moment], None]:
    """Once, as a reset."""

    def apply(proxy: FaultProxy, moment: Moment) -> None:
        if moment == "connect":
            proxy.cut(0, direction, "half_close")
        else:
            proxy.half_close(direction)

    return apply


def throttle(proxy: FaultProxy, moment: Moment) -> None:
    """Slow, as much as a cell has time for."""
    proxy.throttle(20_000_000 if moment == "push" else 40_000)


NO_BYTES = "no byte has passed: a cut after none is the row of the reset, or of the half-close"
UPGRADED: dict[Moment, set[str]] = {
    # The server's last answer still gets through; then it hangs up.
    "upgrade": OPEN_ENDS | CONNECTING_ENDS,
    "tls": CONNECTING_ENDS,
}
ANSWERED: dict[Moment, set[str]] = {
    # The server's answer to what came before still gets through, and nothing that comes after it.
    "upgrade": {"JoinTimeout"},
    "join": {"HeartbeatTimeout"},
}

FAULTS = [
    Fault(
        "refuse",
        "ends",
        refuse,
        then="ConnectFailed refused",
        seen={"connect": {"ConnectFailed refused"}},
    ),
    Fault(
        "accept, say nothing",
        "ends",
        silence,
        then="ConnectFailed timeout",
        seen={"connect": TIMED_OUT},
    ),
    Fault("delay, 20 ms each way", "harmless", lambda proxy, _: proxy.delay(0.02)),
    Fault("delay, beyond every timeout", "silent", lambda proxy, _: proxy.delay(HOUR)),
    Fault("drop, both ways", "silent", lambda proxy, _: proxy.drop()),
    Fault("reset", "ends", reset),
    Fault("cut after N bytes, FIN", "ends", cut("close"), senseless={"connect": NO_BYTES}),
    Fault("cut after N bytes, RST", "ends", cut("reset"), senseless={"connect": NO_BYTES}),
    Fault("throttle", "harmless", throttle),
    Fault("half-close, server to client", "ends", half_close("down")),
    Fault("half-close, client to server", "ends", half_close("up"), seen=UPGRADED),
    Fault("black hole, both ways", "silent", lambda proxy, _: proxy.black_hole()),
    Fault("black hole, server to client", "silent", lambda proxy, _: proxy.black_hole("down")),
    Fault(
        "black hole, client to server",
        "silent",
        lambda proxy, _: proxy.black_hole("up"),
        seen=ANSWERED,
    ),
]


def senseless(scheme: Scheme, moment: Moment, fault: Fault) -> str | None:
    """Why there is no such cell; `None` when there is."""
    if moment == "tls" and scheme == "ws":
        return "there is no TLS"
    return fault.senseless.get(moment)


def table(scheme: Scheme, run: Callable[[Scheme, Moment, Fault], str]) -> str:
    """The matrix in Markdown, with what `run` says of each cell."""
    reasons: list[str] = []

    def cell(moment: Moment, fault: Fault) -> str:
        why = senseless(scheme, moment, fault)
        if why is None:
            return run(scheme, moment, fault)
        if why not in reasons:
            reasons.append(why)
        return f"n/a ({reasons.index(why) + 1})"

    head = [f"| {scheme} | {' | '.join(MOMENTS)} |", "|---" * (len(MOMENTS) + 1) + "|"]
    rows = [f"| {fault.name} | {' | '.join(cell(m, fault) for m in MOMENTS)} |" for fault in FAULTS]
    return "\n".join([*head, *rows, "", *(f"({n + 1}) {why}" for n, why in enumerate(reasons))])


def main() -> None:
    """Run all cells, and print what they say."""
    from tests.integration.fault_cell import run

    logging.getLogger("slipstream_actor").addHandler(logging.NullHandler())
    for scheme in SCHEMES:
        print(table(scheme, run), end="\n\n")  # noqa: T201 - its purpose


if __name__ == "__main__":
    main()
