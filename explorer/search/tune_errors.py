"""Every error of Ray in a shape that Tune can take, and what Tune kept of it.

Tune falls over a trial's task that ends with an error which is neither a RayTaskError nor a RayActorError, and the
sweep with it: so Ray's OOM killer ends a sweep, and so does an exception that this process cannot read (ray 2.60,
`RayActorManager._actor_task_failed`). Of an actor that does not start, it keeps the class of those two only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.execution import tune_controller as controller
from ray.tune.experiment import Trial

from explorer.search.deaths import UNTOLD, Death


class Lost(RayActorError):
    """An actor is gone, and this error says why."""

    def __init__(self, cause: BaseException, actor_id: str | None) -> None:
        super().__init__(actor_id or "", str(cause) or type(cause).__name__)
        self.args = (cause, actor_id)


class _Manager(RayActorManager):
    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, self._told(tracked_actor_task._tracked_actor, exception))

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, self._told(tracked_actor, exception))

    def _told(self, tracked_actor: Any, exception: Exception) -> Exception:
        if isinstance(exception, RayTaskError | RayActorError):
            return exception
        actor: Any
        actor, _ = self._live_actors_to_ray_actors_resources.get(tracked_actor, (None, None))
        return Lost(exception, actor._actor_id.hex() if actor else None)


@contextmanager
def every_error_taken() -> Iterator[None]:
    """Within it, Tune takes any error of a trial's actor for a failure of that trial alone."""
    module: Any = controller
    before = module.RayActorManager
    module.RayActorManager = _Manager  # the controller makes its own and cannot be given one
    try:
        yield
    finally:
        module.RayActorManager = before


def death_of(trial: Trial) -> Death:
    """Why Tune gives a trial up.

    The file is not foreign: this very process wrote it a moment ago, from an exception that it holds.
    """
    if (path := trial.pickled_error_file) and Path(path).exists():
        with suppress(Exception):  # a class of the user's, whose constructor may ask for anything
            return Death(cloudpickle.loads(Path(path).read_bytes()))
    path = trial.error_file
    lines = Path(path).read_text(encoding="utf-8").strip().splitlines() if path and Path(path).exists() else []
    return Death(RuntimeError(lines[-1])) if lines else UNTOLD
