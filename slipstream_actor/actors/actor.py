"""What the two actors have in common: our mailbox, our futures, and a way to die alone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Self

import pykka
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from slipstream_actor.actors.envelopes import Request
from slipstream_actor.actors.event import forget_start, new_event
from slipstream_actor.actors.exit import running, stop_at_exit
from slipstream_actor.actors.expiry import lend_thread
from slipstream_actor.actors.forks import LocalRef
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.here import Interrupted, waiting
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.logger import Logger, get_logger, guarded
from slipstream_actor.actors.process import set_current
from slipstream_actor.actors.running import running_in, this_thread
from slipstream_actor.actors.turn import ThreadEnds
from slipstream_actor.errors import ClientEndedError, shown, shown_reason

__all__ = ["BaseActor", "StartInterrupted", "await_start", "last_start", "stop_for", "unlist"]

logger: Logger = get_logger("slipstream_actor")
PYKKA: Logger = get_logger("pykka")

PYKKA_MESSAGES = frozenset({_ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr})


class StartInterrupted(Interrupted):
    """A stop has ended the wait for the actor `ref` to begin; it has been told to stop too."""

    def __init__(self, ref: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self.ref = ref


class LastStart(threading.local):
    """Of the start that raised last in this thread: whether the actor has raised that, not a signal
    handler of who waited. `None` for one that has not come to the wait, or been waited for."""

    failed_itself: bool | None = None


last_start: LastStart = LastStart()


class BaseActor(pykka.ThreadingActor):
    """A Pykka actor whose failures, `SystemExit` included, end no other actor."""

    use_daemon_thread: ClassVar[bool] = True
    # At the end of the program: supervisors 0, clients 1, connections 2.
    stop_order: ClassVar[int] = 1
    actor_inbox: Inbox

    def __init__(self, name: Hashable | None = None, *, label: str | None = None) -> None:
        super().__init__()
        self.actor_stopped: threading.Event = new_event()
        self._actor_ref = ref = LocalRef(self)
        ref.label = label or label_of(ref, name)
        stop_at_exit(BaseActor, os.getpid())

    def __str__(self) -> str:
        return str(self.actor_ref)

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future()

    # Pykka's, whose log may raise in the middle of each

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> pykka.ActorRef[Self]:
        """Start an actor and return its `ActorRef`."""
        actor = cls(*args, **kwargs)
        with guarded(PYKKA.name):
            pykka.ActorRegistry.register(actor.actor_ref)
        PYKKA.debug("Starting %s", actor)
        actor._start_actor_loop()
        return actor.actor_ref

    def _stop(self) -> None:
        unlist(self.actor_ref)
        self.actor_stopped.set()
        PYKKA.debug("Stopped %s", self)
        try:
            self.on_stop()
        except Exception:
            self._handle_failure(*sys.exc_info())

    def _handle_failure(self, *exc_info: Any) -> None:
        PYKKA.error("Unhandled exception in %s:", self, exc_info=exc_info)
        unlist(self.actor_ref)
        self.actor_stopped.set()

    # the loop

    def _start_actor_loop(self) -> None:
        try:
            self._start_thread(self._actor_loop)
        except RuntimeError as error:
            self._end_loop(error)
            self.actor_inbox.ended.set(error)
            self.actor_inbox.close()
            raise

    def _start_thread(self, run: Callable[[], None]) -> None:
        """Raises `RuntimeError` where the system has no more threads."""
        # Pykka's would have a name of its own.
        thread = threading.Thread(
            target=run, name=str(self.actor_ref), daemon=self.use_daemon_thread
        )
        thread.start()
        forget_start(thread)

    def _actor_loop(self) -> None:
        set_current(self.actor_ref)
        inbox, lives = self.actor_inbox, False
        inbox.thread = this_thread()
        try:
            running.add(self.actor_ref)
            super()._actor_loop()
        except ThreadEnds:
            lives = True
        finally:
            set_current(None)
            if not lives:
                running.discard(self.actor_ref)
                inbox.thread = None
                # Without effect, but for an actor that did not get to say why it ends.
                inbox.ended.set(sys.exc_info()[1] or "killed")
            lend_thread()

    def _handle_receive(self, message: Any) -> Any:
        try:
            return self._dispatch(message)
        except Exception as error:
            envelope = self.actor_inbox.envelope
            if envelope is not None and envelope.reply_to is not None:
                if not isinstance(envelope.reply_to, Future):
                    raise
                # As Pykka would, whose log may raise.
                PYKKA.info("Exception returned from %s to caller:", self, exc_info=True)
                envelope.reply_to.fail(error)
                return None
            # Pykka would log it too.
            self._crash(error)
        except Interrupted:
            # The stop request that interrupted it is in the mailbox.
            self._answer(self._stopped())
        except BaseException as error:
            # Pykka would stop every actor of the process.
            try:
                logger.error("%r ends %s", error, self)
            finally:
                self._answer(error)
                self._crash(error)
        return None

    def _dispatch(self, message: Any) -> Any:
        if type(message) in PYKKA_MESSAGES:
            return super()._handle_receive(message)
        return self.on_receive(message)

    def _stopped(self) -> ClientEndedError:
        """Return what whoever waits for a callback is told that a stop has interrupted."""
        reason = self.actor_inbox.stop_reason
        text = f"{self.actor_ref} was stopped meanwhile: {shown_reason(reason)}"
        return ClientEndedError(reason, text)

    def _answer(self, error: BaseException) -> None:
        """Answer whoever asked for what is being handled."""
        envelope = self.actor_inbox.envelope
        if envelope is None:
            return
        message = envelope.message
        asked = message.future if isinstance(message, Request) else envelope.reply_to
        if isinstance(asked, Future):
            asked.fail(error)

    def _crash(self, error: BaseException) -> None:
        """End as Pykka has it when the handling of a `tell` raises; `on_failure` tells of it."""
        self._end_loop(error)
        try:
            self.on_failure(type(error), error, error.__traceback__)
        except Exception:
            self._handle_failure(*sys.exc_info())

    def _end_loop(self, reason: Any) -> None:
        """Make the current message the last one: the actor ends for `reason`."""
        self.actor_inbox.ends_for = reason
        try:
            unlist(self.actor_ref)
        finally:
            self.actor_stopped.set()

    def _standing(self, topic: str | None) -> str:
        """Return how it stands, and with a topic of its own; any thread may ask."""
        return str(running_in(self.actor_ref) or "")

    def _abandon(self) -> None:
        """Let go of what others may take over, though a callback does not return. Any thread."""


def unlist(ref: pykka.ActorRef[Any]) -> None:
    """Take an actor out of Pykka's registry."""
    with guarded(PYKKA.name):  # It is out before it is logged.
        pykka.ActorRegistry.unregister(ref)


