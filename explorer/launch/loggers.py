"""Logging to MLflow, TensorBoard, W&B and a user's hook: one run, or folder, for each trial of ours.

What Tune calls a trial may be the host of many, and is another one after each resume. So Tune's logger callbacks are
driven here, with stand-ins for our trials, from what the storage says: a value is logged when it is recorded, a trial
ends as it was told. What a log lacks, because a driver died or because logging was switched on later, is caught up
with. A log that fails does no harm to the sweep.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune import Callback

from explorer.launch import hooks
from explorer.launch.loggers_backends import Log, MlflowLog, StandIn, TensorboardLog, first_line, quiet, reach_mlflow
from explorer.launch.loggers_wandb import WandbLog, reach_wandb
from explorer.search.arms import Arm, trial_directory
from explorer.search.compute import own_step
from explorer.search.plan import Role
from explorer.storage import storages, urls
from explorer.study import StudySpec
from trainables.errors import StudyError

_EVERY_S = 1.0
_LONGEST = 500  # characters of a parameter or a reason
_NUMBERS = ("miou", "miou_low", "miou_high", "peer_miou", "lr", "seconds", "teacher_hits")
_NESTED = ("terms", "grad_shares")
_ABOUT = ("pair", "teacher", "student", "method", "seed", "budget", "steps")


class TrialLogs(Callback):
    """Follows the storage into the logs, and adds what only a result tells: loss terms, learning rate, seconds."""

    def __init__(
        self, arms: Mapping[Role, Arm], logs: Sequence[Log], *, folder: Path, say: Callable[[str], None]
    ) -> None:
        """Args:
        folder: for a folder a trial.
        say: told when a log fails.
        """
        self._arms = arms
        self._logs = list(logs)
        self._folder = folder
        self._say = say
        self._synced = -math.inf
        self._results: dict[tuple[str, int], dict[str, float]] = {}
        self._steps: dict[tuple[str, str], int | None] = {}  # by log and trial, the last step there; None: it is over

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        name = Path(result.get("member") or trial.config["directory"]).name
        self._results[name, int(result["step"])] = _metrics(result)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._synced >= _EVERY_S:
            self.sync()

    def sync(self) -> None:
        """Bring the logs to what the storage says."""
        with suppress(*storages.failures()):  # the bridge meets it too, and says so
            known = [(role, trial) for role, arm in self._arms.items() for trial in arm.trials()]
            for log in list(self._logs):
                self._unless_it_fails(log, partial(self._catch_up, log, known))
            self._results.clear()  # each value was in the storage before its result came here
        self._synced = time.monotonic()

    def close(self) -> None:
        self.sync()
        whole = False
        with suppress(*storages.failures()):
            whole = "search" in self._arms and not any(arm.num_open() for arm in self._arms.values())
        for log in list(self._logs):
            self._unless_it_fails(log, partial(log.close, whole=whole))

    def __getstate__(self) -> dict[str, object]:
        """Tune pickles its callbacks; that copy is never used."""
        return {}

    def _unless_it_fails(self, log: Log, act: Callable[[], None]) -> None:
        try:
            with quiet():
                act()
        except Exception as error:  # whatever it is: the storage holds the truth, and a log is no reason to stop
            self._logs.remove(log)
            self._say(f"{log.name} takes no more: {first_line(error)}. The sweep goes on; a resume catches up.")

    def _catch_up(self, log: Log, known: list[tuple[Role, FrozenTrial]]) -> None:
        for role, trial in known:
            name = Path(trial_directory(role, trial.number)).name
            last = self._steps.get((log.name, name), 0)
            if last is not None and "config" in trial.user_attrs:
                self._steps[log.name, name] = self._follow(log, name, trial)

    def _follow(self, log: Log, name: str, trial: FrozenTrial) -> int | None:
        """Returns:
        The last step that is logged; None: the trial is over.
        """
        stand_in = StandIn(name, _params(trial), self._folder / name)
        key = log.name, name
        last = self._steps[key] if key in self._steps else log.begin(stand_in)
        if last is None:
            return None
        for shared, value in sorted(trial.intermediate_values.items()):
            step = own_step(trial.user_attrs, shared)
            if step > last and math.isfinite(value):
                log.add(stand_in, step, {**self._results.get((name, step), {}), "miou": value})
                last = step
        if trial.state.is_finished():
            log.end(stand_in, trial.state, _shown(trial.user_attrs.get("reason", "")))
            return None
        return last


@contextmanager
def logs(
    spec: StudySpec, arms: Mapping[Role, Arm], directory: Path, *, say: Callable[[str], None]
) -> Iterator[list[Callback]]:
    """Tune's callbacks for the logs that a study asks for; a last sync at the end.

    Raises:
        StudyError: see `reach`.
    """
    wanted: list[Log] = []
    if spec.mlflow is not None:
        wanted.append(MlflowLog(_located(spec.mlflow), experiment=spec.name, owner=str(spec.owner)))
    if spec.tensorboard:
        wanted.append(TensorboardLog())
    if spec.wandb is not None:
        wanted.append(WandbLog(spec.wandb, study=spec.name, owner=str(spec.owner), directory=directory))
    if spec.hook is not None:
        wanted.append(hooks.HookLog(spec.hook, directory, say=say))
    if not wanted:
        yield []
        return
    found = TrialLogs(arms, wanted, folder=directory / "tensorboard", say=say)
    try:
        yield [found]
    finally:
        found.close()


def reach(spec: StudySpec) -> None:
    """Ask the MLflow server once, look for a W&B login, and load the hook, before anything long is begun.

    Raises:
        StudyError: MLflow's variable is not set or no server answers; no W&B login here; no such hook.
        MissingExtra: MLflow or W&B is not installed.
    """
    if spec.mlflow is not None:
        reach_mlflow(_located(spec.mlflow))
    if spec.wandb is not None:
        reach_wandb(spec.wandb)
    if spec.hook is not None:
        hooks.load(spec.hook)


def absolute(uri: str) -> str:
    """A tracking URI that means the same from any folder: files by their whole path."""
    plain = ":" not in uri and not uri.startswith("databricks")
    return Path(uri).expanduser().resolve().as_uri() if plain else urls.absolute(uri)


def _located(uri: str) -> str:
    """Looked up in the environment where the spec says so.

    Raises:
        StudyError: the variable is not set.
    """
    variable = uri.removeprefix("env:")
    if variable == uri:
        return uri
    if not os.environ.get(variable):
        raise StudyError(f"mlflow is {uri!r}, but {variable} is not set here. Set it to the tracking URI.")
    return os.environ[variable]


def _metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a result, with loss terms as `terms/NAME`."""
    nested = {f"{group}/{name}": value for group in _NESTED for name, value in (result.get(group) or {}).items()}
    found = {**{name: result.get(name) for name in _NUMBERS}, **nested}
    return {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}


def _params(trial: FrozenTrial) -> dict[str, Any]:
    """The dimensions as they were drawn, and what else tells trials apart."""
    about = {name: trial.user_attrs[name] for name in _ABOUT if name in trial.user_attrs}
    return {name: _shown(value) for name, value in {**about, **trial.params}.items()}


def _shown(value: Any) -> Any:
    return value[:_LONGEST] if isinstance(value, str) else value
