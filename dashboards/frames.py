"""StudyFrames: everything the dashboards know of a study, as tidy pandas frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import pandas as pd

PARAM = "param."
"""Prefix of the columns of `trials` that hold a search dimension."""

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
        "step": "int64",
        "miou": "float64",
        "baseline": "float64",
        "gain": "float64",
        "peer_miou": "float64",
        "peer_gain": "float64",
        "parameters_millions": "float64",
        "gmac": "float64",
        "latency_ms": "float64",
        "seconds": "float64",
    },
    "curves": {"role": "str", "number": "int64", "step": "int64", "miou": "float64"},
    "taught": {
        "role": "str",
        "number": "int64",
        "step": "int64",
        "regions_to_student": "float64",
        "pixels_to_student": "float64",
    },
    "dimensions": {"name": "str", "kind": "str", "log": "bool"},
    "importance": {
        "dimension": "str",
        "mean": "float64",
        "low": "float64",
        "high": "float64",
        "identifiable": "bool",
        "reason": "str",
    },
    "surface": {
        "pair": "str",
        "lambda_kd": "float64",
        "lambda_hakd": "float64",
        "miou_mean": "float64",
        "miou_sd": "float64",
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
        cost: the column of trials that mIoU is weighed against: parameters_millions, gmac or latency_ms.
        trials: one row per trial, keyed by (role, number). role: search or baseline. state: COMPLETE, PRUNED, FAIL,
            RUNNING or WAITING. Families: CNN, Transformer, hybrid, other. miou, baseline in [0, 1]; miou is final for
            COMPLETE and the last reported value otherwise. baseline: mIoU of the matched student without
            distillation. gain: miou - baseline. peer_miou, peer_gain: final mIoU of a collaborative trial's other
            student, and what that is over the same network alone. Missing numbers are NaN. One column
            `param.<dimension>` per dimension.
        curves: every reported value, one row per (role, number, step).
        taught: of collaborative trials, who taught whom between two reports: the share in [0, 1] of the regions and of
            the pixels in which the other student (the pair's first) taught the student. NaN: not distilled.
        dimensions: one row per search dimension; kind: float, int or categorical.
        importance: share of the variance of mIoU in [0, 1], with its 90 % bootstrap interval; reason says why a
            dimension is not identifiable.
        surface: per pair a regular grid over lambda_kd and lambda_hakd.
    """

    summary: Mapping[str, str] = field(default_factory=dict)
    cost: str = "parameters_millions"
    trials: pd.DataFrame = field(default_factory=lambda: blank("trials"))
    curves: pd.DataFrame = field(default_factory=lambda: blank("curves"))
    taught: pd.DataFrame = field(default_factory=lambda: blank("taught"))
    dimensions: pd.DataFrame = field(default_factory=lambda: blank("dimensions"))
    importance: pd.DataFrame = field(default_factory=lambda: blank("importance"))
    surface: pd.DataFrame = field(default_factory=lambda: blank("surface"))

    def __post_init__(self) -> None:
        for item in fields(self):
            missing = COLUMNS.get(item.name, {}).keys() - set(getattr(self, item.name))
            assert not missing, f"{item.name} lacks {sorted(missing)}"

    def trials_of(self, role: str, *states: str) -> pd.DataFrame:
        """The trials of a role, in the given states (none given: all), by number."""
        rows = self.trials[self.trials["role"] == role]
        if states:
            rows = rows[rows["state"].isin(states)]
        return rows.sort_values("number", kind="stable")
