"""StudyFrames: everything the dashboards know of a study, as tidy pandas frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

PARAM = "param."
"""Prefix of the columns of `trials` that hold a search dimension."""

NOISE = "(noise)"
"""The row of `importance` that shows what a dimension reaches which does nothing."""

MEASURES = ("steps", "compute")
"""What a trial and its student alone may have equally much of."""

COLUMNS: dict[str, dict[str, str]] = {
    "trials": {
        "number": "int64",
        "role": "str",
        "state": "str",
        "reason": "str",
        "pair": "str",
        "teacher": "str",
        "student": "str",
        "teacher_family": "str",
        "student_family": "str",
        "method": "str",
        "seed": "int64",
        "budget": "int64",
        "steps": "int64",
        "relative_cost": "float64",
        "probe": "bool",
        "step": "int64",
        "miou": "float64",
        "miou_low": "float64",
        "miou_high": "float64",
        "baseline": "float64",
        "gain": "float64",
        "gain_at_steps": "float64",
        "gain_at_compute": "float64",
        "peer_miou": "float64",
        "peer_gain": "float64",
        "parameters_millions": "float64",
        "gmac": "float64",
        "latency_ms": "float64",
        "seconds": "float64",
    },
    "believed": {
        "number": "int64",
        "runs": "int64",
        "believed": "float64",
        "believed_low": "float64",
        "believed_high": "float64",
        "believed_gain": "float64",
    },
    "further": {"trials": "int64", "expected": "float64"},
    "curves": {"role": "str", "number": "int64", "step": "int64", "miou": "float64"},
    "taught": {
        "role": "str",
        "number": "int64",
        "step": "int64",
        "regions_to_student": "float64",
        "pixels_to_student": "float64",
    },
    "dimensions": {"name": "str", "kind": "str", "log": "bool"},
    "noise": {"sd": "float64", "low": "float64", "high": "float64", "num_configs": "int64", "freedom": "int64"},
    "importance": {
        "question": "str",
        "condition": "str",
        "dimension": "str",
        "mean": "float64",
        "low": "float64",
        "high": "float64",
        "identifiable": "bool",
        "reason": "str",
    },
    "interactions": {
        "first": "str",
        "second": "str",
        "mean": "float64",
        "low": "float64",
        "high": "float64",
        "identifiable": "bool",
        "reason": "str",
    },
    "gains": {
        "pair": "str",
        "teacher": "str",
        "student": "str",
        "method": "str",
        "statistic": "str",
        "num_trials": "int64",
        "num_seeds": "int64",
        "gain": "float64",
        "low": "float64",
        "high": "float64",
        "distinguishable": "bool",
        "reason": "str",
        "equal": "str",
        "bound": "str",
    },
    "pooled": {
        "pair": "str",
        "teacher": "str",
        "student": "str",
        "statistic": "str",
        "equal": "str",
        "gain": "float64",
        "low": "float64",
        "high": "float64",
        "pooled": "float64",
        "pooled_low": "float64",
        "pooled_high": "float64",
        "own": "float64",
        "distinguishable": "bool",
    },
    "surface": {
        "pair": "str",
        "lambda_kd": "float64",
        "lambda_hakd": "float64",
        "miou_mean": "float64",
        "miou_sd": "float64",
        "near_best": "bool",
    },
    "local": {
        "pair": "str",
        "dimension": "str",
        "value": "float64",
        "label": "str",
        "miou_mean": "float64",
        "miou_low": "float64",
        "miou_high": "float64",
        "best": "bool",
    },
    "ranks": {"step": "int64", "num_trials": "int64", "rho": "float64", "low": "float64", "high": "float64"},
    "confirmed": {
        "rank": "int64",
        "number": "int64",
        "pair": "str",
        "method": "str",
        "split": "str",
        "num_seeds": "int64",
        "search_miou": "float64",
        "val_miou": "float64",
        "curse": "float64",
        "miou": "float64",
        "miou_low": "float64",
        "miou_high": "float64",
        "images_low": "float64",
        "images_high": "float64",
        "gain": "float64",
        "gain_low": "float64",
        "gain_high": "float64",
        "winner": "bool",
        "reason": "str",
    },
}


def blank(frame: str) -> pd.DataFrame:
    """The named frame without rows, with its columns and types."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS[frame].items()})


