"""One child from its supervisor's side: starting it, and stopping it within its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pykka import ActorRef

from slipstream_actor.actors.actor import BaseActor, StartInterrupted, stop_for
from slipstream_actor.actors.envelopes import TAKE, GetState, Interrupted, Request
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.monitor import Down, Monitor, end_of
from slipstream_actor.client.client import ClientActor
from slipstream_actor.errors import StartIgnored
from slipstream_actor.supervision.spec import Child, ChildSpec

__all__ = ["SupervisorCall", "SupervisedChild"]


class SupervisorCall(Request):
    """Have the supervisor run a method of its own: the function, its arguments and keywords."""

    @property
    def only_looks(self) -> bool:
        """Whether it can be answered while a child is being stopped, and may be what it asks."""
        return bool(self.message[0].__name__ == "which_children")


class SupervisedChild:
    """A child's specification, and its ref while it runs."""

    __slots__ = ("_inbox", "_monitor", "ref", "restarting", "spec", "starts")

    def __init__(self, spec: ChildSpec, inbox: Inbox) -> None:
        self.spec: ChildSpec = spec
        self.ref: ActorRef[Any] | None = None
        self.starts: int = 0
        self.restarting: bool = False  # A start has failed, and is to be tried again.
        self._inbox = inbox
        self._monitor: Monitor | None = None

    def snapshot(self) -> Child:
        """Return what `which_children` tells of it."""
        kind = self.spec.client_class
        ref = self.ref if self.ref is not None and self.ref.is_alive() else None
        return Child(
            self.spec.id, ref, "worker" if issubclass(kind, ClientActor) else "supervisor", kind
        )

    def start(self) -> BaseException | None:
        """Start it, and have its end told to the supervisor; return what it failed with.

        One whose `init` ignores has not failed, and does not run. Raises `Interrupted` when the
        supervisor shall stop.
        """
        if self._inbox.stopping:
            raise Interrupted
        # The id by which its owner knows it; the class alone is none.
        id: object = self.spec.id
        self._inbox.starting = None if id is self.spec.client_class else self.spec.id
        try:
            ref = self.spec.start()
        except StartInterrupted as interrupted:
            self._runs_as(interrupted.ref)  # Until it has stopped.
            raise
        except Interrupted:
            raise
        except StartIgnored as ignored:
            # One that `init` starts may ignore too, and then `init` has raised.
            return None if ignored.client_class is self.spec.client_class else ignored
        except BaseException as error:
            return error
        finally:
            self._inbox.starting = None
        self._runs_as(ref)
        return None

    def stop(self, answer: Callable[[Any], object]) -> Down | None:
        """Stop it with `"shutdown"`; return its `Down`, or `None` when its time is over.

        Whoever only looks at the supervisor meanwhile, has an `answer`.
        """
        ref = self.ref
        assert ref is not None
        ended = end_of(ref)
        if ended.done:
            # Its `Down` is in the mailbox, or was lost with a crash of the supervisor.
            self.is_gone()
            return Down(ref, ended.get())
        stop_for("shutdown", ref)
        seconds = self.spec.shutdown
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                message = self._inbox.receive(self._wants, left, interruptible=False)
            except TimeoutError:
                self._leave_behind()
                return None
            if type(message) is Down:
                self.is_gone()
                return message
            answer(message)

    def is_gone(self) -> None:
        """It runs no more."""
        if self._monitor is not None:
            self._monitor.cancel()
        self.ref = self._monitor = None

    def _wants(self, message: Any, _: Any) -> int:
        if type(message) is Down:
            return TAKE if message.ref is self.ref else 0
        looks = type(message) is GetState or (
            type(message) is SupervisorCall and message.only_looks
        )
        return TAKE if looks else 0

    def _runs_as(self, ref: ActorRef[Any]) -> None:
        self.starts += 1
        self.ref = ref
        self._monitor = Monitor(ref, end_of(ref), self._inbox)

    def _leave_behind(self) -> None:
        """A callback that does not return cannot be ended: free what a replacement needs."""
        actor = self.ref._actor_weakref() if self.ref is not None else None
        if isinstance(actor, BaseActor):
            actor._abandon()
        self.is_gone()
