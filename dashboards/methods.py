"""Methods side by side: what each method's trials gained over the student alone."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import intervals, marks, theme
from dashboards.frames import MEASURES, StudyFrames

CAPTION = (
    "Each circle is the gain of one complete trial over the best trial of the student alone with the same seed, at "
    "equal steps or equal compute as the axis says, the line is the row's median and the diamond the mean with its 90 "
    "% interval; the square is that mean at the other of the two, read from the curves; both are hollow where they "
    "may be 0; the best of a row is luckier the more trials it has, so compare rows of equal n."
)
TITLE = "Which method gains over the student alone"
ALONE = "student alone"
_ROW, _LINE = 40, 16  # pixels of a row, and of one more line of its text
_BAND = 0.34  # half of the median line, in rows
_SHAPES = {"own": ("diamond", 0.2, 11), "other": ("square", 0.36, 9)}  # and rows below the middle, and pixels


@dataclass(frozen=True)
class Methods:
    """Attributes:
    points: one row per complete trial: row, gain in points, family, state, text, name.
    rows: one per pair and method, top to bottom: row, label, median, most, n. The students alone come first.
    means: row, gain, low, high in points, distinguishable; of the typical gains that have an interval.
    at_equal: under which the gains were measured, in words.
    others: as `means`, and bound and reason; of the typical gains at the other of equal steps and equal compute, those
        that are unknown (NaN) or have no interval too.
    at_other: under which these are read, in words.
    """

    points: pd.DataFrame
    rows: pd.DataFrame
    means: pd.DataFrame
    others: pd.DataFrame
    at_equal: str = "at equal steps"
    at_other: str = "at equal compute"


def prepare(frames: StudyFrames) -> Methods:
    """Complete trials by pair and method; within a pair the method with the highest median first."""
    search = frames.trials_of("search", "COMPLETE")
    search = search.assign(label=_labels(search))[search["gain"].notna()]
    alone = _alone(frames, search)
    trials = pd.concat([alone, search]) if len(alone) else search
    points = marks.points(trials).assign(
        gain=(100 * trials["gain"]).to_numpy(), label=trials["label"].to_numpy(), alone=trials["role"].eq("baseline")
        .to_numpy(),
    )  # fmt: skip
    rows = points.groupby(["alone", "label"], as_index=False)["gain"].agg(median="median", most="max", n="size")
    rows = rows.sort_values(["alone", "median"], ascending=False, ignore_index=True)
    rows = rows.drop(columns="alone").assign(row=range(len(rows)))
    points = points.drop(columns="alone").merge(rows[["label", "row"]], on="label")
    (other,) = (measure for measure in MEASURES if measure != frames.measure)
    return Methods(
        points=points,
        rows=rows,
        means=_means(frames.gains_at(frames.measure), search, rows).dropna(subset="low"),
        others=_means(frames.gains_at(other), search, rows),
        at_equal=frames.at_equal,
        at_other=frames.at_other,
    )


def _means(gains: pd.DataFrame, search: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The typical gains by row: of a pair's method, or of a pair that was tried with one alone."""
    labels = search.drop_duplicates("label")[["pair", "method", "label"]].assign(
        one=lambda part: ~part["pair"].duplicated(keep=False)
    )
    labels = labels.assign(method=labels["method"].where(~labels["one"], ""))
    found = gains[gains["statistic"] == "typical"]
    found = found.merge(labels, on=["pair", "method"]).merge(rows[["label", "row"]], on="label")
    scaled = found.assign(**{name: 100 * found[name] for name in ("gain", "low", "high")})
    return scaled[["row", "gain", "low", "high", "distinguishable", "num_trials", "num_seeds", "bound", "reason"]]


def _labels(trials: pd.DataFrame) -> pd.Series:
    """The method, behind its pair where there are several."""
    if trials["pair"].nunique() < 2:
        return trials["method"].astype(str)
    return trials["pair"].astype(str) + "  " + trials["method"].astype(str)


