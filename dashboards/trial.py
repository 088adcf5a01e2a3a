"""One trial: its learning curve beside that of its student alone and the others of its pair."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboards import theme
from dashboards.frames import StudyFrames

TITLE = "Learning curve"
_OTHERS = 40  # faint lines behind it


@dataclass(frozen=True)
class TrialCurve:
    """Curves by step, miou in %; every one may be empty.

    Attributes:
        own: of the trial.
        alone: of the best complete trial of its student alone, same seed and budget.
        others: number, step, miou of complete search trials of the same pair, at most _OTHERS of them.
        family: of its student.
    """

    own: pd.DataFrame
    alone: pd.DataFrame
    others: pd.DataFrame
    family: str


def prepare(frames: StudyFrames, role: str, number: int) -> TrialCurve:
    """What is drawn of a trial; it must be one of the frames'."""
    trials = frames.trials
    trial = trials[(trials["role"] == role) & (trials["number"] == number)].iloc[0]
    peers = frames.trials_of("search", "COMPLETE")
    peers = peers[(peers["pair"] == trial["pair"]) & (peers["number"] != number)] if role == "search" else peers[:0]
    matched = alone(frames, trial) if role == "search" else None
    curves = frames.curves
    searched = curves[(curves["role"] == "search") & curves["number"].isin(set(peers["number"].tail(_OTHERS)))]
    return TrialCurve(
        own=_curve(curves, role, number),
        alone=_curve(curves, "baseline", -1 if matched is None else matched),
        others=searched.assign(miou=100 * searched["miou"]).sort_values(["number", "step"]),
        family=str(trial["student_family"]),
    )


def alone(frames: StudyFrames, trial: pd.Series) -> int | None:
    """The number of the baseline trial that a search trial's gain is measured against."""
    rows = frames.trials_of("baseline", "COMPLETE").dropna(subset=["miou"])
    same = [rows[name] == trial[name] for name in ("student", "seed", "budget")]
    rows = rows[same[0] & same[1] & same[2]]
    return None if rows.empty else int(rows.loc[rows["miou"].idxmax(), "number"])


def _curve(curves: pd.DataFrame, role: str, number: int) -> pd.DataFrame:
    rows = curves[(curves["role"] == role) & (curves["number"] == number) & curves["miou"].notna()]
    return rows.assign(miou=100 * rows["miou"]).sort_values("step")


def figure(data: TrialCurve) -> go.Figure:
    """Step against mIoU: the trial thick, its student alone dashed, others of its pair faint."""
    if data.own.empty:
        return theme.empty(TITLE, "The trial has not reported a value yet.")
    drawing = theme.canvas(TITLE, x="step", y="mIoU (%)", height=280)
    for index, (_, line) in enumerate(data.others.groupby("number")):
        entry = {"name": "others of the pair", "showlegend": index == 0, "legendgroup": "others"}
        drawing.add_trace(
            _line(line, {"color": theme.MUTED, "width": 1}).update(opacity=0.3, hoverinfo="skip", **entry)
        )
    if not data.alone.empty:
        style = {"color": theme.BASELINE, "width": 2, "dash": "dash"}
        drawing.add_trace(_line(data.alone, style).update(name="student alone"))
    drawing.add_trace(_line(data.own, {"color": theme.colour(data.family), "width": 3}).update(name="this trial"))
    return drawing.update_xaxes(rangemode="tozero")


def _line(curve: pd.DataFrame, line: dict[str, object]) -> go.Scatter:
    return go.Scatter(
        x=curve["step"].tolist(),
        y=curve["miou"].tolist(),
        mode="lines+markers" if len(curve) == 1 else "lines",
        line=line,
        hovertemplate="%{fullData.name}: %{y:.2f} % at step %{x}<extra></extra>",
    )
