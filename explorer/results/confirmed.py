"""What `heteroakd confirm` found: the table of finalists, the verdict in words, and what to ship. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from dashboards.frames import COLUMNS, blank
from explorer.results import confirmed_runs
from explorer.results.confirmed_runs import Run
from explorer.results.verdict import Verdict, seen, verdict
from explorer.search.arms import study_name, trial_directory
from explorer.search.plan import Role
from explorer.storage import storages
from explorer.study import StudySpec

_LONGEST = 200  # characters of a text that is shown


@dataclass(frozen=True)
class Choice:
    """What to ship: the recommended finalist, and the run of it whose weights stand for it.

    The weights are not those of the search trial, whose seed may have been picked for its luck, but those of the
    confirmation run with the median mIoU on the *validation* split (the lower one of two): neither the luckiest nor the
    unluckiest of the fresh seeds, and chosen without a look at the test split, so that their own test score is an
    honest one. Figures shown as those of a bundle must be of these weights; mean and interval over seeds, in `row`,
    say what to expect of the config.

    `trained.load(spec, directory, studies | {"confirmed": open_study(spec, directory)}, choice.run, role="confirmed")`
    finds them.

    Attributes:
        number: the search trial of the config (the best one, where several seeds ran it).
        run: number of the run in the study NAME (confirmed).
        directory: of the run's checkpoint, relative to the root of the trials' folders.
        config: the run's, with its fresh seed.
        seed: that seed.
        val_miou: of these weights on the validation split, as recorded when they were trained.
        baseline_miou: the matched student alone on the same seed and split; None: there is none.
        split: what `row` and `rows` are about: test, or val where there is no test split (then not independent of the
            search, which chose its finalists on it).
        separable: told apart from every other finalist. If not, it merely has the best mean: say so.
        winner: separable, and better than the matched student alone.
        num_open: runs of the confirmation that have not ended or are not scored.
        sentences: the verdict in words; may hold foreign text.
        row: the finalist's row of the frame `confirmed`.
        rows: that frame.
    """

    number: int
    run: int
    directory: str
    config: dict[str, Any]
    seed: int
    val_miou: float
    baseline_miou: float | None
    split: str
    separable: bool
    winner: bool
    num_open: int
    sentences: list[str]
    row: pd.Series
    rows: pd.DataFrame


def choice(spec: StudySpec, directory: Path) -> Choice | None:
    """What a confirmation recommends to ship; None where it recommends none (yet).

    Raises:
        StudyError: the storage cannot be opened.
    """
    if not storages.exists(spec, directory):
        return None
    storage = storages.open_storage(spec, directory)
    confirmed = confirmed_runs.open_confirmed(spec, storage)
    if confirmed is None:
        return None
    search = optuna.load_study(study_name=study_name(spec, "search"), storage=storage)
    said = verdict(spec, search, confirmed)
    if not said.rows or said.rows[0].entry.num_failed or not said.rows[0].entry.scores:
        return None
    best = said.rows[0].entry
    run = _median(best.runs)
    alone = confirmed_runs.alone(confirmed, best.about.get("student"), seen(spec, search))
    rows = _table(said, confirmed_runs.split_of(confirmed))
    return Choice(
        number=best.sources[0],
        run=run.number,
        directory=trial_directory("confirmed", run.number),
        config=run.config,
        seed=run.seed,
        val_miou=run.val,
        baseline_miou=next((other.val for other in alone.runs if other.seed == run.seed), None) if alone else None,
        split=confirmed_runs.split_of(confirmed),
        separable=said.separable,
        winner=said.winner,
        num_open=confirmed_runs.num_open(confirmed),
        sentences=said.sentences,
        row=rows.iloc[0],
        rows=rows,
    )


def open_study(spec: StudySpec, directory: Path) -> optuna.Study | None:
    """The runs of a confirmation as a study; None where nothing was ever confirmed."""
    if not storages.exists(spec, directory):
        return None
    return confirmed_runs.open_confirmed(spec, storages.open_storage(spec, directory))


def frame(spec: StudySpec, studies: dict[Role, optuna.Study]) -> pd.DataFrame:
    """The frame `confirmed` of a study, as `dashboards.frames` lists it; empty where nothing was confirmed.

    Args:
        studies: with the search.
    """
    confirmed = confirmed_runs.open_confirmed(spec, studies["search"]._storage)
    if confirmed is None:
        return blank("confirmed")
    return _table(verdict(spec, studies["search"], confirmed), confirmed_runs.split_of(confirmed))


def _median(runs: list[Run]) -> Run:
    ordered = sorted(runs, key=lambda run: (run.val, run.seed))
    return ordered[(len(ordered) - 1) // 2]


def _table(said: Verdict, split: str) -> pd.DataFrame:
    rows = [
        (
            rank + 1,
            row.number,
            _text(row.entry.about.get("pair")),
            _text(row.entry.about.get("method")),
            split,
            len(row.entry.scores),
            row.search,
            row.val,
            row.curse,
            *row.miou,
            *row.images[1:],
            *row.gain,
            rank == 0 and said.winner,
            said.reasons[rank],
        )
        for rank, row in enumerate(said.rows)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["confirmed"])).astype(COLUMNS["confirmed"])


def _text(value: Any) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""