def _alone(frames: StudyFrames, search: pd.DataFrame) -> pd.DataFrame:
    """Trials of the searched students alone, against the best of their seed: how much tuning alone does."""
    alone = frames.trials_of("baseline", "COMPLETE").dropna(subset=["miou"])
    alone = alone[alone["student"].isin(set(search["student"]))]
    key = ["student", "seed", "budget"]
    best = alone.groupby(key)["miou"].transform("max") if len(alone) else alone["miou"]
    label = ALONE if search["student"].nunique() < 2 else alone["student"].astype(str) + "  alone"
    return alone.assign(gain=alone["miou"] - best, label=label)


def figure(data: Methods) -> go.Figure:
    """Gain in points against method, a circle per trial in its student's colour."""
    if data.rows.empty:
        return theme.empty(TITLE, "No complete search trial has a matched student alone yet.")
    height = 170 + (_ROW + (0 if data.others.empty else _LINE)) * len(data.rows)
    drawing = theme.canvas(TITLE, x=f"gain {data.at_equal} (points of mIoU)", y="", height=height)
    drawing.add_vline(x=0, line={"color": theme.BASELINE, "width": 1})
    for row in marks.records(data.rows):
        drawing.add_shape(
            type="line",
            x0=row["median"],
            x1=row["median"],
            y0=row["row"] - _BAND,
            y1=row["row"] + _BAND,
            line={"color": theme.INK, "width": 2},
        )
    drawing.add_traces(marks.legend(data.points["family"], data.points["state"]))
    drawing.add_traces(marks.scatter(data.points, x="gain", y="row"))
    drawing.add_traces(_intervals(data.means, "own", "mean, 90 % interval"))
    drawing.add_traces(_intervals(data.others.dropna(subset="gain"), "other", f"the same {data.at_other}"))
    others = {row["row"]: f"<br>{_words(row, data.at_other)}" for row in marks.records(data.others)}
    texts = [
        f"{theme.escape(row['label'])}<br>{row['median']:+.1f}, best {row['most']:+.1f} (n={row['n']})"
        f"{others.get(row['row'], '')}"
        for row in marks.records(data.rows)
    ]
    ticks = {"tickvals": data.rows["row"].tolist(), "ticktext": texts}
    return drawing.update_yaxes(range=[len(data.rows) - 0.5, -0.5], showgrid=False, **ticks)


def _words(row: dict[str, Any], at: str) -> str:
    """The mean at the other measure, or that nobody knows it."""
    told = "unknown" if pd.isna(row["gain"]) else f"{row['bound']} {row['gain']:+.1f}".strip()
    return f"{at.partition(',')[0]} {told}"


def _intervals(means: pd.DataFrame, kind: str, name: str) -> list[go.Scatter]:
    if means.empty:
        return []
    symbol, below, size = _SHAPES[kind]
    known = means["distinguishable"].astype(bool)
    trace = go.Scatter(
        x=means["gain"].tolist(),
        y=(means["row"] + below).tolist(),
        mode="markers",
        marker={"symbol": np.where(known, symbol, f"{symbol}-open").tolist(), "size": size, "color": theme.INK},
        error_x=intervals.whiskers(means, "gain"),
        hovertext=[_hover(row) for row in marks.records(means)],
        hovertemplate="%{hovertext}<extra></extra>",
        name=name,
    )
    return [trace]


def _hover(row: dict[str, Any]) -> str:
    interval = "no interval" if pd.isna(row["low"]) else f"90 % interval {row['low']:+.1f} to {row['high']:+.1f}"
    lines = [
        f"mean {row['bound']} {row['gain']:+.1f} points ({interval}, n={row['num_trials']}, {row['num_seeds']} seeds)",
        *(theme.escape(line) for line in textwrap.wrap(str(row["reason"]), 60)),
    ]
    return "<br>".join(lines).replace("  ", " ")
