"""What Ray knows of an actor that is lost: where it ran, how its process ended, who else was there.

Asked of Ray's control store (GCS): `ray.util.state` would need the dashboard, which a cluster may lack. The control
store notices a lost node after five health checks, some 15 s, so the node itself is asked as well.
"""

from __future__ import annotations

import socket
from enum import Enum
from typing import Any, Protocol

import ray
from ray._private import state as of_ray
from ray.core.generated import common_pb2, gcs_pb2

_COMMON: Any = common_pb2  # generated: their classes are made when they are imported
_GCS: Any = gcs_pb2
_KNOCK_S = 3.0
_AT_ONCE_MS = 2000


class Node(Enum):
    """From best to worst."""

    THERE = 0
    SILENT = 1  # nobody answers, but Ray has not given it up
    LOST = 2  # dead to Ray, or about to be taken away


class Ended(Enum):
    """How an actor's process did."""

    UNKNOWN = "not that Ray knows"
    CRASHED = "by itself"
    OUT_OF_MEMORY = "by Ray's OOM killer"
    KILLED = "by Ray, for whatever reason, while it was well"
    WITH_NODE = "with its node"


class State(Protocol):
    """What `deaths` asks; ids are hex."""

    def place(self, actor: str) -> str | None:
        """The node that an actor ran on."""

    def node(self, node: str) -> Node:
        """Whether a node is there."""

    def ended(self, actor: str) -> Ended:
        """How its process ended."""

    def shared(self, actor: str) -> bool:
        """Whether other actors of this driver that hold resources were on its node when it ended."""

    def nodes(self) -> frozenset[str]:
        """Those that live."""


_DIED = _COMMON.ActorDiedErrorContext
_ENDED = {
    _DIED.WORKER_DIED: Ended.CRASHED,
    _DIED.NODE_DIED: Ended.WITH_NODE,
    _DIED.OWNER_DIED: Ended.KILLED,
    _DIED.RAY_KILL: Ended.KILLED,
    _DIED.OUT_OF_SCOPE: Ended.KILLED,
    _DIED.REF_DELETED: Ended.KILLED,
}


class RayState:
    """Of the Ray that this process has joined; without one, nothing is known."""

    def place(self, actor: str) -> str | None:
        table = _actor(actor)
        return table.address.node_id.hex() or None if table else None

    def node(self, node: str) -> Node:
        if not ray.is_initialized():
            return Node.THERE
        found = next((entry for entry in ray.nodes() if entry["NodeID"] == node), None)
        if found is None or not found["Alive"] or node in of_ray.state.get_draining_nodes():
            return Node.LOST
        return Node.THERE if _answers(found["NodeManagerAddress"], found["NodeManagerPort"]) else Node.SILENT

    def ended(self, actor: str) -> Ended:
        table = _actor(actor)
        if not table:
            return Ended.UNKNOWN
        cause = table.death_cause
        if cause.HasField("oom_context"):
            return Ended.OUT_OF_MEMORY
        found = _ENDED.get(cause.actor_died_error_context.reason, Ended.UNKNOWN)
        return found if found is Ended.WITH_NODE else _exit(table.address.worker_id) or found

    def shared(self, actor: str) -> bool:
        mine = _actor(actor)
        if not mine:
            return False
        told = _accessor().get_actor_table(ray.JobID(mine.job_id), None)
        others = (_GCS.ActorTableData.FromString(table) for table in told)
        return any(_beside(other, mine) for other in others)

    def nodes(self) -> frozenset[str]:
        if not ray.is_initialized():
            return frozenset()
        return frozenset(entry["NodeID"] for entry in ray.nodes() if entry["Alive"])


def _accessor() -> Any:
    return of_ray.state._connect_and_get_accessor()


def _actor(actor: str) -> Any:
    """The control store's entry of an actor; None: it has none."""
    told = _accessor().get_actor_info(ray.ActorID(bytes.fromhex(actor))) if ray.is_initialized() else None
    return _GCS.ActorTableData.FromString(told) if told else None


def _exit(worker_id: bytes) -> Ended | None:
    """What a node told of a process that has ended there. Tune lets go of an actor that is out of reach, which ends it
    too, but a process that had crashed before is told as such.
    """
    told = _accessor().get_worker_info(ray.WorkerID(worker_id)) if worker_id else None
    worker = _GCS.WorkerTableData.FromString(told) if told else None
    if worker is None or worker.is_alive or worker.exit_type == _COMMON.INTENDED_SYSTEM_EXIT:
        return None
    return Ended.OUT_OF_MEMORY if worker.exit_type == _COMMON.NODE_OUT_OF_MEMORY else Ended.CRASHED


def _beside(other: Any, mine: Any) -> bool:
    """Ray may end several at once, so those count that ended with mine."""
    if other.actor_id == mine.actor_id or other.address.node_id != mine.address.node_id:
        return False
    alive = other.state == _GCS.ActorTableData.ALIVE
    together = other.end_time > max(mine.start_time, mine.end_time - _AT_ONCE_MS)
    return bool(other.required_resources) and (alive or together)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_KNOCK_S).close()
    except OSError:
        return False
    return True
