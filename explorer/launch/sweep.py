"""StudySpec -> Tuner -> fit; and on from where an interrupted sweep stopped."""

from __future__ import annotations

import itertools
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
from ray import tune
from rich.console import Console

from explorer.launch import budgets, constraints, loggers, teachers
from explorer.launch.cluster import check_sockets, connected
from explorer.launch.means import Means, means, with_group_size
from explorer.launch.paths import with_absolute_paths
from explorer.launch.progress import Progress
from explorer.search import engines, limits, warm
from explorer.search.arms import Arm, open_arms
from explorer.search.barren import barren
from explorer.search.bridge import METRIC, MODE, Bridge, PruningFace
from explorer.search.groups import GroupBridge, Post
from explorer.search.mailbox import Mailbox
from explorer.search.plan import Role
from explorer.search.tune_errors import every_error_taken
from explorer.storage import storages
from explorer.storage.lock import exclusive
from explorer.study import SPEC_FILE, StudySpec
from trainables import own
from trainables.conditions import OWN_PREFIX
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.errors import Interrupted, StudyError
from trainables.folds import folder as of_fold
from trainables.kept import checkpoint, store
from trainables.kept.cache import default_cache
from trainables.preflight.check import Preflight, preflight
from trainables.tune import tune_group, tune_trial

TEACHERS = "teachers"
"""Attribute of the search's study: the teachers' mIoU on the validation split, by model."""
FILES = "teacher_files"
"""Likewise: SHA-256 of the files of teachers that are good already, by model and file name."""


def sweep(
    spec: StudySpec,
    directory: Path,
    *,
    console: Console,
    address: str | None = None,
    trust_storage: bool = False,
    force: bool = False,
) -> int:
    """Run a new study into an empty folder.

    Args:
        force: go on with a teacher of the user's own that is worse than guessing.
        trust_storage: vouch for a shared storage that a sampler unpickles from (see `engines.refuse_untrusted`).

    Returns:
        Trials left open by Ctrl-C or the time budget; 0 when the study is whole.

    Raises:
        Interrupted: a disk is full, storage out of reach, or trials are lost again and again; it can be resumed.
        StudyError: all trials of the search have failed.
        HeteroakdError: anything wrong with the spec, the data, the networks or the folder; before a worker starts.
    """
    directory = directory.resolve()
    if (directory / SPEC_FILE).exists():
        raise StudyError(
            f"{directory} already holds a study. Continue it with `heteroakd resume`, or choose another --out."
        )
    check(spec)
    warm.check(spec)
    if address is None:
        check_sockets()
    engines.refuse_untrusted(spec, trusted=trust_storage or spec.storage in (None, "journal", "sqlite"))
    storages.reach(spec)
    loggers.reach(spec)
    open_dataset(spec.search_space.config({}, spec.base).data)  # say a wrong path as the user wrote it
    spec = with_absolute_paths(spec)
    found = _preflight(spec)
    for note in found.notes:
        _say(console, note)
    spec, left_out = constraints.within(spec, found.costs)
    for student, reason in left_out.items():
        _say(console, f"left out: {student} {reason}")
    if left_out:
        check(spec)
        warm.check(spec)
    directory.mkdir(parents=True, exist_ok=True)
    with storages.in_words(), sole_driver(directory), storages.owned(spec, directory), connected(address):
        there = means(spec, may_grow=address is not None)
        spec = with_group_size(spec, there, kinds(spec), say=partial(_say, console))
        scores = teachers.score_own(spec, kinds(spec), there, say=partial(_say, console), force=force)
        return _drive(_begin(spec, directory, found), directory, found, console, there, scores)


def resume(
    directory: Path,
    *,
    console: Console,
    address: str | None = None,
    time_budget_s: float | None = None,
    stop_when: float | None = None,
    trust_storage: bool = False,
    **logged: str | bool | None,
) -> int:
    """Go on with an interrupted study: running trials from their last checkpoints, then the ones not yet started.

    Args:
        time_budget_s: instead of the spec's, this time.
        logged: likewise mlflow, tensorboard, wandb and hook. They get what they missed, too.
        stop_when: instead of the spec's, from now on.

    Returns:
        Trials left open again.

    Raises:
        StudyError: no study there, its space or data set has changed, or all trials of the search have failed.
    """
    directory = directory.resolve()
    spec = StudySpec.of(directory)
    check(spec)
    engines.refuse_untrusted(spec, trusted=trust_storage)
    storages.reach(spec)
    if stop_when is not None:
        spec = StudySpec.parse({**spec.model_dump(), "stop_when": stop_when})
    lasting = spec
    if isinstance(mlflow := logged.get("mlflow"), str):
        logged["mlflow"] = loggers.absolute(mlflow)
    given = {"time_budget_s": time_budget_s, **logged}
    spec = spec.model_copy(update={name: value for name, value in given.items() if value is not None})
    loggers.reach(spec)
    found = _preflight(spec)
    with storages.in_words(), sole_driver(directory), storages.owned(spec, directory):
        arms = open_arms(spec, directory, data_digest=found.data_digest)
        if stop_when is not None:
            lasting.save(directory)
        _refuse_other_teachers(arms["search"].study.user_attrs.get(FILES, {}), found.files)
        if not any(arm.num_open() for arm in arms.values()):
            with loggers.logs(spec, arms, directory, say=partial(_say, console)):
                _refuse_barren(arms["search"], directory)
                _say(console, "Every trial has ended; nothing to run.")
            return 0
        with connected(address):
            there = means(spec, may_grow=address is not None)
            spec = with_group_size(spec, there, kinds(spec), say=partial(_say, console))
            arms = {role: replace(arm, spec=spec) for role, arm in arms.items()}
            return _drive(arms, directory, found, console, there)


