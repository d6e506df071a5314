"""`Supervisor`: the actor that starts clients, and starts them again when they end (OTP's
`supervisor`, whose rules these are)."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, Self, TypeVar, get_args

import msgspec
from pykka import ActorRef

from slipstream_actor.actors.actor import BaseActor, await_start
from slipstream_actor.actors.calls import answering, not_understood
from slipstream_actor.actors.envelopes import GetState, Interrupted, Request
from slipstream_actor.actors.forks import after_fork, forget, reason_of_end
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.actors.monitor import Down
from slipstream_actor.actors.names import Target, register, resolve, unregister
from slipstream_actor.actors.process import current, require_other
from slipstream_actor.client.declaration import Restart, require_known, require_restart
from slipstream_actor.client.returns import is_normal
from slipstream_actor.errors import (
    AlreadyStartedError,
    ConfigurationError,
    StartError,
    shown_reason,
)
from slipstream_actor.supervision.child import SupervisedChild, SupervisorCall
from slipstream_actor.supervision.intensity import Intensity
from slipstream_actor.supervision.spec import Child, ChildSpec, spec_of, specs
from slipstream_actor.supervision.state import SupervisorState

__all__ = ["Child", "ChildSpec", "Supervisor"]

P = ParamSpec("P")
T = TypeVar("T")
logger: Logger = get_logger("slipstream_actor.supervisor")

Strategy = Literal["one_for_one", "rest_for_one", "one_for_all"]

# Which of the children, in start order, begin anew when the one at an index has ended.
AFFECTED: dict[str, Callable[[Sequence[SupervisedChild], int], Sequence[SupervisedChild]]] = {
    "one_for_one": lambda children, at: children[at : at + 1],
    "rest_for_one": lambda children, at: children[at:],
    "one_for_all": lambda children, at: children[:],
}


class Options(msgspec.Struct, frozen=True):
    """All that a supervisor is started with."""

    children: tuple[ChildSpec, ...]
    strategy: Strategy
    max_restarts: int
    max_seconds: float
    name: Hashable
    restart_after_fork: bool


class TryAgain(msgspec.Struct, frozen=True, eq=False):
    """A restart has failed. Told to oneself, so that other messages have their turn."""

    child: SupervisedChild
    error: BaseException


def from_anywhere(
    method: Callable[Concatenate[Supervisor, P], T],
) -> Callable[Concatenate[Any, P], T]:
    """Have a method ask the supervisor, when it is called with a ref or a name for `self`."""

    @functools.wraps(method)
    def run_or_ask(target: Target, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if isinstance(target, Supervisor):
            return method(target, *args, **kwargs)
        ref = resolve(target)
        if not issubclass(getattr(ref, "actor_class", object), Supervisor):
            raise TypeError(f"{ref} is no supervisor")
        require_other(method.__name__, ref)
        future: Future[T] = Future()
        ref.tell(SupervisorCall((method, args, kwargs), future))
        return future.get()

    return run_or_ask


class Supervisor(BaseActor):
    """Starts its children in order, starts again what ends, and ends them in reverse order.

    When it ends, for whatever reason, so do they. `which_children` and the methods below it are
    called on the class with a supervisor's ref or name, `Supervisor.which_children(ref)`, or
    through its proxy, `ref.proxy().which_children().get()`. Raised there: `ClientEndedError` when
    it has ended or ends meanwhile, and `TypeError` when it is no supervisor. A child may call them
    in its callbacks, but not in `init`, which its supervisor waits for.
    """

    restart: ClassVar[Restart] = "permanent"
    stop_order: ClassVar[int] = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        text = "a supervisor's class takes none; restart is an attribute in its body"
        require_known(Supervisor, cls, kwargs, text)
        super().__init_subclass__(**kwargs)
        require_restart(cls.__name__, cls.restart)

    @classmethod
    def start(
        cls,
        children: Iterable[Any] = (),
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        name: Hashable | None = None,
        *,
        restart_after_fork: bool = False,
    ) -> ActorRef[Self]:
        """Start a supervisor, and return its `ActorRef` when all its children have started.

        `children` are `ChildSpec`s and `ClientActor` classes, started in this order. When one ends
        that is to be restarted, `strategy` says who begins anew: it alone (`"one_for_one"`), it
        and those behind it (`"rest_for_one"`), or all (`"one_for_all"`). More than `max_restarts`
        within `max_seconds`, failed ones included: the supervisor ends with `"shutdown"`. `name`
        makes it known to `whereis`. With `restart_after_fork` the child of an `os.fork()` starts
        one anew, with the same name and the children that there are by then.

        Raises `ConfigurationError` for a wrong option, `AlreadyStartedError` when a living actor
        has the name, and `StartError` when a child did not start: those before it are ended, the
        reason is `("failed_to_start_child", id, reason)`, and the child's error is its cause.
        """
        if strategy not in get_args(Strategy):
            raise ConfigurationError(
                "strategy", "must be 'one_for_one', 'rest_for_one' or 'one_for_all'"
            )
        Intensity(max_restarts, max_seconds)
        options = Options(
            specs(children), strategy, max_restarts, max_seconds, name, restart_after_fork
        )
        return cls._start_with(options)

    @classmethod
    def _start_with(cls, options: Options) -> ActorRef[Self]:
        started: Future[bool] = Future()
        try:
            ref = super().start(options, started)
        except RuntimeError as error:  # The system has no more threads.
            raise StartError(error) from error
        await_start(ref, started)
        return ref

    def __init__(self, options: Options, started: Future[bool]) -> None:
        super().__init__(options.name)
        self._options = options
        self._started = started
        self._children = [SupervisedChild(spec, self.actor_inbox) for spec in options.children]
        self._intensity = Intensity(options.max_restarts, options.max_seconds)
        self._ended = False
        if options.name is not None:
            register(options.name, self.actor_ref)
        # One that is begun anew begins its supervisors anew, and they are not to do it again.
        covered = current().actor_inbox.begins_anew
        self.actor_inbox.begins_anew = covered or options.restart_after_fork
        self._begins_anew = options.restart_after_fork and not covered

    def _begin_anew(self) -> None:
        """In the child of a fork: start this supervisor again."""
        children = tuple(child.spec for child in self._children)
        type(self)._start_with(msgspec.structs.replace(self._options, children=children))

    # what is asked of it

    @from_anywhere
    def which_children(self) -> list[Child]:
        """Return its children in start order, each a `Child(id, ref, type, client_class)`."""
        return [child.snapshot() for child in self._children]

    @from_anywhere
    def start_child(self, child: Any) -> ActorRef[Any] | None:
        """Add a `ChildSpec`, or a `ClientActor` class, behind the others; return its ref.

        `None` when its `init` returned `Ignore()`. Raises what its start raised, and then it is
        not added; `ConfigurationError` when its id is taken, also by one that does not run.
        """
        spec = spec_of(child)
        if any(other.spec.id == spec.id for other in self._children):
            raise ConfigurationError("id", f"there is a child with the id {spec.id!r} already")
        added = SupervisedChild(spec, self.actor_inbox)
        self._children.append(added)
        try:
            return self._start_or_raise(added)
        except Exception:
            self._drop(added)
            raise

    @from_anywhere
    def terminate_child(self, id: Hashable) -> None:
        """Stop a child, within its `shutdown`; it stays known, unless it is temporary.

        Raises `ConfigurationError` for an unknown `id`.
        """
        self._terminate(self._child(id))

    @from_anywhere
    def restart_child(self, id: Hashable) -> ActorRef[Any] | None:
        """Start a child that does not run; return its ref, or `None` when `init` ignored.

        Raises what its start raised; `AlreadyStartedError` (`.ref`) when it runs;
        `ConfigurationError` for an unknown `id`, and while it is being restarted anyway.
        """
        child = self._child(id)
        if child.ref is not None:
            raise AlreadyStartedError(id, child.ref)
        if child.restarting:
            raise ConfigurationError("id", f"the child {id!r} is being restarted")
        return self._start_or_raise(child)

    @from_anywhere
    def delete_child(self, id: Hashable) -> None:
        """Forget a child that does not run.

        Raises `ConfigurationError` for an unknown `id`, and when it runs or is being restarted.
        """
        child = self._child(id)
        if child.ref is not None or child.restarting:
            raise ConfigurationError("id", f"the child {id!r} runs: terminate it first")
        self._drop(child)

    # Pykka's hooks, in the actor's thread

    def on_start(self) -> None:
        """Start the children; what fails completes `start`."""
        try:
            if (failed := self._start_in_order(tuple(self._children))) is not None:
                child, error = failed
                reason = error.reason if isinstance(error, StartError) else error
                raise StartError(("failed_to_start_child", child.spec.id, reason)) from error
        except BaseException as error:
            reason, raised = error, error
            if isinstance(error, Interrupted):
                reason, raised = self.actor_inbox.stop_reason, self._stopped()
            self._stop_with(reason)
            self._started.fail(raised)
        else:
            if self._begins_anew:
                after_fork(self._begin_anew)
            self._started.set(True)

    def on_receive(self, message: Any) -> Any:
        """Handle the end of a child, or a question; anything else is nobody's."""
        handle = self._handlers.get(type(message))
        if handle is not None:
            handle(self, message)
            return
        problem = not_understood(self, message)
        envelope = self.actor_inbox.envelope
        if isinstance(message, Request):
            message.future.fail(problem)
        elif envelope is not None and envelope.reply_to is not None:
            raise problem
        else:
            logger.warning("%s ignores a message: %s", self, problem)

    def on_stop(self) -> None:
        """A stop from outside: end the children, and then end."""
        self._finish(self.actor_inbox.stop_reason)

    def on_failure(self, *exc_info: Any) -> None:
        """End the children of a supervisor that has crashed."""
        try:
            logger.error("%s has crashed", self, exc_info=exc_info)
        finally:
            self._finish(exc_info[1])

    # the ends of children

    def _down(self, down: Down) -> None:
        """A child has ended, if `down` is not of one that was replaced."""
        child = next((child for child in self._children if child.ref is down.ref), None)
        if child is None or down.ref is None or not down.ref.actor_inbox.ended.done:
            return
        child.is_gone()
        restart, normal = child.spec.restart, is_normal(down.reason)
        if restart == "permanent" or (restart == "transient" and not normal):
            self._restart(child, down.reason)
            return
        if not normal:
            self._say_ended(child, down.reason)
        if restart == "temporary":
            self._drop(child)

    def _try_again(self, again: TryAgain) -> None:
        if again.child.restarting:
            self._restart(again.child, again.error)

    def _restart(self, child: SupervisedChild, reason: Any) -> None:
        """Start `child` again, and whoever has to begin anew with it; or give up."""
        if self.actor_inbox.stopping:
            return  # The request is in the mailbox, and ends them all.
        id, limits = child.spec.id, self._intensity
        if limits.is_exceeded_by(time.monotonic()):
            logger.error(
                "%s gives up: more than %d restarts in %s s; the last child to end was %r: %s",
                *(self, limits.max_restarts, limits.max_seconds, id, shown_reason(reason)),
            )
            self._stop_with("shutdown")
            return
        logger.warning("%s restarts child %r, which ended: %s", self, id, shown_reason(reason))
        affected = AFFECTED[self._options.strategy](self._children, self._children.index(child))
        for other in reversed(affected):
            self._terminate(other)
        failed = self._start_in_order([other for other in affected if other in self._children])
        if failed is not None:
            other, error = failed
            other.restarting = True
            self.actor_inbox.tell(TryAgain(other, error))

    # starting

    def _start_in_order(
        self, children: Sequence[SupervisedChild]
    ) -> tuple[SupervisedChild, BaseException] | None:
        """Start them until one fails; return that one and its error."""
        for child in children:
            error = self._launch(child)
            if error is not None:
                why = shown_reason(error)
                logger.warning("%s: child %r did not start: %s", self, child.spec.id, why)
                return child, error
        return None

    def _launch(self, child: SupervisedChild) -> BaseException | None:
        """Start a child, and forget it if it is temporary and ignores; return its error."""
        error = child.start()
        if error is None and child.ref is None and child.spec.restart == "temporary":
            self._drop(child)
        return error

    def _start_or_raise(self, child: SupervisedChild) -> ActorRef[Any] | None:
        error = self._launch(child)
        if error is None:
            return child.ref
        # A SystemExit is the child's own.
        raise error if isinstance(error, Exception) else StartError(error) from error

    # ending

    def _terminate(self, child: SupervisedChild) -> None:
        """Stop a child with `"shutdown"`, and wait until it has ended, for its `shutdown`."""
        child.restarting = False
        if child.ref is not None:
            id, seconds = child.spec.id, child.spec.shutdown
            down = child.stop(self.on_receive)
            if down is not None and not is_normal(down.reason):
                self._say_ended(child, down.reason)
            elif down is None and seconds:
                logger.error(
                    "%s leaves child %r behind: it has not ended within %s s", self, id, seconds
                )
        if child.spec.restart == "temporary":
            self._drop(child)

    def _stop_with(self, reason: Any) -> None:
        self._end_loop(reason)
        self._finish(reason)

    def _finish(self, reason: Any) -> None:
        """End the children, the last one first."""
        if self._ended:
            return
        self._ended = True
        for child in reversed(tuple(self._children)):
            self._terminate(child)
        self._abandon()
        self.actor_inbox.ended.set(reason)

    def _abandon(self) -> None:
        """Let go of the name, and of a fork's child."""
        forget(self._begin_anew)
        if self._options.name is not None:
            unregister(self._options.name, self.actor_ref, reason_of_end(self.actor_inbox))

    # the rest

    def _child(self, id: Hashable) -> SupervisedChild:
        for child in self._children:
            if child.spec.id == id:
                return child
        raise ConfigurationError("id", f"there is no child with the id {id!r}")

    def _say_ended(self, child: SupervisedChild, reason: Any) -> None:
        logger.warning("%s: child %r ended: %s", self, child.spec.id, shown_reason(reason))

    def _drop(self, child: SupervisedChild) -> None:
        if child in self._children:
            self._children.remove(child)

    @answering
    def _answer_ask(self, ask: SupervisorCall) -> None:
        method, args, kwargs = ask.message
        try:
            ask.future.set(method(self, *args, **kwargs))
        except Interrupted:
            ask.future.fail(self._stopped())
            raise

    @answering
    def _state(self, asked: GetState) -> None:
        limits = self._intensity
        state = SupervisorState(
            children=tuple(child.snapshot() for child in self._children),
            strategy=self._options.strategy,
            max_restarts=limits.max_restarts,
            max_seconds=limits.max_seconds,
            restarts=limits.count(time.monotonic()),
            mailbox=self.actor_inbox.depth,
        )
        asked.future.set(state)

    _handlers: ClassVar[dict[type, Callable[[Any, Any], Any]]] = {
        Down: _down,
        TryAgain: _try_again,
        SupervisorCall: _answer_ask,
        GetState: _state,
    }
