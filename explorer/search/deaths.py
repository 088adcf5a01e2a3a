"""Whose fault a death is: the trial's own, its node's, or nobody's that Ray can name.

Judged by the class of Ray's error, by the cause that it carries, and by what Ray knows of the node and the process
(`ray_state.py`); never by a sentence, which changes with Ray's version and with who notices the loss first.

    the trial's own    an exception of its code; a process that crashed on a node that lives; Ray's OOM killer, where
                       the trial had the node for itself. A trial that dies so again and again must end.
    its node's         the node is dead, preempted or drained. Says nothing about the trial: try again, without end.
    nobody's           all other losses: an actor out of reach whose process did not crash, a lost object, an owner that
                       is gone, a full object store, Ray's OOM killer where trials shared the node. Says nothing about
                       the trial either, but nothing proves that it will pass: after `MOST` in a row without a step of
                       progress the sweep is interrupted, and no trial is called a failure.

The kernel's OOM killer cannot be told from a crash: to Ray it is a process that ended by itself.
"""

from __future__ import annotations

import time
from enum import Enum
from typing import Any, NamedTuple

from ray import exceptions as of_ray

from explorer.search.ray_state import Ended, Node, State

MOST = 5  # losses of nobody's fault, in a row and without a step of progress
PATIENCE_S = 30.0  # until Ray's health checks have found out about any node (5 in a row that fail, 3 s apart)
_STEADY_S = 2.0  # a node that answers for so long after a death did not die with the process
_PAUSE_S = 0.2


class Fault(Enum):
    """Whose it is."""

    TRIAL = "the trial's"
    NODE = "the node's"
    NOBODY = "nobody's"


class Death(NamedTuple):
    """Attributes:
    error: what Ray, or the code that ran, raised.
    nodes: hex ids of the nodes that were there when it began, for a task, whose place Ray does not tell.
    """

    error: BaseException
    nodes: frozenset[str] = frozenset()

    @property
    def reason(self) -> str:
        """The error in one line."""
        lines = str(self.error).strip().splitlines() or [type(self.error).__name__]
        first = isinstance(_chain(self.error)[-1], of_ray.OutOfMemoryError)  # goes on with the memory of every process
        return lines[0 if first else -1].strip()


UNTOLD = Death(RuntimeError("the worker died"))

_PROCESSES = (of_ray.RayActorError, of_ray.WorkerCrashedError, of_ray.OutOfMemoryError)
_NODES = (of_ray.NodeDiedError, of_ray.LocalRayletDiedError)
_NOBODYS = (
    of_ray.ObjectLostError,  # its kinds too: the owner died, freed, fetch timed out, cannot be reconstructed
    of_ray.ObjectStoreFullError,
    of_ray.OutOfDiskError,
    of_ray.ActorPlacementGroupRemoved,
    of_ray.TaskPlacementGroupRemoved,
    of_ray.ActorUnschedulableError,
    of_ray.TaskUnschedulableError,
    of_ray.RuntimeEnvSetupError,
    of_ray.TaskCancelledError,
    of_ray.RaySystemError,
    of_ray.RpcError,
)


def judge(death: Death, state: State) -> Fault:
    """Whose fault a death is, as far as Ray knows now; `settle` where that decides over a trial."""
    error = _chain(death.error)[-1]
    if isinstance(error, _NODES) or (isinstance(error, of_ray.RayActorError) and error.preempted):
        return Fault.NODE
    if not isinstance(error, _PROCESSES):
        return Fault.NOBODY if isinstance(error, _NOBODYS) else Fault.TRIAL
    there = _node(death, state)
    if there is Node.THERE:
        return _of_process(error, _actor(death), state)
    return Fault.NODE if there is Node.LOST else Fault.NOBODY


def settle(death: Death, state: State) -> Fault:
    """As `judge`, but gives Ray the time to notice that the node is lost too, at most `PATIENCE_S`.

    A process that is killed with its machine may be reported before the machine is, or be out of reach for want of
    one. A node that answers is waited for `_STEADY_S` only.
    """
    began = time.monotonic()
    while True:
        fault, waited_s = judge(death, state), time.monotonic() - began
        if fault is Fault.NODE or waited_s >= _enough_s(death, state):
            return fault
        time.sleep(_PAUSE_S)


def out_of_memory(death: Death, state: State) -> bool:
    """Ray's OOM killer, Python's MemoryError, or torch's OutOfMemoryError (known by its name: no torch here)."""
    error, actor = _chain(death.error)[-1], _actor(death)
    if isinstance(error, of_ray.RayActorError):
        return actor is not None and state.ended(actor) is Ended.OUT_OF_MEMORY
    return any(kind is MemoryError or kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what it was made of, down to what was raised first: the cause in a task's error, in that of an
    actor whose constructor failed, and in one that Tune was told in another's place (`tune_errors.Lost`).
    """
    inner: Any = None
    if isinstance(error, of_ray.RayTaskError):
        inner = error.cause
    elif isinstance(error, of_ray.RayActorError):
        inner = next(iter(error.args), None)
    return [error, *_chain(inner)] if isinstance(inner, BaseException) else [error]


def _actor(death: Death) -> str | None:
    """The id that is named last on the way down."""
    ids = [getattr(error, "actor_id", None) for error in _chain(death.error)]
    return next((found for found in reversed(ids) if found), None)


def _node(death: Death, state: State) -> Node:
    """The state of the node that it ran on; of a task, that of the worst one that it may have run on."""
    actor = _actor(death)
    place = state.place(actor) if actor else None
    nodes = [place] if place else sorted(death.nodes)
    return max((state.node(node) for node in nodes), default=Node.THERE, key=lambda found: found.value)


def _of_process(error: BaseException, actor: str | None, state: State) -> Fault:
    """The node is there."""
    ended = state.ended(actor) if actor else Ended.UNKNOWN
    if ended is Ended.OUT_OF_MEMORY or isinstance(error, of_ray.OutOfMemoryError):
        return Fault.NOBODY if actor and state.shared(actor) else Fault.TRIAL
    if ended is Ended.UNKNOWN and isinstance(error, of_ray.ActorUnavailableError):
        return Fault.NOBODY
    return {Ended.WITH_NODE: Fault.NODE, Ended.KILLED: Fault.NOBODY}.get(ended, Fault.TRIAL)


def _enough_s(death: Death, state: State) -> float:
    """How long after a death Ray may yet find out more; of the code's own exceptions there is no more to know."""
    if not isinstance(_chain(death.error)[-1], _PROCESSES):
        return 0.0
    return PATIENCE_S if _node(death, state) is Node.SILENT else _STEADY_S