def label_of(ref: LocalRef, name: Hashable | None) -> str:
    """Return how logs and errors call an actor: its owner's class and name, or a number.

    A supervisor's child without a name has the number, and its id if it was given one.
    """
    if name is not None:
        return f"{ref.actor_class.__name__} {shown(name)}"
    supervisor = waiting.inbox
    id = supervisor.starting if supervisor is not None else None
    return ref.label if id is None else f"{ref.label} (child {shown(id)})"


def await_start(ref: pykka.ActorRef[Any], started: Future[bool]) -> bool:
    """Return what `started` says of the beginning of `ref`, or raise it.

    A stop of the actor that waits here stops `ref` too, and raises `StartInterrupted`. So does
    what a signal handler raises: nobody would know of `ref`.
    """
    try:
        return started.get()
    except Interrupted:
        stop_for("shutdown", ref)
        raise StartInterrupted(ref) from None
    except BaseException as error:
        last_start.failed_itself = started.has_failed_with(error)
        if not last_start.failed_itself:
            stop_for("shutdown", ref)
        raise


def stop_for(reason: Any, ref: pykka.ActorRef[Any]) -> None:
    """Ask an actor of ours to stop, and to tell its end `reason`; do not wait for it."""
    ref.actor_inbox.stop_reason = reason  # type: ignore[attr-defined]
    _ = ref.stop(block=False)
