"""The door to Ray: everything that is asked of it, private parts included, and its errors as ours.

Ray is imported when it is used, and never initialised here.
"""

from __future__ import annotations

import importlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from slipstream_actor.actors.forks import ForkedError, reset_in_child
from slipstream_actor.contrib.ray.errors import RayNotInitializedError, StoreUnavailableError

__all__ = [
    "Gone",
    "actor_of",
    "bound",
    "create_actor",
    "described",
    "dumps",
    "end_actor",
    "end_this_actor",
    "is_failure",
    "kv_client",
    "loads",
    "next_of",
    "node_id",
    "require_ray",
    "restart_actor",
    "rpc_errors",
    "start_time",
    "stream",
    "tell",
    "value_of",
    "when_done",
    "within",
]

T = TypeVar("T")

# Of the actors, whatever the namespace of the application is.
NAMESPACE = "slipstream_actor"
# The concurrency groups of a shard, and how many threads each has.
GROUPS = {"batches": 8, "streams": 256, "control": 8}

# What of Ray a fork has copied: it is the parent's, and hangs here.
_inherited: Any = None


class Gone(Exception):
    """The actor has ended, or cannot be reached; `for_good` when Ray does not start it again."""

    def __init__(self, reason: BaseException, *, for_good: bool) -> None:
        super().__init__(str(reason).partition("\n")[0])
        self.for_good = for_good


def require_ray() -> Any:
    """Return the module, if it is initialised in this process. Raises `RayNotInitializedError`,
    and `ForkedError` where a fork has copied what the parent had initialised."""
    import ray

    core = getattr(ray._private.worker.global_worker, "core_worker", None)
    if _inherited is not None and core is _inherited:
        raise ForkedError(
            "Ray, which was initialised before this process was forked, and hangs in it, also in"
            " ray.shutdown(): call ray.init() after the fork, in each process for itself"
            " (in gunicorn: not with --preload, or in post_fork). What Ray had initialised"
        )
    if not ray.is_initialized():
        raise RayNotInitializedError(
            'Ray is not initialised in this process: call ray.init(address="auto") for the cluster'
            ' that runs here ("ray start --head" starts one), ray.init(address="HOST:6379") for'
            ' another one, or ray.init(address="local") for one of this process alone'
        )
    if core is None:
        raise RayNotInitializedError(
            "Ray is initialised as a client (ray://), which has neither its store nor its streams:"
            " have this process on a node of the cluster"
        )
    return ray


def _note_inherited() -> None:
    """A child has a copy of its parent's Ray, none of whose threads is there."""
    global _inherited  # noqa: PLW0603 - one fact of the process
    worker: Any = sys.modules.get("ray._private.worker")
    _inherited = getattr(getattr(worker, "global_worker", None), "core_worker", None)


reset_in_child(_note_inherited)


def start_time(pid: int) -> float | None:
    """Return when a process was started, in the system's own unit; `None` if it is gone.

    A zombie is gone: it only waits for its parent.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return None
        return _start_time_elsewhere(pid)
    except (OSError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else float(fields[19])


def _start_time_elsewhere(pid: int) -> float | None:
    # Ray's own dependency, where there is no /proc.
    psutil: Any = importlib.import_module("psutil")

    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return None if gone else float(process.create_time())
    except psutil.Error:
        return None


# actors


def create_actor(actor_class: type, name: str, *arguments: Any) -> Any:
    """Return the actor of that name, made if there is none: on any node, again after its end."""
    ray = require_ray()
    remote = ray.remote(concurrency_groups=GROUPS)(actor_class)
    options = {
        "name": name,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "max_task_retries": 0,
        "num_cpus": 0,
        "max_concurrency": 4,
    }
    return remote.options(**options).remote(*arguments)


def actor_of(name: str) -> Any:
    """Return the actor of that name, or `None`."""
    ray = require_ray()
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def end_actor(actor: Any) -> None:
    """Have an actor end, for good."""
    require_ray().kill(actor, no_restart=True)


def restart_actor(actor: Any) -> None:
    """Have an actor's process end, and started again: also one that hangs."""
    require_ray().kill(actor, no_restart=False)


def end_this_actor() -> None:
    """End the actor that this process is, for good."""
    ray = require_ray()
    ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def node_id() -> str:
    """Return the id of the node that this process runs on."""
    return str(require_ray().get_runtime_context().get_node_id())


def bound(actor: Any, method: str, group: str) -> Any:
    """Return a function that calls a method of an actor in one of its groups, and returns the
    reference of the result."""
    call = getattr(actor, method).options(concurrency_group=group).remote

    return partial(_submit, call)


def _submit(call: Any, *arguments: Any) -> Any:
    """Call a method of an actor. Raises `Gone` for one of a cluster that this process has left."""
    require_ray()  # It would initialise itself.
    try:
        return call(*arguments)
    except Exception as error:
        if "Can't find actor" in str(error):
            raise Gone(error, for_good=True) from None
        raise


def tell(actor: Any, method: str, group: str, *arguments: Any) -> Any:
    """Call a method of an actor in one of its groups; return the reference of the result."""
    return bound(actor, method, group)(*arguments)


def value_of(reference: Any, timeout: float | None) -> Any:
    """Return the result of a call. Raises `Gone`, `TimeoutError`, and what the method raised."""
    ray = require_ray()
    try:
        return ray.get(reference, timeout=timeout)
    except ray.exceptions.GetTimeoutError as error:
        raise TimeoutError(str(error)) from None
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        raise _gone(error) from error