def check(spec: StudySpec) -> None:
    """Everything about a spec that can be refused without looking at data or networks.

    Raises:
        ConfigError, StudyError: one sentence.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # progress says what its lines say; the rest is checked here
    spec.check()
    constraints.check_latency(spec)
    budgets.check(spec)
    engines.check(spec, budget=spec.search_space.config({}, spec.trial_base).steps)


def kinds(spec: StudySpec) -> Iterator[TrialConfig]:
    """One config of each kind that trials can have: every pair under every method at every tap, every student alone,
    with unlabelled images if any trial may have them.
    """
    base, space = spec.trial_base, spec.search_space
    plain = {name: value for name, value in base.items() if name not in ("pair", "teacher", "student")}
    methods = space.values("method", base)
    searched = "projector_tap" in {*space.dimensions, *base}  # else each method has its own
    taps = [{"projector_tap": tap} for tap in space.values("projector_tap", base)] if searched else [{}]
    entries = {name: space.values(name, base)[0] for name in space.dimensions if name.startswith(OWN_PREFIX)}
    for (teacher, student), method, tap in itertools.product(space.pairs(base), methods, taps):
        kind = {"teacher": teacher, "student": student, "method": method, **tap, **entries}
        config = space.config(kind, plain)
        if tap == taps[0] or config.reads("projector_tap"):
            yield config
    ratio = "unlabelled_ratio"
    most = {ratio: max(space.values(ratio, base))} if ratio in space.dimensions else {}
    for student in space.alone(base):
        yield space.config({"student": student, "method": "task", **most}, plain)


def _preflight(spec: StudySpec) -> Preflight:
    found = preflight(kinds(spec), timed=constraints.asks_latency(spec) and spec.latency is None)
    return found._replace(costs=constraints.known(spec, found.costs))


def _begin(spec: StudySpec, directory: Path, found: Preflight) -> dict[Role, Arm]:
    """The spec goes first: from here on the study can be resumed, whatever happens."""
    store.check(_root(spec, directory), new=True)
    spec = spec.model_copy(update={"owner": uuid.uuid4().hex})
    spec.save(directory)
    try:
        return open_arms(spec, directory, data_digest=found.data_digest, new=True)
    except StudyError:
        (directory / SPEC_FILE).unlink()  # the storage is another study's
        raise


def _drive(
    arms: dict[Role, Arm],
    directory: Path,
    found: Preflight,
    console: Console,
    there: Means,
    scores: Mapping[str, float] = MappingProxyType({}),
) -> int:
    spec, study = arms["search"].spec, arms["search"].study
    if "costs" not in study.user_attrs:
        study.set_user_attr("costs", found.costs)
        study.set_user_attr(FILES, dict(found.files))

    budgets.settle(arms, there, say=partial(_say, console))
    if scores:
        study.set_user_attr(TEACHERS, dict(scores))
    known = study.user_attrs.get(TEACHERS, {})
    bridge = run_arms(
        arms, directory, kinds(spec), there, console=console, known=known, note=partial(study.set_user_attr, TEACHERS)
    )
    limit = bridge.limit(arms["search"])
    if limit != study.user_attrs.get(limits.STOPPED):
        study.set_user_attr(limits.STOPPED, limit)
    if limit:
        _say(console, f"stopped: {limit}")
    if not bridge.num_open():
        _refuse_barren(arms["search"], directory)
    return bridge.num_open()


def _refuse_other_teachers(recorded: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, str]]) -> None:
    """Raises:
    StudyError: a teacher's files are no longer those that the study began with.
    """
    for name, files in found.items():
        if name in recorded and dict(recorded[name]) != dict(files):
            other = sorted(file for file in {*files, *recorded[name]} if files.get(file) != recorded[name].get(file))
            raise StudyError(
                f"The teacher {name!r} is not the one that this study began with: {', '.join(other)} changed. Put the "
                "files back, or start another study."
            )


def _refuse_barren(search: Arm, directory: Path) -> None:
    """Raises:
    StudyError: all has ended, and nothing has come of it.
    """
    if sentence := barren(search.spec, directory, warm.own(search.study)):
        raise StudyError(sentence)


def run_arms(
    arms: dict[Role, Arm],
    directory: Path,
    configs: Iterable[TrialConfig],
    there: Means,
    *,
    console: Console,
    known: Mapping[str, float] = MappingProxyType({}),
    note: Callable[[dict[str, float]], None] = lambda _: None,
) -> Bridge:
    """Train what the arms have open: teachers first, then the trials through Ray Tune.

    Args:
        configs: one for each teacher that a trial may have.
        known: mIoU of the teachers by model, as far as they were scored or trained before.
        note: told all of them, before the first trial starts.

    Raises:
        Interrupted: a disk is full, storage out of reach, or trials are lost again and again.
    """
    spec = next(iter(arms.values())).spec
    root = _root(spec, directory)
    store.check(root, new=False)
    mailbox = Mailbox() if spec.students_per_group > 1 else None
    bridge = open_bridge(spec, arms, root=root, gpus=there.resources["gpu"], post=mailbox.put if mailbox else None)
    if bridge.num_open():
        say = partial(_say, console)
        note(teachers.ensure(spec, configs, there, say=say, known=known))
        with Progress(arms, console) as progress, loggers.logs(spec, arms, directory, say=say) as logs:
            fit(bridge, _trainable(root, mailbox), directory, *there, spec.time_budget_s, [progress, *logs])
    if bridge.interrupted:
        raise Interrupted(bridge.interrupted)
    return bridge


def _say(console: Console, text: str) -> None:
    """A text that may hold anything, brackets included."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _root(spec: StudySpec, directory: Path) -> str:
    """Where the trials' folders are: a path or a URI."""
    return spec.storage_path or str(directory)


