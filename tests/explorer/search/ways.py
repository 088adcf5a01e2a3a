"""Every way that Ray has of losing an actor or a task, with Ray's own classes, and what Ray is said to know."""

from __future__ import annotations

import pytest
from ray import exceptions as of_ray
from ray._raylet import ActorID, JobID, TaskID
from ray.core.generated.common_pb2 import ActorDiedErrorContext as Context
from ray.core.generated.common_pb2 import ErrorType, NodeDeathInfo

from explorer.search import deaths
from explorer.search.deaths import Death
from explorer.search.ray_state import Ended, Node
from explorer.search.tune_errors import Lost

RAW = ActorID.of(JobID.from_int(1), TaskID.for_driver_task(JobID.from_int(1)), 1).binary()
ACTOR = RAW.hex()
STEPS = 9


class Known:
    """What Ray is said to know; where nothing is said, the node is well and the process unknown."""

    def __init__(self, node=Node.THERE, ended=Ended.UNKNOWN, *, shared=False):
        self._node, self._ended, self._shared = node, ended, shared

    def place(self, actor):
        assert actor == ACTOR
        return "n1"

    def node(self, node):
        assert node == "n1"
        return self._node

    def ended(self, actor):
        return self._ended

    def shared(self, actor):
        return self._shared

    def nodes(self):
        return frozenset({"n1"})


def died(reason=Context.WORKER_DIED, **more):
    """As `_deserialize_actor_died_error` makes it."""
    return of_ray.ActorDiedError(cause=Context(actor_id=RAW, reason=reason, error_message="The actor is dead.", **more))


def unavailable():
    words = "The actor is temporarily unavailable: RpcError: RPC error: Connection refused rpc_code: 14"
    return of_ray.ActorUnavailableError(words, RAW)


def raised(error):
    """As a task or an actor's method that raises it gives it to `ray.get`."""
    return of_ray.RayTaskError("train", "Traceback\nOSError: disk on fire", error, "p", 1, "127.0.0.1")


def in_constructor(error):
    return of_ray.ActorDiedError.from_task_error(
        of_ray.RayTaskError("__init__", "Traceback", error, "p", 1, "127.0.0.1", actor_repr="A", actor_id=ACTOR)
    )


def lost(kind=of_ray.ObjectLostError):
    return kind("0f", b"", "")


NODES = {
    "an actor's node died": (died(Context.NODE_DIED), Known(Node.LOST, Ended.WITH_NODE)),
    "the actor's end is known before the node's": (
        died(Context.NODE_DIED),
        Known(ended=Ended.WITH_NODE),
    ),
    "preempted": (died(node_death_info=NodeDeathInfo(reason=NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)), Known()),
    "out of reach, and the node is dead": (unavailable(), Known(Node.LOST)),
    "the worker crashed together with its raylet": (died(), Known(Node.LOST, Ended.CRASHED)),
    "a task's node died": (of_ray.NodeDiedError("Task failed because its node is dead."), Known()),
    "the raylet of a task died": (of_ray.LocalRayletDiedError(), Known()),
    "a task's worker crashed with one of the nodes": (of_ray.WorkerCrashedError(), Known(Node.LOST)),
    "in an actor's constructor": (in_constructor(of_ray.NodeDiedError("dead")), Known()),
    "of an actor that the trial waits for": (raised(unavailable()).as_instanceof_cause(), Known(Node.LOST)),
    "killed for want of memory on a node that then died": (of_ray.OutOfMemoryError("low"), Known(Node.LOST)),
}
NOBODYS = {
    "out of reach, the node is well": (unavailable(), Known()),
    "out of reach, and so is the node": (unavailable(), Known(Node.SILENT)),
    "out of reach, and Tune has let go of it since": (unavailable(), Known(ended=Ended.KILLED)),
    "died, and its node does not answer": (died(), Known(Node.SILENT, Ended.CRASHED)),
    "its owner died": (died(Context.OWNER_DIED), Known(ended=Ended.KILLED)),
    "killed by ray.kill": (died(Context.RAY_KILL), Known(ended=Ended.KILLED)),
    "an object is lost": (lost(), Known()),
    "an object's owner died": (lost(of_ray.OwnerDiedError), Known()),
    "an object is freed": (lost(of_ray.ObjectFreedError), Known()),
    "an object is deleted": (lost(of_ray.ReferenceCountingAssertionError), Known()),
    "an object cannot be fetched": (lost(of_ray.ObjectFetchTimedOutError), Known()),
    "an object cannot be made again": (
        of_ray.ObjectReconstructionFailedError(
            "0f", reason=ErrorType.OBJECT_UNRECONSTRUCTABLE_PUT, owner_address=b"", call_site=""
        ),
        Known(),
    ),
    "an object that the trial reads is lost": (raised(lost(of_ray.OwnerDiedError)).as_instanceof_cause(), Known()),
    "an object that a constructor reads is lost": (in_constructor(lost()), Known()),
    "the object store is full": (of_ray.ObjectStoreFullError(), Known()),
    "the disk of the object store is full": (of_ray.OutOfDiskError(), Known()),
    "the placement group is gone": (of_ray.ActorPlacementGroupRemoved(), Known()),
    "the node that it must run on is gone": (of_ray.ActorUnschedulableError("no node"), Known()),
    "the environment cannot be set up": (of_ray.RuntimeEnvSetupError("pip"), Known()),
    "Ray's OOM killer, beside others": (Lost(of_ray.OutOfMemoryError("low"), ACTOR), Known(shared=True)),
    "Ray's OOM killer, beside others, told as a death": (died(), Known(ended=Ended.OUT_OF_MEMORY, shared=True)),
}
OWN = {
    "its process crashed": (died(), Known(ended=Ended.CRASHED)),
    "out of reach, for its process crashed": (unavailable(), Known(ended=Ended.CRASHED)),
    "its code raised": (raised(OSError("disk on fire")).as_instanceof_cause(), Known()),
    "its code raised, and the node is dead too": (raised(OSError("disk on fire")), Known(Node.LOST)),
    "its code raised what reads like a lost node": (
        raised(OSError("The actor died because its node has died.")),
        Known(),
    ),
    "its constructor raised": (in_constructor(ValueError("no such module")), Known(ended=Ended.CRASHED)),
    "it raised what this process cannot read": (Lost(of_ray.UnserializableException("Traceback"), ACTOR), Known()),
    "Ray's OOM killer, alone": (Lost(of_ray.OutOfMemoryError("low"), ACTOR), Known()),
    "Ray's OOM killer, alone, told as a death": (died(), Known(ended=Ended.OUT_OF_MEMORY)),
    "out of memory in torch": (raised(MemoryError()), Known()),
    "a task's worker crashed": (of_ray.WorkerCrashedError(), Known()),
}


def parametrised(table):
    return pytest.mark.parametrize(("error", "known"), table.values(), ids=table.keys())


def of_task(error):
    return Death(error, frozenset({"n1"}))


class Clock:
    """Time passes by sleeping only."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(deaths.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(deaths.time, "sleep", self._sleep)

    def _sleep(self, seconds):
        self.now += seconds


class Changing(Known):
    """A node whose state depends on the time."""

    def __init__(self, clock, node, ended=Ended.UNKNOWN):
        super().__init__(ended=ended)
        self._clock, self._when = clock, node

    def node(self, node):
        return self._when(self._clock.now)
