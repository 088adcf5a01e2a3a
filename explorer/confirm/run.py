"""`heteroakd confirm`: re-run the finalists and their students alone on fresh seeds, score them, say what they show."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.confirm import plan
from explorer.confirm.plan import Request, Reruns
from explorer.confirm.score import score_runs, unscored
from explorer.launch import loggers, sweep
from explorer.launch.cluster import connected
from explorer.launch.means import means, with_group_size
from explorer.results import confirmed_runs
from explorer.results.confirmed import frame, open_study
from explorer.results.trials import load_studies
from explorer.results.verdict import verdict
from explorer.search import warm
from explorer.search.barren import barren
from explorer.search.plan import Role
from explorer.storage import storages
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.errors import StudyError
from trainables.preflight.check import preflight

USUAL = 5  # finalists, and seeds of each
_NO_LIMITS: dict[str, Any] = dict.fromkeys(("total_steps", "gpu_hours", "plateau_trials", "stop_when"))  # of a search


def confirm(
    directory: Path,
    *,
    top: int | None = None,
    seeds: int | None = None,
    split: str | None = None,
    console: Console,
    address: str | None = None,
    time_budget_s: float | None = None,
) -> int:
    """Run what is asked for and not there yet, score it, and say what it shows.

    Args:
        top: finalists: configs of the search, whatever their seed, by mean mIoU; none: as asked before, else 5.
        seeds: fresh ones for each finalist and each student alone; none: as asked before, else 5.
        split: that runs are scored on; none: as asked before, else test, or val where there is no test split.

    Returns:
        Runs left open by Ctrl-C or the time budget; 0 when all have ended and are scored.

    Raises:
        Interrupted: a disk is full or storage out of reach; the confirmation can be resumed.
        HeteroakdError: no study there, nothing complete in it, its data set has changed, or the split is missing.
    """
    directory = directory.resolve()
    spec = StudySpec.of(directory)
    sweep.check(spec)
    storages.reach(spec)
    loggers.reach(spec)
    spec = spec.model_copy(update={**_NO_LIMITS, "time_budget_s": time_budget_s})
    say = partial(_say, console)
    with storages.in_words(), sweep.sole_driver(directory), storages.owned(spec, directory):
        _, studies = load_studies(directory)
        if sentence := barren(spec, directory, warm.own(studies["search"])):
            raise StudyError(sentence)
        before = plan.asked_before(spec, studies)
        top, seeds = top or before.get("top", USUAL), seeds or before.get("seeds", USUAL)
        asked = plan.request(spec, studies, top=top, num_seeds=seeds)
        scored_on = _checked(asked, studies["search"], split or before.get("split"))
        _tell(asked, spec, studies, top=top, split=scored_on, say=say)
        arm = plan.open_arm(spec, studies, asked, top=top, split=scored_on)
        if arm.num_open() or unscored(arm.study, scored_on):
            with connected(address):
                known = studies["search"].user_attrs.get(sweep.TEACHERS, {})
                _drive(arm, asked, scored_on, directory, console, known, may_grow=address is not None)
        show(spec, studies, arm.study, console)
        return confirmed_runs.num_open(arm.study)


def go_on(directory: Path, *, console: Console, address: str | None = None, time_budget_s: float | None = None) -> int:
    """`confirm` as it was asked for before, if it was and has not ended.

    Returns:
        Runs left open again.
    """
    directory = directory.resolve()
    spec = StudySpec.of(directory)
    study = open_study(spec, directory)
    if study is None or not confirmed_runs.num_open(study):
        return 0
    _say(console, "going on with the confirmation")
    return confirm(directory, console=console, address=address, time_budget_s=time_budget_s)


def show(spec: StudySpec, studies: dict[Role, optuna.Study], confirmed: optuna.Study, console: Console) -> None:
    """The finalists as a table that 80 columns hold, and the verdict; search, fresh and curse are of the val split.

    A search over folds has its score from other images, so there is no curse.
    """
    rows = frame(spec, studies)
    if rows.empty:
        _say(console, "No finalist has been scored yet.")
        return
    seeds = " to ".join(dict.fromkeys(str(num) for num in (rows["num_seeds"].min(), rows["num_seeds"].max())))
    split = confirmed_runs.split_of(confirmed)
    title = f"finalists on {split}: points of mIoU over {seeds} fresh seeds, ± the 90 % interval"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE, pad_edge=False)
    for name in ("trial", "pair, method"):
        table.add_column(name, overflow="fold")
    for name in ("mIoU", "gain", "search", "fresh", "curse"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows.itertuples():
        cells = (
            f"{row.number}{' winner' if row.winner else ''}",
            f"{row.pair} {row.method}".strip(),
            _points(row.miou, row.miou_high, ""),
            _points(row.gain, row.gain_high, "+"),
            _points(row.search_miou, row.search_miou, ""),
            _points(row.val_miou, row.val_miou, ""),
            _points(row.curse, row.curse, "+"),
        )
        table.add_row(*map(Text, cells))
    console.print(table)
    for sentence in verdict(spec, studies["search"], confirmed).sentences:
        _say(console, sentence)


def _checked(asked: Request, search: optuna.Study, split: str | None) -> str:
    """The split that runs are scored on; after a look at everything that a run could stumble over.

    Raises:
        HeteroakdError: the data set is another than the search's, or lacks the split, or it cannot be scored.
    """
    dataset = open_dataset(asked.finalists[0].config.data)
    split = split or ("test" if "test" in dataset.splits else "val")
    verify(dataset, [split])
    if preflight(_kinds(asked)).data_digest != search.user_attrs.get("identity", {}).get("data"):
        raise StudyError(f"The data set {dataset.name!r} has changed since the sweep. Confirm on the one it ran on.")
    return split


def _kinds(asked: Request) -> list[TrialConfig]:
    """One config of each kind, and so one for each teacher."""
    configs = [one.config for one in (*asked.finalists, *asked.alone.values())]
    return list({(c.method, c.teacher, c.student, c.projector_tap): c for c in configs}.values())


def _tell(
    asked: Request,
    spec: StudySpec,
    studies: dict[Role, optuna.Study],
    *,
    top: int,
    split: str,
    say: Callable[[str], None],
) -> None:
    """What the user may not expect."""
    if (num := len(asked.finalists)) < top:
        say(f"{num} distinct configs are complete, fewer than {top}: all of them are finalists.")
    states = [trial.state.is_finished() for trial in warm.own(studies["search"])]
    if sum(states) < spec.num_trials:
        say(f"{spec.num_trials - sum(states)} of {spec.num_trials} trials of the search have not ended.")
    for student in dict.fromkeys(one.config.student for one in asked.finalists):
        if student not in asked.alone:
            say(f"{student} has no complete trial alone, so no gain can be given for it.")
    if split == "val":
        say("Runs are scored on val, which the search chose its finalists on: not independent of it.")
    if folds := spec.trial_base.get("folds"):
        say(f"The search scored {folds} folds; these runs train on the whole train split, and are other students.")
    seeds = ", ".join(map(str, asked.seeds))
    say(f"{num} finalists and {len(asked.alone)} students alone on the fresh seeds {seeds}")


def _drive(
    arm: Reruns,
    asked: Request,
    split: str,
    directory: Path,
    console: Console,
    known: dict[str, float],
    *,
    may_grow: bool,
) -> None:
    kinds, say = _kinds(asked), partial(_say, console)
    there = means(arm.spec, may_grow=may_grow)
    spec = with_group_size(arm.spec, there, kinds, say=say)
    sweep.run_arms({"confirmed": replace(arm, spec=spec)}, directory, kinds, there, console=console, known=known)
    score_runs(arm.study, split, spec, spec.storage_path or str(directory), there, say=say)


def _points(mean: float, high: float, sign: str) -> str:
    if math.isnan(mean):
        return "-"
    return f"{100 * mean:{sign}.2f}" + (f" ± {100 * (high - mean):.2f}" if high > mean else "")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