def _trainable(root: str, mailbox: Mailbox | None) -> Any:
    shared: dict[str, Any] = {"study_directory": root, "cache": str(default_cache()), "code": own.folders()}
    if mailbox is None:
        return tune.with_parameters(tune_trial, **shared)
    return tune.with_parameters(tune_group, answers=mailbox, **shared)


def open_bridge(
    spec: StudySpec, arms: dict[Role, Arm], *, root: str, gpus: float = 0.0, post: Post | None = None
) -> Bridge:
    """The bridge over the arms.

    Args:
        arms: in the order in which they are served; the last one is what may be pruned.
        root: where the trials' folders are, a path or a URI.
        gpus: that a trial, or a group, holds.
        post: sends answers to groups (`GroupBridge`); none: trials run by themselves.
    """
    options: dict[str, Any] = {
        "grace": spec.grace([*arms.values()][-1].budget),
        "max_failures": spec.max_failures,
        "gpus": gpus,
        "discard": lambda folder: _discard(root, folder, folds=spec.trial_base.get("folds") or 0),
    }
    if post is None:
        return Bridge(arms.values(), **options)
    return GroupBridge(arms.values(), size=spec.students_per_group, post=post, **options)


def _discard(root: str, folder: str, *, folds: int) -> None:
    """Checkpoints that nobody needs do no harm where the storage cannot be reached to remove them."""
    with suppress(Interrupted):
        place = store.open_store(root, folder)
        for one in (place, *(place.inside(of_fold(number)) for number in range(folds))):
            checkpoint.discard(one)


@every_error_taken()
def fit(
    bridge: Bridge,
    trainable: Any,
    directory: Path,
    resources: dict[str, float],
    slots: int,
    time_budget_s: float | None = None,
    callbacks: Sequence[tune.Callback] = (),
) -> None:
    """Run the bridge's trials under Ray Tune until it has none to hand out.

    Retries are the bridge's (Tune's `max_failures` is 0), and so is the number of trials.
    """
    scratch = directory / "tune"  # Tune insists on a folder that all nodes see; nothing in it is ever read back
    try:
        tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                metric=METRIC,
                mode=MODE,
                search_alg=bridge,
                scheduler=PruningFace(),
                num_samples=-1,
                max_concurrent_trials=slots,
                time_budget_s=time_budget_s,
                reuse_actors=True,
                trial_name_creator=attrgetter("trial_id"),
                trial_dirname_creator=attrgetter("trial_id"),
            ),
            run_config=tune.RunConfig(
                name=f"driver-{os.getpid()}",
                storage_path=str(scratch),
                verbose=0,
                progress_reporter=tune.CLIReporter(),  # silent so; in a notebook, Tune's usual one clears the cell
                callbacks=list(callbacks),
            ),
        ).fit()
    except Exception:
        if not bridge.interrupted:  # else Tune fell over what had interrupted the sweep
            raise
    shutil.rmtree(scratch, ignore_errors=True)


def sole_driver(directory: Path) -> AbstractContextManager[None]:
    """Two drivers of one study would adopt each other's running trials.

    Raises:
        StudyError: another process is driving it.
    """
    return exclusive(
        directory / ".driver.lock", taken=f"Another process is running {directory}. Wait for it, or stop it first."
    )
