"""Launch a sweep, go on with one, hand one to a cluster, or ask what one would take."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from explorer.api import driving
from explorer.api.benched import with_milliseconds
from explorer.api.driving import Open
from explorer.api.given import path, study_spec
from explorer.api.redacted import redacted
from explorer.api.study import Study
from trainables.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from explorer.launch.dry_run import Dry
    from explorer.study import StudySpec

    Spec = str | PurePath | Mapping[str, Any] | StudySpec


@redacted()
def sweep(
    spec: Spec,
    out: str | os.PathLike[str] | None = None,
    *,
    base: Mapping[str, Any] | None = None,
    set: Mapping[str, Any] | None = None,
    address: str | None = None,
    trust_storage: bool = False,
    force: bool = False,
    console: Console | None = None,
    **overrides: Any,
) -> Study:
    """Run a new study: teachers, students alone, then the search.

    Ctrl-C, or a notebook's interrupt, ends it and not the caller: the study that is returned has `num_open` trials, and
    `resume` goes on with them. Interrupted before the study was begun, which data and networks are checked for first,
    it raises KeyboardInterrupt and leaves nothing behind.

    Args:
        spec: a preset's name such as "lambdas", the path of a YAML file, a mapping, or a StudySpec.
        out: the study's folder; none: sweeps/NAME.
        base: fields that every trial shares, over the spec's.
        set: likewise, over everything else; for names that are no Python words, such as {"own.alpha": 0.5}.
        address: of a Ray cluster: auto, HOST:PORT or ray://HOST:10001; none: start Ray.
        trust_storage: the storage is yours alone: CMA-ES may unpickle from it.
        force: go on with a `teacher_checkpoint` that scores below always saying the commonest class.
        console: where progress goes; none: this process's output.
        **overrides: fields of StudySpec or of TrialConfig: num_trials=12, seeds=[0, 1], data="earth", steps=100.

    Raises:
        HeteroakdError: anything wrong with the spec, the data, the networks or the folder, in one sentence; before a
            worker starts. `Interrupted`: a disk is full or the storage out of reach; the study can be resumed.
    """
    parsed = with_milliseconds(study_spec(spec, base=base, set=set, overrides=overrides))
    directory = Path("sweeps") / parsed.folder_name if out is None else path(out)
    console = console or driving.console()
    options: dict[str, Any] = {
        "console": console,
        "address": address,
        "trust_storage": trust_storage,
        "force": force,
    }

    def run() -> Open:
        return Open(driving.launcher(address).sweep(parsed, directory, **options))

    left = driving.drive(run, directory, console, again="resume")
    driving.summarise(directory, left, console)
    return Study(directory, left=left)


def resume(
    directory: str | os.PathLike[str],
    *,
    time_budget_s: float | None = None,
    stop_when: float | None = None,
    address: str | None = None,
    trust_storage: bool = False,
    mlflow: str | None = None,
    tensorboard: bool | None = None,
    wandb: str | None = None,
    hook: str | None = None,
    console: Console | None = None,
) -> Study:
    """Go on with an interrupted sweep, every running trial from its last checkpoint; then with its confirmation.

    Where all has ended, it says so and returns. Ctrl-C leaves it resumable again.

    Args:
        time_budget_s, mlflow, tensorboard, wandb, hook: instead of the spec's, this time.
        stop_when: instead of the spec's, from now on; 0: the sweep goes on, whatever is expected.
        address, trust_storage, console: as for `sweep`.

    Raises:
        HeteroakdError: no study there, or its space or data set has changed.
    """
    return Study(directory).resume(
        time_budget_s=time_budget_s,
        stop_when=stop_when,
        address=address,
        trust_storage=trust_storage,
        mlflow=mlflow,
        tensorboard=tensorboard,
        wandb=wandb,
        hook=hook,
        console=console,
    )


@redacted()
def dry_run(
    spec: Spec,
    *,
    base: Mapping[str, Any] | None = None,
    set: Mapping[str, Any] | None = None,
    console: Console | None = None,
    **overrides: Any,
) -> Dry:
    """Show what a sweep would train and for how many hours, from step times measured here; nothing is written.

    Args:
        spec, base, set, console, overrides: as for `sweep`.

    Returns:
        The parts with their times, and `hours` by stage.

    Raises:
        HeteroakdError: what `sweep` would refuse.
    """
    from explorer.launch import dry_run as dry

    parsed = with_milliseconds(study_spec(spec, base=base, set=set, overrides=overrides))
    found = dry.plan(parsed)
    dry.show(found, parsed, console or driving.console())
    return found


@redacted()
def submit(
    spec: Spec,
    out: str | os.PathLike[str],
    *,
    address: str,
    base: Mapping[str, Any] | None = None,
    set: Mapping[str, Any] | None = None,
    runtime_env: str | os.PathLike[str] | None = None,
    resume: bool = False,
    follow: bool = False,
    trust_storage: bool = False,
    force: bool = False,
    console: Console | None = None,
    **overrides: Any,
) -> int:
    """Hand a sweep to a Ray cluster as a job, which goes on without this process.

    Args:
        spec, base, set, console, overrides: as for `sweep`.
        out: the study's folder, absolute, on storage that all nodes see.
        address: of the cluster's dashboard, http://HOST:8265.
        runtime_env: a YAML file with more of Ray's runtime_env.
        resume: go on with the study in the folder.
        follow: show the job's log until it ends; not in a notebook.
        force: as for `sweep`.

    Returns:
        The job's exit code if followed, otherwise 0.

    Raises:
        HeteroakdError: a spec, path or runtime environment that cannot work; no cluster, or another token.
    """
    from explorer.launch import submit as submitting

    if follow and _in_a_loop():
        raise ConfigError("follow is true, but a notebook cannot follow a job. Submit without it; follow in a shell.")
    return submitting.submit(
        with_milliseconds(study_spec(spec, base=base, set=set, overrides=overrides)),
        Path(out),
        address=address,
        console=console or driving.console(),
        runtime_env=None if runtime_env is None else path(runtime_env),
        resume=resume,
        follow=follow,
        trust_storage=trust_storage,
        force=force,
    )


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
