"""What type checkers report of a user's mistakes: a comment that ignores nothing is an error."""

from __future__ import annotations

from typing import Any

from pykka import ActorRef

from slipstream_actor import (
    Answer,
    ChildSpec,
    ClientActor,
    From,
    Ignore,
    Next,
    Options,
    Ref,
    Reply,
    Socket,
    Supervisor,
    call,
    connect,
    get_state,
    on,
    wait_until_joined,
)


class Async(ClientActor):
    """No callback is a coroutine: it would never run."""

    async def init(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        ...

    async def handle_connect(self, socket: Socket) -> Socket:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return socket

    async def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        ...

    async def handle_call(self, message: Any, from_: From, socket: Socket) -> Answer:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Answer(1)

    async def terminate(self, reason: Any, socket: Socket) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        ...

    @on("a", "b")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    async def heard(self, topic: str, event: str, payload: Any, socket: Socket) -> None: ...


class Wrong(ClientActor):
    """What they return is the socket, nothing, or one of the library's values."""

    def init(self) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return 1

    def handle_connect(self, socket: Socket) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return True

    def handle_disconnect(self, reason: Any, socket: Socket) -> Ignore:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Ignore()

    def handle_info(self, message: Any, socket: Socket) -> Answer:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Answer(message, socket)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Socket:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return socket

    def handle_cast(self, message: Any, socket: Socket) -> tuple[str, Socket]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return "noreply", socket

    def handle_join(self, topic: str, socket: Socket) -> Socket:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return socket

    def handle_reply(self, ref: int, reply: Reply, socket: Socket) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        ...

    def handle_leave(self, topic: str, socket: Socket) -> Next:
        return Next(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    @on("a", "b")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    def returns(self, topic: str, event: str, payload: Any, socket: Socket) -> int:
        return 1

    @on("a", "c")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    def takes(self, topic: str, payload: Any, socket: Socket) -> Socket:
        return socket


def mistaken(ref: ActorRef[Wrong], supervisor: ActorRef[Supervisor], socket: Socket) -> str:
    """Calls with what they do not take, and answers of another type."""
    get_state(ref).status  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # noqa: B018
    get_state(supervisor).socket  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # noqa: B018
    get_state("name").socket  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # noqa: B018
    wait_until_joined(ref, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pushed: str = socket.push("a", "b").join_ref  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    other: ActorRef[Async] = Wrong.start()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    child = ChildSpec(Wrong, restart="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    n: int = call(ref, "n", timeout="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ref_of_push: Ref = socket.await_reply(socket.push("a", "b"))  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert [pushed, other, child, ref_of_push]
    return n  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def misconfigured(uri: str) -> None:
    """Options have types, and names."""
    misspelt: Options = {"heartbeat_intervall_msec": 1}  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportAssignmentType]
    options: Options = {"vsn": 2}  # type: ignore[typeddict-item]  # pyright: ignore[reportAssignmentType]
    connect(uri, **misspelt)
    connect(uri, **options)
    connect(uri, reconnect_after_msec="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    untyped = {"vsn": "2.0.0", "headers": {"x-team": "shop"}}
    connect(uri, **untyped)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
