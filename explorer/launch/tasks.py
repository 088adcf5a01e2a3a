"""Work of ours that is no trial, such as a teacher's training: tasks of Ray, again where they were lost.

Ray's own retries (`max_retries`) count a lost node like a crash and end after three; here `deaths.py` judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from explorer.search import deaths
from explorer.search.deaths import Death, Fault
from explorer.search.ray_state import RayState, State
from trainables.errors import HeteroakdError, Interrupted, StudyError


@dataclass
class _Task:
    """Attributes:
    died: how often, and by whose fault.
    nodes: that lived when it was last sent.
    """

    name: Any
    arguments: dict[str, Any]
    died: dict[Fault, int]
    nodes: frozenset[str] = frozenset()


def results(
    function: Callable[..., Any],
    calls: Iterable[tuple[Any, dict[str, Any]]],
    *,
    resources: dict[str, float],
    slots: int,
    max_failures: int,
    what: str,
    state: State | None = None,
) -> Iterator[tuple[Any, Any]]:
    """What a function gives to each call, in the order in which they finish.

    Args:
        calls: names and keyword arguments; the next one is taken when there is room for it.
        resources: of each: cpu, gpu.
        slots: at a time.
        max_failures: restarts of a call whose process crashes; one that is lost otherwise is not counted.
        what: a call is, in a sentence.
        state: what Ray knows of its nodes; none: that of the Ray that this process has joined.

    Raises:
        HeteroakdError: as the function does, without Ray's traceback.
        StudyError: a call's process crashes again and again.
        Interrupted: it is lost again and again by no fault of its own, or meets an OSError, such as a folder that it
            may not write.
    """
    state = state or RayState()
    task: Any = ray.remote(num_cpus=resources["cpu"], num_gpus=resources["gpu"], max_retries=0)(function)
    waiting: dict[Any, _Task] = {}

    def send(call: _Task) -> None:
        call.nodes = state.nodes()
        waiting[task.remote(**call.arguments)] = call

    calls = iter(calls)
    while True:
        while len(waiting) < slots and (following := next(calls, None)):
            send(_Task(*following, died={}))
        if not waiting:
            return
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        call = waiting.pop(done)
        try:
            found = ray.get(done)
        except RayError as error:
            _failed(call, error, state, max_failures, what)
            send(call)
        else:
            yield call.name, found


def of_system(error: RayTaskError) -> str | None:
    """What the system refused to code in a task, such as a folder that it may not write; None: something else."""
    cause = error.cause
    if not isinstance(cause, OSError) or isinstance(cause, RayError):  # some of Ray's own are OSErrors too
        return None
    about = f" ({cause.filename})" if cause.filename is not None else ""
    return f"{cause.strerror or cause}{about}".rstrip(".")


def _failed(call: _Task, error: RayError, state: State, max_failures: int, what: str) -> None:
    """Raises unless it is to be sent again."""
    if isinstance(error, RayTaskError):
        if isinstance(error.cause, HeteroakdError):
            raise error.cause from None
        if (reason := of_system(error)) is not None:
            raise Interrupted(f"The work on {what} {call.name} failed: {reason}. Mend that, then resume.") from None
        if not isinstance(error.cause, RayError):
            raise error
    death = Death(error, call.nodes)
    fault = deaths.settle(death, state)
    count = call.died[fault] = call.died.get(fault, 0) + 1
    said = f"The process of {what} {call.name} died {count} times ({death.reason.rstrip('.')})."
    if fault is Fault.TRIAL and count > max_failures:
        raise StudyError(f"{said} Give it more memory, look at Ray's logs, or raise max_failures.") from None
    if fault is Fault.NOBODY and count > deaths.MOST:
        raise Interrupted(f"{said} Look at Ray and its machines, then resume.") from None
