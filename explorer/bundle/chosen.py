"""Which trial a bundle is of: the confirmed choice, the best of the search, or the one that was asked for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import pandas as pd

from dashboards.frames import ranked
from explorer.results import believed
from explorer.results.confirmed import Choice, choice, open_study
from explorer.results.trained import Trained, load
from explorer.results.trials import trials
from explorer.search import warm
from explorer.search.barren import barren
from explorer.search.plan import Role
from explorer.study import StudySpec
from trainables.errors import ConfigError, StudyError

By = Literal["miou", "gain"]


@dataclass(frozen=True)
class Chosen:
    """A trained trial and what the study says of it.

    Attributes:
        number: of the search trial; where it is confirmed, `trained` is a run of its config on a fresh seed.
        reason: why this one: confirmed, miou, gain or asked.
        miou, baseline: of the weights and of the matched student alone, on the validation split; NaN: not known.
        peer_miou, peer_baseline: of the other student, under collaborative.
        num_complete: trials of the search that it was chosen from.
        relative_cost: of a step, as a multiple of the student alone's; NaN: not known.
        over_seeds: what its config is believed to have on average over seeds, and the ends of the 90 % interval (NaN
            while luck is not known).
    """

    trained: Trained
    number: int
    reason: Literal["confirmed", "miou", "gain", "asked"]
    pair: str | None
    miou: float
    baseline: float
    peer_miou: float
    peer_baseline: float
    num_complete: int
    confirmation: Choice | None
    relative_cost: float = float("nan")
    over_seeds: tuple[float, float, float] | None = None

    @property
    def gain(self) -> float:
        return self.miou - self.baseline


def choose(
    spec: StudySpec,
    directory: Path,
    studies: dict[Role, optuna.Study],
    *,
    by: By | None = None,
    trial: int | None = None,
) -> Chosen:
    """The confirmed choice, where there is one and nothing else is asked for; else the best by mIoU.

    The best is the config that is believed to be best over seeds, and of its runs the one with the highest score.

    Raises:
        ConfigError: both `by` and `trial` are given.
        StudyError: no such trial, none complete, or see `trained.load`.
    """
    if by and trial is not None:
        raise ConfigError("Give --by or --trial, not both.")
    table = trials(studies)
    search = table[table["role"] == "search"]
    complete = search[search["state"] == "COMPLETE"]
    confirmed = None if by or trial is not None else choice(spec, directory)
    if confirmed is not None:
        return _confirmed(spec, directory, studies, complete, confirmed)
    if trial is not None and trial not in set(search["number"]):
        raise StudyError(f"Search trial {trial} does not exist. `heteroakd dashboard` lists those that do.")
    if complete.empty:
        raise StudyError(
            barren(spec, directory, warm.own(studies["search"]))
            or f"No search trial is complete yet. Go on with: heteroakd resume {shlex.quote(str(directory))}"
        )
    row = _best(complete, believed.frame(studies["search"], table, gains=by == "gain"), by or "miou", trial)
    return Chosen(
        trained=load(spec, directory, studies, int(row["number"])),
        number=int(row["number"]),
        reason="asked" if trial is not None else by or "miou",
        pair=row["pair"],
        miou=float(row["miou"]),
        baseline=float(row["baseline"]),
        peer_miou=float(row["peer_miou"]),
        peer_baseline=float(row["peer_miou"] - row["peer_gain"]),
        num_complete=len(complete),
        confirmation=None,
        relative_cost=float(row["relative_cost"]),
        over_seeds=(float(row["believed"]), float(row["believed_low"]), float(row["believed_high"])),
    )


def _confirmed(
    spec: StudySpec, directory: Path, studies: dict[Role, optuna.Study], complete: pd.DataFrame, choice: Choice
) -> Chosen:
    runs = open_study(spec, directory)
    assert runs is not None  # a choice is made of it
    trained = load(spec, directory, {**studies, "confirmed": runs}, choice.run, role="confirmed")
    told: dict[str, Any] = trained.trial.user_attrs
    peer = told.get("peer_miou")
    return Chosen(
        trained=trained,
        number=choice.number,
        reason="confirmed",
        pair=told.get("pair"),
        miou=choice.val_miou,
        baseline=float("nan") if choice.baseline_miou is None else choice.baseline_miou,
        peer_miou=peer if isinstance(peer, float) else float("nan"),
        peer_baseline=float("nan"),
        num_complete=len(complete),
        confirmation=choice,
        relative_cost=float(complete.loc[complete["number"] == choice.number, "relative_cost"].mean()),
    )


def _best(complete: pd.DataFrame, known: pd.DataFrame, by: By, number: int | None) -> pd.Series:
    if number is not None:
        complete = complete[complete["number"] == number]
        if complete.empty:
            raise StudyError(f"Search trial {number} is not complete. `heteroakd dashboard` lists those that are.")
    done = ranked(complete, known, by)
    if done.empty:
        raise StudyError(f"No complete search trial has a {by}: no student alone is complete. Choose --by miou.")
    return done.iloc[0]
