"""Weights & Biases: a run a trial, online or, with WANDB_MODE=offline, in files that `wandb sync` sends later.

Deviation from the other logs: Ray Tune's own callback starts a process a trial and cannot go on with a run. W&B's own
client takes any number of runs in one process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from explorer.launch.loggers_backends import StandIn, first_line, quiet
from explorer.launch.told import Told
from trainables.errors import StudyError
from trainables.extras import need

FOLDER = "wandb"
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
_SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_job_creation": True,
    "finish_timeout": 30.0,  # seconds that a network which is gone may hold the sweep
    "init_timeout": 20.0,
    "save_code": False,
    "x_disable_machine_info": True,  # of the driver, which trains nothing
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class WandbLog:
    """Its tag and `state` in the summary say how a trial ended; a failed one's exit code is 1. A trial that is not over
    when the driver ends is preempted, and goes on in its run under the next one.
    """

    name = "W&B"

    def __init__(self, project: str, *, study: str, owner: str, directory: Path) -> None:
        """Args:
        project: PROJECT or ENTITY/PROJECT.
        directory: the study's; files lie in wandb/ there.

        Raises:
            MissingExtra: wandb is not installed.
        """
        need("wandb")
        self._project, self._study, self._owner, self._directory = project, study, owner, directory
        self._told = told(directory)
        self._runs: dict[StandIn, Any] = {}

    def begin(self, trial: StandIn) -> int | None:
        last = self._told.last(trial.name)
        if last is not None:
            self._runs[trial] = open_run(
                self._project, trial.name, study=self._study, owner=self._owner, directory=self._directory,
                config=trial.config, tags=[trial.name.partition("-")[0]],
            )  # fmt: skip
        return last

    def add(self, trial: StandIn, step: int, metrics: Mapping[str, float]) -> None:
        self._runs[trial].log(dict(metrics), step=step, commit=True)
        self._told.reach(trial.name, step)

    def end(self, trial: StandIn, state: TrialState, reason: str) -> None:
        run = self._runs.pop(trial)
        run.tags = (*run.tags, _STATES[state])
        run.summary.update({"state": state.name, **({"reason": reason} if reason else {})})
        run.finish(exit_code=int(state == TrialState.FAIL))
        self._told.reach(trial.name, None)

    def close(self, *, whole: bool) -> None:
        for run in self._runs.values():
            run.mark_preempting()
            run.finish(exit_code=1)


def open_run(
    project: str, name: str, *, study: str, owner: str, directory: Path, config: Mapping[str, Any], tags: Sequence[str]
) -> Any:
    """A run of this name in the study's group, a new one or the same again."""
    import wandb

    entity, _, within = project.rpartition("/")
    return wandb.init(
        entity=entity or None,
        project=within,
        group=study,
        id=f"{owner}-{name}",
        name=name,
        dir=directory,
        config=dict(config),
        tags=list(tags),
        resume="allow",
        reinit="create_new",
        settings=wandb.Settings(**_SETTINGS),
    )


def told(directory: Path) -> Told:
    """What W&B has of a study."""
    return Told(directory / FOLDER / "told.jsonl")


def reach_wandb(project: str) -> None:
    """Whether there is somebody to log as; with WANDB_MODE=offline there need not be.

    Raises:
        MissingExtra: wandb is not installed.
        StudyError: no login here, or no project's name.
    """
    need("wandb")
    if not project.strip("/") or project.count("/") > 1:
        raise StudyError(f"wandb must be PROJECT or ENTITY/PROJECT, got {project!r}.")
    try:
        with quiet():
            import wandb

            if wandb.setup().settings.mode == "online":
                wandb.login()
    except Exception as error:  # W&B's own have no common base
        raise StudyError(
            f"W&B takes no runs from here: {first_line(error)}. Run `wandb login` or set WANDB_API_KEY; or set "
            "WANDB_MODE=offline, and `wandb sync` the runs later."
        ) from None
