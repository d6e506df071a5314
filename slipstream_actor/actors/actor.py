"""What the two actors have in common: our mailbox, our futures, and a way to die alone."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, ClassVar

import pykka
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from slipstream_actor.actors.envelopes import Request
from slipstream_actor.actors.exit import stop_at_exit
from slipstream_actor.actors.forks import LocalRef
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.here import Interrupted
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.process import set_current

__all__ = ["BaseActor", "StartInterrupted", "await_start", "stop_for"]

logger: logging.Logger = logging.getLogger("slipstream_actor")

PYKKA_MESSAGES = frozenset({_ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr})


class StartInterrupted(Interrupted):
    """A stop has ended the wait for the actor `ref` to begin; it has been told to stop too."""

    def __init__(self, ref: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self.ref = ref


class BaseActor(pykka.ThreadingActor):
    """A Pykka actor whose failures, `SystemExit` included, end no other actor."""

    use_daemon_thread: ClassVar[bool] = True
    # At the end of the program: supervisors 0, clients 1, connections 2.
    stop_order: ClassVar[int] = 1
    actor_inbox: Inbox

    def __init__(self) -> None:
        super().__init__()
        self._actor_ref = LocalRef(self)
        stop_at_exit(BaseActor, os.getpid())

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future()

    def _start_actor_loop(self) -> None:
        try:
            super()._start_actor_loop()
        except RuntimeError as error:
            self._end_loop()
            self.actor_inbox.ended.set(error)
            self.actor_inbox.close()
            raise

    def _actor_loop(self) -> None:
        set_current(self.actor_ref)
        try:
            super()._actor_loop()
        finally:
            set_current(None)
            # Without effect, but for an actor that did not get to say why it ends.
            self.actor_inbox.ended.set(sys.exc_info()[1] or "killed")

    def _handle_receive(self, message: Any) -> Any:
        try:
            return self._dispatch(message)
        except Exception as error:
            envelope = self.actor_inbox.envelope
            if envelope is not None and envelope.reply_to is not None:
                raise
            # Pykka would log it too.
            self._crash(error)
        except Interrupted:
            # The stop request that interrupted it is in the mailbox.
            self._answer(self._stopped())
        except BaseException as error:
            # Pykka would stop every actor of the process.
            logger.error("%r ends %s", error, self)
            self._answer(error)
            self._crash(error)
        return None

    def _dispatch(self, message: Any) -> Any:
        if type(message) in PYKKA_MESSAGES:
            return super()._handle_receive(message)
        return self.on_receive(message)

    def _stopped(self) -> pykka.ActorDeadError:
        """Return what whoever waits for a callback is told that a stop has interrupted."""
        return pykka.ActorDeadError(f"{self.actor_ref} was stopped meanwhile")

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
        self._end_loop()
        try:
            self.on_failure(type(error), error, error.__traceback__)
        except Exception:
            self._handle_failure(*sys.exc_info())

    def _end_loop(self) -> None:
        """Make the current message the last one."""
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()

    def _abandon(self) -> None:
        """Let go of what others may take over, though a callback does not return. Any thread."""


def await_start(ref: pykka.ActorRef[Any], started: Future[bool]) -> bool:
    """Return what `started` says of the beginning of `ref`, or raise it.

    A stop of the actor that waits here stops `ref` too, and raises `StartInterrupted`.
    """
    try:
        return started.get()
    except Interrupted:
        stop_for("shutdown", ref)
        raise StartInterrupted(ref) from None


def stop_for(reason: Any, ref: pykka.ActorRef[Any]) -> None:
    """Ask an actor of ours to stop, and to tell its end `reason`; do not wait for it."""
    ref.actor_inbox.stop_reason = reason  # type: ignore[attr-defined]
    _ = ref.stop(block=False)