def when_done(reference: Any, function: Callable[[Any], object]) -> None:
    """Call `function` with the result of a call, or with the exception, in a thread of Ray's."""

    def done(value: Any) -> None:
        let_go(held)
        function(value)

    # Ray ends the process where a big result comes after its reference is gone.
    held = [reference]
    reference._on_completed(done)


# References of Ray that were there when it was shut down, kept for good: between that and its end
# it ends the process in which one is dropped.
_left: list[Any] = []


def let_go(held: list[Any]) -> None:
    """Drop references of Ray, or keep them when it is being shut down."""
    worker: Any = sys.modules.get("ray._private.worker")
    if worker is None or not worker.global_worker.connected:
        _left.extend(held)
    held.clear()


def is_failure(value: Any) -> bool:
    """Whether what `when_done` was told is an exception."""
    return isinstance(value, BaseException)


def stream(actor: Any, method: str, ahead: int, *arguments: Any) -> Any:
    """Call a method that yields; at most `ahead` of what it yields wait for `next_of`."""
    options = {
        "concurrency_group": "streams",
        "num_returns": "streaming",
        "_generator_backpressure_num_objects": ahead,
    }
    return Stream(_submit(getattr(actor, method).options(**options).remote, *arguments))


class Stream:
    """What a method yields, waited for outside of Ray: it ends the process in which somebody waits
    within it while it is shut down."""

    def __init__(self, generator: Any) -> None:
        self._held = [generator]
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._asked = False

    def outcome(self, timeout: float) -> Any:
        """Return the next value, or an exception; raises `queue.Empty`."""
        if not self._asked:
            generator = self._held[0]
            reference, _ = generator.worker.core_worker.peek_object_ref_stream(
                generator._generator_ref
            )
            when_done(reference, self._told.put)
            self._asked = True
        outcome = self._told.get(timeout=timeout)
        self._asked = False
        return outcome

    def step(self) -> Any:
        """Return the reference of what the outcome is of; raises `StopIteration`."""
        return self._held[0]._next_sync(timeout_s=0.0)

    def __del__(self) -> None:
        let_go(self._held)


def next_of(stream: Stream, timeout: float) -> Any:
    """Return what is yielded next, `None` when nothing is within `timeout` seconds.

    Raises `StopIteration` at its end, `Gone`, and what the method raised.
    """
    require_ray()
    try:
        outcome = stream.outcome(timeout)
    except queue.Empty:
        return None
    ray = require_ray()
    try:
        reference = stream.step()
    except ray.exceptions.RayError as error:
        raise _gone(error) from error
    if reference.is_nil():
        return None  # It has ended, and why is still to come.
    return value_of(reference, None) if is_failure(outcome) else outcome


def _gone(error: Any) -> Gone:
    exceptions = require_ray().exceptions
    unavailable = isinstance(error, exceptions.ActorUnavailableError)
    return Gone(error, for_good=isinstance(error, exceptions.ActorDiedError) and not unavailable)


def described(error: Any) -> str:
    """Return the first line of what Ray says of a failure."""
    return str(error).partition("\n")[0]


def dumps(value: Any) -> bytes:
    """Return what another process makes the same value of; classes and functions by their names
    where they can be imported. Raises what pickling raises."""
    from ray import cloudpickle

    return bytes(cloudpickle.dumps(value))


def loads(data: bytes) -> Any:
    """Return what `dumps` was given."""
    from ray import cloudpickle

    return cloudpickle.loads(data)


# the head


def kv_client() -> Any:
    """Return the client of the head's key-value store, which Ray keeps to itself."""
    require_ray()
    from ray.experimental import internal_kv

    return internal_kv.internal_kv_get_gcs_client()


class Worker:
    """A thread that runs what may hang, one after the other."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        threading.Thread(
            target=self._run, name="slipstream_actor shards' store", daemon=True
        ).start()

    def _run(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()


# Threads that hang at most, and wait for Ray.
MOST_HANGING = 32

_idle: list[Worker] = []
_busy = threading.BoundedSemaphore(MOST_HANGING)


def _forget_workers() -> None:
    global _busy  # noqa: PLW0603 - who was to release it is the parent's
    _idle.clear()
    _busy = threading.BoundedSemaphore(MOST_HANGING)


reset_in_child(_forget_workers)


def _worker() -> Worker:
    try:
        return _idle.pop()
    except IndexError:
        return Worker()


def within(seconds: float, function: Callable[[], T], what: str) -> T:
    """Return what `function` returns, or raises, within so many seconds; it runs in a thread that
    is left behind when it hangs. Raises `StoreUnavailableError`."""
    deadline = time.monotonic() + seconds
    failure = StoreUnavailableError(f"{what}: Ray's head has not answered for {seconds} s")
    busy = _busy
    if not busy.acquire(timeout=seconds):
        raise failure
    done = threading.Event()
    outcome: list[Any] = [None, None]
    worker = _worker()

    def job() -> None:
        try:
            outcome[0] = function()
        except BaseException as error:
            outcome[1] = error
        done.set()
        busy.release()
        # Also behind a late answer: it hangs no more.
        if len(_idle) < 4:
            _idle.append(worker)
        else:
            worker.jobs.put(None)

    worker.jobs.put(job)
    if not done.wait(max(0.0, deadline - time.monotonic())):
        raise failure
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]  # type: ignore[no-any-return]


def rpc_errors() -> tuple[type[BaseException], ...]:
    """Return what the head's client raises when the head cannot be reached."""
    ray = require_ray()
    found = (getattr(ray.exceptions, name, None) for name in ("RpcError", "RaySystemError"))
    return tuple(kind for kind in found if kind is not None)
