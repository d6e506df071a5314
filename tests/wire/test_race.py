"""Happy Eyeballs over real sockets: who wins, when the next one begins, and that none is left."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import pytest

from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.wire import race
from slipstream_actor.wire.addresses import Address
from slipstream_actor.wire.race import MOST_TOLD, STAGGER, Race
from slipstream_actor.wire.waiter import AttemptFailed, Cancelled, InboxWaiter

PATIENCE = 30.0
# A part of the stagger that a busy machine may lose in its clock.
ALMOST = 0.9 * 0.25


@pytest.fixture
def inbox() -> Iterator[SelectorInbox]:
    box = SelectorInbox()
    yield box
    assert box._attached is None
    assert not box._others
    box.close()


@pytest.fixture
def listening() -> Iterator[Address]:
    """The address of a server that answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield tcp(server.getsockname())


@pytest.fixture
def refusing() -> Iterator[Address]:
    """An address that nobody listens at."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield tcp(holder.getsockname())


@pytest.fixture
def holes() -> Iterator[list[Address]]:
    """Addresses that say nothing: the queues of their listeners are full."""
    with ExitStack() as stack:
        yield [stack.enter_context(hole()) for _ in range(3)]


@contextmanager
def hole() -> Iterator[Address]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield tcp(listener.getsockname())


def tcp(at: Any) -> Address:
    return socket.AF_INET, socket.SOCK_STREAM, 6, at


def ready(sock: socket.socket) -> None:
    sock.setblocking(False)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each attempt has begun."""
    times: list[float] = []
    begin = Race._begin

    def noted(racing: Race, address: Address) -> None:
        times.append(time.monotonic())
        begin(racing, address)

    monkeypatch.setattr(Race, "_begin", noted)
    return times


def run(inbox: SelectorInbox, *addresses: Address, seconds: float = PATIENCE) -> InboxWaiter:
    """Race, and close the winner; what there is to know is in the waiter's route."""
    waiter = InboxWaiter(inbox, seconds)
    sock = Race("many.test", 80, addresses, ready, waiter).run()
    assert sock.getpeername() == waiter.route.address[3]  # type: ignore[union-attr]
    sock.close()
    return waiter


def failure(inbox: SelectorInbox, *addresses: Address, seconds: float = PATIENCE) -> AttemptFailed:
    waiter = InboxWaiter(inbox, seconds)
    with pytest.raises(AttemptFailed) as failed:
        Race("many.test", 80, addresses, ready, waiter).run()
    assert waiter.route is None
    return failed.value


def won(waiter: InboxWaiter) -> Any:
    assert waiter.route is not None
    assert waiter.route[:2] == ("many.test", 80)
    return waiter.route.address


def test_the_first_address_that_answers_at_once_is_the_only_one_tried(
    inbox: SelectorInbox, listening: Address, holes: list[Address], begun: list[float]
) -> None:
    assert won(run(inbox, listening, *holes)) == listening
    assert len(begun) == 1


def test_black_holes_cost_a_stagger_each(
    inbox: SelectorInbox, listening: Address, holes: list[Address], begun: list[float]
) -> None:
    assert won(run(inbox, *holes, listening)) == listening
    assert len(begun) == 4
    apart = [later - sooner for sooner, later in itertools.pairwise(begun)]
    assert min(apart) >= ALMOST
    assert time.monotonic() - begun[0] < 3 * STAGGER + 4


def test_a_refusal_lets_the_next_one_begin_at_once(
    inbox: SelectorInbox, listening: Address, refusing: Address, begun: list[float]
) -> None:
    assert won(run(inbox, *[refusing] * 40, listening)) == listening
    assert len(begun) == 41
    # Forty staggers would be ten seconds.
    assert time.monotonic() - begun[0] < 20 * STAGGER


def test_a_refusal_beside_a_black_hole_does_so_too(
    inbox: SelectorInbox,
    listening: Address,
    refusing: Address,
    holes: list[Address],
    begun: list[float],
) -> None:
    assert won(run(inbox, holes[0], *[refusing] * 40, listening)) == listening
    assert begun[1] - begun[0] >= ALMOST
    assert begun[-1] - begun[1] < 20 * STAGGER