@dataclass(frozen=True)
class StudyFrames:
    """A study as tables; any of them may be empty, none may lack a column of COLUMNS. Text may be hostile.

    Attributes:
        summary: label -> formatted text, in the order shown; the label "study" names the page.
        equal: what trials and their students alone had equally much of: steps, or compute in seconds or gmac.
        cost: the column of trials that mIoU is weighed against: parameters_millions, gmac or latency_ms.
        trials: one row per trial, keyed by (role, number). role: search or baseline. state: COMPLETE, PRUNED, FAIL,
            RUNNING, PAUSED or WAITING. Families: CNN, Transformer, hybrid, other. miou, baseline in [0, 1]; miou is
            final for COMPLETE and the last reported value otherwise. baseline: mIoU of the matched student without
            distillation. miou_low, miou_high: its 90 % interval over images, of trials that have ended. gain: miou -
            baseline. gain_at_steps, gain_at_compute: of complete trials, at equal steps and at equal compute; who had
            more is read from its curve (`explorer.statistics.readings`), NaN where none reaches. reason: why it failed,
            paused, or was stopped by the pruner. steps: its own budget. step, budget: as the storage keys them; under
            equal compute in steps of its student alone that cost as much. relative_cost: of a step, as a multiple of
            its student alone's, as a budget had it measured, else by the seconds of whole trials. peer_miou, peer_gain:
            final mIoU of a collaborative trial's other student, and what that is over the same network alone. Missing
            numbers are NaN. One column `param.<dimension>` per dimension.
        believed: one row per complete search trial: what its config is believed to have on average over seeds, with the
            90 % interval (NaN while no config was repeated, since luck is unknown then), and to gain; runs: its seeds.
        further: after so many trials had ended, those of a warm start included, by how much another ten were expected
            to raise the best config's true mIoU, in [0, 1]; by what is believed of each config now.
        stop_when: points of mIoU below which the sweep asks for no more; None: it has no such rule.
        curves: every reported value, one row per (role, number, step).
        taught: of collaborative trials, who taught whom between two reports: the share in [0, 1] of the regions and of
            the pixels in which the other student (the pair's first) taught the student. NaN: not distilled.
        dimensions: one row per search dimension; kind: float, int or categorical; optional: low, high, its ends.
        noise: at most one row: standard deviation of mIoU between seeds of one config, with its 90 % interval.
        importance: shares in [0, 1] with their 90 % intervals; question "variance": of the variance of mIoU (fANOVA);
            "top": of what parts the best trials from all others (PED-ANOVA). condition: the trials it is a share among,
            such as "method = heteroakd"; empty: all. reason says why a dimension is not identifiable. The row NOISE
            of each question is a dimension that does nothing.
        interactions: share of the variance that two dimensions explain only together.
        gains: per pair what it gains in [-1, 1] over the matched student alone, with its 90 % interval; statistic
            "typical": the mean of its configs; "best": its best config, without the luck of being the best. method:
            empty, or one of several of the pair's methods. distinguishable: from 0. equal: what the trials and the
            students alone had equally much of, steps or compute; one of them is what the study was searched at, the
            other is read from the curves. bound: "at least" where trials were read before their end, "at most" where
            students alone were, "about" where both were; then distinguishable is only what such a bound can tell. NaN,
            and no trials: no curve reaches, as the reason says.
        pooled: the rows of `gains` that can be pooled, of pairs whatever their method and of whole runs: gain, low and
            high as there; pooled, with its 90 % interval: what is believed of the pair when its teacher's and its
            student's other pairs are heard too; own: how far that stays with the pair's own gain, in [0, 1];
            distinguishable: the pooled gain, from 0.
        surface: per pair a regular grid over lambda_kd and lambda_hakd; near_best: within noise of the best.
        local: per pair and dimension, mIoU while the others stay as in the best trial; value orders, label names; best:
            the best trial's own value.
        ranks: Spearman's correlation of what trials had at a step with what they had in the end.
        confirmed: one row a finalist, the best first: its score in the search, on fresh seeds on the validation split,
            curse = the first minus the second (NaN of a search over folds, whose images are others); and on `split`,
            mean and 90 % interval over seeds of mIoU and of the gain over the matched student alone on the same seeds;
            images_low, images_high: 90 % interval of that mean over images. winner: told apart from every other
            finalist; else reason says.
    """

    summary: Mapping[str, str] = field(default_factory=dict)
    cost: str = "parameters_millions"
    equal: str = "steps"
    stop_when: float | None = None
    trials: pd.DataFrame = field(default_factory=lambda: blank("trials"))
    believed: pd.DataFrame = field(default_factory=lambda: blank("believed"))
    further: pd.DataFrame = field(default_factory=lambda: blank("further"))
    curves: pd.DataFrame = field(default_factory=lambda: blank("curves"))
    taught: pd.DataFrame = field(default_factory=lambda: blank("taught"))
    dimensions: pd.DataFrame = field(default_factory=lambda: blank("dimensions"))
    noise: pd.DataFrame = field(default_factory=lambda: blank("noise"))
    importance: pd.DataFrame = field(default_factory=lambda: blank("importance"))
    interactions: pd.DataFrame = field(default_factory=lambda: blank("interactions"))
    gains: pd.DataFrame = field(default_factory=lambda: blank("gains"))
    pooled: pd.DataFrame = field(default_factory=lambda: blank("pooled"))
    surface: pd.DataFrame = field(default_factory=lambda: blank("surface"))
    local: pd.DataFrame = field(default_factory=lambda: blank("local"))
    ranks: pd.DataFrame = field(default_factory=lambda: blank("ranks"))
    confirmed: pd.DataFrame = field(default_factory=lambda: blank("confirmed"))

    def __post_init__(self) -> None:
        for name, columns in COLUMNS.items():
            missing = columns.keys() - set(getattr(self, name))
            assert not missing, f"{name} lacks {sorted(missing)}"

    @property
    def measure(self) -> str:
        """That which gains of whole runs are equal at: steps or compute."""
        return "steps" if self.equal == "steps" else "compute"

    @property
    def at_equal(self) -> str:
        """Under which gains were measured, in words."""
        return "at equal steps" if self.equal == "steps" else f"at equal compute, in {self.equal}"

    @property
    def at_other(self) -> str:
        """Under which gains are read from the curves, in words."""
        return "at equal compute, in seconds of whole trials" if self.equal == "steps" else "at equal steps"

    def gains_at(self, measure: str) -> pd.DataFrame:
        """The rows of `gains` at equal steps, or at equal compute."""
        return self.gains[self.gains["equal"] == measure]

    def trials_of(self, role: str, *states: str) -> pd.DataFrame:
        """The trials of a role, in the given states (none given: all), by number."""
        rows = self.trials[self.trials["role"] == role]
        if states:
            rows = rows[rows["state"].isin(states)]
        return rows.sort_values("number", kind="stable")

    def best(self, by: str = "miou") -> pd.DataFrame:
        """The complete search trials that have a score, as `ranked` puts them."""
        return ranked(self.trials_of("search", "COMPLETE"), self.believed, by)


def ranked(complete: pd.DataFrame, believed: pd.DataFrame, by: str = "miou") -> pd.DataFrame:
    """Complete search trials with the columns of what is believed, the best first.

    First by what the config is believed to have, so that luck does not decide; of one config's runs the best first.
    Where nothing is believed, by the score itself.

    Args:
        by: miou or gain; trials without it are left out.
    """
    rows = complete.dropna(subset=[by]).merge(believed, on="number", how="left")
    true = {"miou": "believed", "gain": "believed_gain"}[by]
    order = rows[true].fillna(rows[by]).rename("order").to_frame().assign(own=rows[by])
    return rows.loc[order.sort_values(["order", "own"], ascending=False, kind="stable").index].reset_index(drop=True)
