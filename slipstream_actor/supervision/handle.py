"""`ClientHandle`: one client per process, started at its first use, and again for ever.

Web servers import an application before they fork, run many threads, and are to start without
Phoenix too. A handle opens nothing when it is made; whoever uses it first starts the client, in the
process in which that is, and a client that ends is started again with a growing delay.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from msgspec import UNSET
from pykka import ActorProxy, ActorRef

from slipstream_actor.actors import here
from slipstream_actor.actors.actor import last_start
from slipstream_actor.actors.calls import call, cast
from slipstream_actor.actors.expiry import call_without_fail, lend_thread
from slipstream_actor.actors.forks import (
    current_epoch,
    end_if_copied,
    ended_for,
    not_portable,
)
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.process import current
from slipstream_actor.actors.shared import snapshot
from slipstream_actor.client import asking
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.pending_request import PendingRequest
from slipstream_actor.client.requests import full_error
from slipstream_actor.client.runner import kept_of
from slipstream_actor.client.subscriptions import Overflow, Subscription, subscribe
from slipstream_actor.client.waiting import wait_until_joined
from slipstream_actor.configuration.arguments import kind_given, require_delay
from slipstream_actor.errors import (
    ClientEndedError,
    SerializerError,
    SlipstreamError,
    StartError,
    shown_reason,
)
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Reply
from slipstream_actor.socket.buffering import copied
from slipstream_actor.supervision.first_use import tell_started
from slipstream_actor.supervision.life import Life
from slipstream_actor.supervision.status import HandleStatus, status_of

__all__ = ["ClientHandle", "conceal", "living_handles"]

C = TypeVar("C", bound=ClientActor)
P = ParamSpec("P")
R = TypeVar("R")

logger: Logger = get_logger("slipstream_actor.handle")

NO_PAYLOAD: dict[str, Any] = {}

# Those that there are, for whoever looks in from outside.
_handles: weakref.WeakSet[ClientHandle[Any]] = weakref.WeakSet()


class ClientHandle(Generic[C]):
    """A client of `client_class`, started with the arguments when it is first used.

    Declare it at import, in as many places as there are clients. Nothing is opened before its
    first use, which does not wait for the connection; then there is one client per process,
    whatever the number of threads, also in a process that was forked later. When the client ends it
    is started again, for ever, after 0.1 s at first and at most 30 s. It ends with the process.
    Where SLIPSTREAM_DEBUG_DIR, or `debug.serve_in`, names a directory, the process serves
    `debug.report` there.
    """

    def __init__(
        self, client_class: type[C], *args: Any, name: Hashable | None = None, **kwargs: Any
    ) -> None:
        given: Any = client_class
        if not isinstance(given, type) or not issubclass(given, ClientActor):
            wrong = kind_given(given)
            raise TypeError(f"ClientHandle is for a subclass of ClientActor, not {wrong}")
        self.client_class: type[C] = client_class
        self.name: Hashable | None = name
        self._args = args
        self._kwargs = kwargs
        # By the epoch of the process: one step of a dict makes the only one of a forked child.
        self._lives: dict[int, Life[C]] = {}
        self._instead: list[Target] = []
        _handles.add(self)

    def __repr__(self) -> str:
        named = "" if self.name is None else f" {self.name!r}"
        return f"<ClientHandle of {self.client_class.__name__}{named}>"

    def __getstate__(self) -> dict[str, Any]:
        if self._lives:  # One that nobody has used is a declaration, and no more.
            raise not_portable(repr(self), "declare it in a module that each process imports")
        return vars(self)

    # the client

    @property
    def ref(self) -> ActorRef[C]:
        """The client's ref. Starts it, if this process has none.

        Raises what `start` raises at a first use, `StartError` for an `init` that exits, and
        `ClientEndedError` while it is to be started again and after `stop`.
        """
        if self._instead:
            ref: ActorRef[C] = resolve(self._instead[-1])
            return ref
        life = self._current()
        self._require_outside_init(life)
        try:
            with life.lock:
                found = self._find(life)
        except SlipstreamError:
            here.park_if_exiting()  # Not with the lock.
            raise
        life.hand_out()
        return found

    def proxy(self) -> ActorProxy[C]:
        """Return a proxy of the client: see `ref`."""
        return self.ref.proxy()

    def call(self, message: Any, timeout: float | None = 5.0) -> Any:
        """See `call`; while the client is to be started again it raises `ClientEndedError`."""
        return call(self.ref, message, timeout)

    def cast(self, message: Any) -> None:
        """See `cast`; while the client is to be started again it raises `ClientEndedError`."""
        cast(self.ref, message)

    @overload
    def invoke(
        self, method: Callable[Concatenate[Any, P], Future[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    @overload
    def invoke(
        self, method: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    def invoke(self, method: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `invoke`; while the client is to be started again it raises `ClientEndedError`."""
        return asking.invoke(self.ref, method, *args, **kwargs)

    def request(
        self, topic: str, event: str, payload: Any = NO_PAYLOAD, *, timeout: float | None = 5.0
    ) -> Future[Reply]:
        """See `request`; waits within its `timeout` while the client is started again."""
        return asking.request(self, topic, event, payload, timeout=timeout)

    def subscribe(
        self,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        *,
        size: int = 1000,
        overflow: Overflow = "wait",
    ) -> Subscription:
        """See `subscribe`; it outlives the client, and goes on with the next one."""
        return subscribe(self, topic, event, payload, size=size, overflow=overflow)

    def wait_until_joined(self, topic: str, timeout: float | None = 5.0) -> None:
        """See `wait_until_joined`, and `ref` for what is raised while it is started again."""
        wait_until_joined(self.ref, topic, timeout)

    def status(self) -> HandleStatus:
        """Return plain data for a health view. Neither starts the client nor waits for it."""
        life = self._current()
        if self._instead:
            return status_of(resolve(self._instead[-1]), "running", life.restarts, None, 0)
        # Without the lock, which is held while a client is being started.
        return status_of(life.ref, life.state, life.restarts, life.reason, len(life.waiting))

    def stop(self, drain: float = 0.0) -> None:
        """End the client of this process, for good: whoever uses it later has `ClientEndedError`.

        Waits up to `drain` seconds for the requests that have no outcome yet. Raises `RuntimeError`
        in the client's own callbacks, which return `Stop`.
        """
        require_delay("drain", drain)
        life = self._current()
        self._require_outside_init(life)
        if life.ref is not None and current() is life.ref:
            raise RuntimeError(f"{self!r}: its client would wait for its own end: return Stop")
        with life.lock:
            if life.stopped is UNSET:
                life.stopped = "shutdown"
            ref, life.ref, life.due = life.ref, None, None
            if life.start is not None:
                life.start.cancel()
            subscriptions = snapshot(life.subscriptions)
        with ExitStack() as ends:  # Each, whatever a signal handler raises: nobody else has them.
            for subscription in subscriptions:
                ends.callback(subscription.end)
            if ref is not None:
                ends.callback(ref.stop)
            life.hand_out()
            if ref is not None:
                asking.drain(ref, drain)

    def _reopen(self) -> None:
        """Take back a `stop`: the application that stopped it begins once more, as in a test."""
        if self._current().stopped is not UNSET:
            self._lives[current_epoch()] = Life()

    @contextmanager
    def override(self, client: Any) -> Iterator[ClientHandle[C]]:
        """Have `client` in the place of the handle's own within the block, for tests.

        It is a ref, another handle, or a class of clients, which is started with the handle's
        arguments and stopped at the end. Raises `TypeError` for another class.
        """
        started = isinstance(client, type)
        if started and not issubclass(client, ClientActor):
            raise TypeError(
                "override: client must be a ref, a handle or a subclass of ClientActor,"
                f" not {kind_given(client)}"
            )
        instead = client.start(*self._args, **self._kwargs) if started else client
        self._instead.append(instead)
        try:
            yield self
        finally:
            self._instead.remove(instead)
            if started:
                instead.stop()

    # what `request` and `subscribe` find it by

    def _take_request(self, request: PendingRequest) -> None:
        if self._instead:
            _take(self._instead[-1], request)
            return
        life = self._current()
        request.when_ended = self._take_over
        # What waits is before it; who starts a client may take its time.
        if life.starting or life.due is not None or life.waiting or life.handing_out:
            self._have_wait(life, request)
            return
        try:
            ref = self.ref
        except Exception as error:
            if isinstance(error, ClientEndedError) and life.due is not None:
                self._have_wait(life, request)
            else:
                request.fail(error)
            return
        asking.submit(request, ref)

    def _have_wait(self, life: Life[C], request: PendingRequest) -> None:
        """Keep a request for the next client, with a payload that its owner cannot change; fail it
        where too many are kept."""
        if len(life.waiting) >= life.most_requests:
            request.fail(full_error(life.most_requests, self))
            return
        with suppress(SerializerError):
            request.payload = copied(request.payload)
        self._take_over(request)

    def _take_over(self, request: PendingRequest, failure: Exception | None = None) -> None:
        """A request comes back that was not sent: it waits for the next client."""
        life = self._current()
        if life.stopped is not UNSET:
            request.fail(failure or ended_for(life.stopped, str(request)))
            return
        request.ref, request.handed, request.inbox = self, None, None
        request.keep_time()
        life.waiting.add(request)
        # Behind that: the client may have come, or the end, before it stood there.
        life.hand_out()
        if life.is_idle and not request.done:  # Or the start has failed: it makes its own.
            try:
                _ = self.ref
            except ClientEndedError:  # It waits on, or has failed.
                life.hand_out()
            except Exception as error:
                request.fail(error)

    def _attach(self, subscription: Subscription) -> None:
        if self._instead:
            _attach(self._instead[-1], subscription)
            return
        life = self._current()
        subscription.outlives = not life.final
        if self._in_init(life):  # Whoever starts the client attaches it.
            life.subscriptions.add(subscription)
            return
        with life.lock:
            subscription.outlives = not life.final
            life.subscriptions.add(subscription)
            if life.ref is not None:
                subscription.attach(life.ref)
                return
        if life.due is None:
            _ = self.ref  # Which attaches it.

    # what `run` finds it by

    def _serve(self) -> ActorRef[C]:
        """Return the client, with which the handle ends too: its end is that of the service."""
        if self._instead:
            return self.ref
        life = self._current()
        self._require_outside_init(life)
        with life.lock:
            try:
                # Before the start: a client may end right behind its `init`.
                life.make_final(final=True)
                found = self._find(life)
            except BaseException:
                life.make_final(final=False)
                raise
        life.hand_out()
        return found

    def _served(self, ref: ActorRef[C], reason: Any) -> None:
        """Know of the end of the client, whoever of both is told of it first."""
        self._ended(self._current(), ref, reason)

    # the lives of its clients

    def _current(self) -> Life[C]:
        """Return the life in this process; a child has one of its own."""
        epoch = current_epoch()
        life = self._lives.get(epoch)
        return life if life is not None else self._lives.setdefault(epoch, Life())

    def _in_init(self, life: Life[C]) -> bool:
        """Whether this runs in the `init` of the client that is being started, or in a signal
        handler that came in the middle of the start: neither can wait for it."""
        return life.starting and (
            life.starter == threading.get_ident() or is_starting(current(), self.client_class)
        )

    def _require_outside_init(self, life: Life[C]) -> None:
        if self._in_init(life):
            raise RuntimeError(
                f"{self!r}: its client is being started, and what runs in that start (init, a"
                " signal handler) would wait for itself; request and subscribe work there"
            )

    def _find(self, life: Life[C]) -> ActorRef[C]:
        """Return the client, started if there is none: see `ref`. For who has the lock."""
        if life.stopped is not UNSET:
            raise ended_for(life.stopped, repr(self))
        if life.due is not None:
            left = max(0.0, life.due - time.monotonic())
            raise ClientEndedError(
                life.reason,
                f"{self!r}: its client has ended, {shown_reason(life.reason)}, and is started"
                f" again in {left:.1f} s",
            )
        return life.ref if life.ref is not None else self._start(life)

    def _start(self, life: Life[C]) -> ActorRef[C]:
        """Start the client and return it; it may have ended already, right behind its `init`."""
        life.starting, life.starter = True, threading.get_ident()
        last_start.failed_itself = None
        try:
            ref = self.client_class.start(*self._args, name=self.name, **self._kwargs)
        except BaseException as error:
            life.starting = False
            if life.due is not None:  # It is tried again.
                raise
            if not is_own(error):
                if life.waiting:  # For others, who are not to have what a signal handler raises.
                    self._again(life, StartError(error))
                raise
            # An exit of its `init` is not one of who uses it.
            if isinstance(error, Exception):
                life.fail_all(error)
                raise
            failure = StartError(error)
            life.fail_all(failure)
            raise failure from error
        life.ref, life.due, life.started_at = ref, None, time.monotonic()
        inbox: Any = ref.actor_inbox
        # Behind the ref: who finds that nobody is starting it finds the client.
        life.starting = False
        for subscription in snapshot(life.subscriptions):
            subscription.attach(ref)
        inbox.ended.add_done_callback(lambda ended: self._ended(life, ref, ended.get()))
        tell_started()
        return ref

    def _ended(self, life: Life[C], ref: ActorRef[C], reason: Any) -> None:
        """The client has ended, in whose thread this runs: have it started again."""
        with life.lock:
            if life.ref is not ref or life.stopped is not UNSET:
                return
            if life.final:
                # In this order: without the lock too, it is never as one not started yet.
                life.stopped, life.reason, life.ref = reason, reason, None
            else:
                life.most_requests = asking.most_requests(ref)
                self._again(life, reason)
        life.hand_out()  # Nothing, unless there will never be one.

    def _again(self, life: Life[C], reason: Any) -> None:
        if here.exiting:
            life.end_at_exit()
            return
        delay = life.next_delay()
        # In this order, as above.
        life.due, life.reason, life.ref = time.monotonic() + delay, reason, None
        life.start = call_without_fail(life.due, lambda: self._restart_in_a_thread(life))
        logger.warning(
            "%r: its client has ended, %s, and is started again in %.1f s",
            *(self, shown_reason(reason), delay),
        )

    def _restart_in_a_thread(self, life: Life[C]) -> None:
        """`start` waits for `init`: not in the thread that sees to all deadlines."""
        thread = threading.Thread(
            target=self._restart,
            args=(life,),
            name=f"slipstream_actor restart {self!r}",
            daemon=True,
        )
        try:
            thread.start()
        except Exception as error:  # The system has no more threads.
            self._try_again(life, StartError(error))

    def _restart(self, life: Life[C]) -> None:
        end_if_copied(life)
        with life.lock:
            if life.due is None or life.stopped is not UNSET:
                return
            if here.exiting:
                life.end_at_exit()
            else:
                self._start_again(life)
        life.hand_out()
        lend_thread()

    def _start_again(self, life: Life[C]) -> None:
        life.restarts += 1
        try:
            self._start(life)
        except BaseException as error:  # A SystemExit is the client's own.
            end_if_copied(life)
            self._again(life, error)

    def _try_again(self, life: Life[C], error: Exception) -> None:
        with life.lock:
            if life.due is not None and life.stopped is UNSET:
                self._again(life, error)


def is_own(error: BaseException) -> bool:
    """Whether the start that raised `error` has failed, and no signal handler has raised it."""
    itself = last_start.failed_itself
    return isinstance(error, Exception) if itself is None else itself


def is_starting(ref: Any, client_class: type[ClientActor]) -> bool:
    """Whether `ref`, whose thread this is, is a client of that class in its `init`."""
    if getattr(ref, "actor_class", None) is not client_class:
        return False
    kept = kept_of(ref)
    begins = kept.beginning if kept is not None else None
    return begins is not None and not begins.started.done


def _take(target: Target, request: PendingRequest) -> None:
    take = getattr(target, "_take_request", None)
    if take is not None:
        take(request)
    else:
        asking.submit(request, target)


def _attach(target: Target, subscription: Subscription) -> None:
    attach = getattr(target, "_attach", None)
    if attach is not None:
        attach(subscription)
    else:
        subscription.attach(resolve(target))


def living_handles() -> list[ClientHandle[Any]]:
    """Return the handles that are there, used or not."""
    return snapshot(_handles)


def conceal(handle: ClientHandle[Any]) -> None:
    """Have `living_handles` not return one that only keeps the arguments of another."""
    _handles.discard(handle)