def test_one_that_answers_late_still_wins(
    inbox: SelectorInbox, holes: list[Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt goes on while others are under way: its queue gets room, and it is in."""
    monkeypatch.setattr(race, "STAGGER", 0.01)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as slow, ExitStack() as stack:
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(slow.getsockname())

        def make_room() -> None:
            threading.Event().wait(0.1)
            for _ in range(2):
                slow.accept()[0].close()

        thread = threading.Thread(target=make_room)
        thread.start()
        assert won(run(inbox, tcp(slow.getsockname()), *holes)) == tcp(slow.getsockname())
        thread.join()


# failures


def test_all_refuse(inbox: SelectorInbox, refusing: Address) -> None:
    failed = failure(inbox, refusing, refusing)
    assert failed.reason.kind == "refused"
    assert failed.reason.detail == f"many.test:80: {os.strerror(errno.ECONNREFUSED)}"


def test_no_addresses(inbox: SelectorInbox) -> None:
    failed = failure(inbox)
    assert failed.reason.kind == "resolve"


class Failing(socket.socket):
    """A socket whose connects fail as the test says, by the address."""

    errors: ClassVar[dict[str, int]] = {}

    def connect_ex(self, address: Any) -> int:
        return self.errors.get(address[0], 0)


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([errno.ECONNREFUSED, errno.ECONNREFUSED], "refused"),
        ([errno.ECONNREFUSED, errno.ETIMEDOUT], "timeout"),
        ([errno.ETIMEDOUT, errno.EHOSTUNREACH], "timeout"),
        ([errno.ECONNREFUSED, errno.EHOSTUNREACH], "io"),
        ([errno.EHOSTUNREACH, errno.EHOSTUNREACH], "io"),
        # A family that this machine does not have says nothing of the server.
        ([errno.ENETUNREACH, errno.ECONNREFUSED], "refused"),
        ([errno.EADDRNOTAVAIL, errno.ECONNREFUSED], "refused"),
        ([errno.ENETUNREACH, errno.ENETUNREACH], "io"),
    ],
)
def test_the_kind_and_the_words_of_what_happened(
    inbox: SelectorInbox, monkeypatch: pytest.MonkeyPatch, errors: list[int], kind: str
) -> None:
    names = [f"192.0.2.{n}" for n in range(len(errors))]
    monkeypatch.setattr(Failing, "errors", dict(zip(names, errors, strict=True)))
    monkeypatch.setattr(socket, "socket", Failing)
    failed = failure(inbox, *[tcp((name, 9)) for name in names])
    assert failed.reason.kind == kind
    if len(set(errors)) == 1:
        told = os.strerror(errors[0])
    else:
        pairs = zip(names, errors, strict=True)
        told = ", ".join(f"{name}: {os.strerror(error)}" for name, error in pairs)
    assert failed.reason.detail == f"many.test:80: {told}"


def test_of_many_addresses_the_first_are_told(
    inbox: SelectorInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"192.0.2.{n}" for n in range(200)]
    errors = [errno.EHOSTUNREACH, errno.ECONNREFUSED] * 100
    monkeypatch.setattr(Failing, "errors", dict(zip(names, errors, strict=True)))
    monkeypatch.setattr(socket, "socket", Failing)
    detail = failure(inbox, *[tcp((name, 9)) for name in names]).reason.detail
    assert detail.count("192.0.2.") == MOST_TOLD
    assert detail.endswith("196 more")


def test_no_more_descriptors(
    inbox: SelectorInbox,
    holes: list[Address],
    listening: Address,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For another attempt: the one that is under way goes on, and is waited for."""
    real, made = socket.socket, []

    def limited(*arguments: Any, **options: Any) -> socket.socket:
        # A listener's `accept` makes one too.
        if len(arguments) == 3 and "fileno" not in options:
            made.append(1)
            if len(made) == 2:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(*arguments, **options)

    monkeypatch.setattr(race, "STAGGER", 0.01)
    monkeypatch.setattr(socket, "socket", limited)
    assert won(run(inbox, holes[0], holes[1], listening)) == listening
    assert len(made) == 3


def test_one_deadline_for_all(
    inbox: SelectorInbox, holes: list[Address], refusing: Address
) -> None:
    began = time.monotonic()
    failed = failure(inbox, refusing, *holes, seconds=0.4)
    assert 0.4 <= time.monotonic() - began < 6
    assert failed.reason.kind == "timeout"
    assert failed.reason.detail == (
        f"TCP took more than 0.4 s (127.0.0.1: {os.strerror(errno.ECONNREFUSED)})"
    )


def test_a_deadline_that_has_passed(inbox: SelectorInbox, listening: Address) -> None:
    assert failure(inbox, listening, seconds=-1).reason.kind == "timeout"


def test_messages_without_end_do_not_move_the_deadline(
    inbox: SelectorInbox, holes: list[Address]
) -> None:
    """Those that are answered in between."""
    waiter = InboxWaiter(inbox, 0.3, {str: lambda _: inbox.tell("again")})
    inbox.tell("again")
    began = time.monotonic()
    with pytest.raises(AttemptFailed) as failed:
        Race("many.test", 80, holes, ready, waiter).run()
    assert failed.value.reason.kind == "timeout"
    assert time.monotonic() - began < 6


# cancelled


@pytest.mark.parametrize("at", [0.0, 0.05, STAGGER + 0.05, 2 * STAGGER + 0.05])
def test_a_close_ends_it_at_every_moment(
    inbox: SelectorInbox, holes: list[Address], at: float
) -> None:
    timer = threading.Timer(at, inbox.tell, [CloseConnection()])
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        Race("many.test", 80, holes, ready, InboxWaiter(inbox, 60)).run()
    assert time.monotonic() - began < at + 2
    timer.join()


def test_a_close_that_is_there_before_the_answer(inbox: SelectorInbox, listening: Address) -> None:
    inbox.tell(CloseConnection())
    with pytest.raises(Cancelled):
        Race("many.test", 80, [listening], ready, InboxWaiter(inbox, 60)).run()


def test_options_of_the_wrong_kind_end_it(inbox: SelectorInbox, holes: list[Address]) -> None:
    made: list[socket.socket] = []

    def prepare(sock: socket.socket) -> None:
        made.append(sock)
        if len(made) == 2:
            raise AttemptFailed("io", "sockopt", retryable=False)
        sock.setblocking(False)

    with pytest.raises(AttemptFailed, match="sockopt"):
        Race("many.test", 80, holes, prepare, InboxWaiter(inbox, PATIENCE)).run()
    assert [sock.fileno() for sock in made] == [-1, -1]


def test_options_that_one_family_refuses_leave_the_other(
    inbox: SelectorInbox, listening: Address, refusing: Address
) -> None:
    def prepare(sock: socket.socket) -> None:
        sock.setblocking(False)
        if not made:
            made.append(sock)
            raise AttemptFailed("io", "sockopt")

    made: list[socket.socket] = []
    waiter = InboxWaiter(inbox, PATIENCE)
    Race("many.test", 80, [refusing, listening], prepare, waiter).run().close()
    assert won(waiter) == listening
