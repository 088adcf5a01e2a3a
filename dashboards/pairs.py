"""Pair matrix: what the best trial of each teacher-student pair gained over the student alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each cell is the gain, in percentage points of mIoU, of the pair's best complete trial over the matched student "
    "alone; n counts complete trials, so a large gain with a small n is a hint rather than a result."
)
TITLE = "Which pairs gain over the student alone"
_NONE = {"PRUNED": "all pruned", "FAIL": "all failed"}


@dataclass(frozen=True)
class Pairs:
    """Teachers (index) by students (columns).

    Attributes:
        gains: percentage points; NaN: no complete trial, or no matched baseline.
        texts: what stands in each cell.
        families: network -> architecture family.
    """

    gains: pd.DataFrame
    texts: pd.DataFrame
    families: dict[str, str]


def prepare(frames: StudyFrames) -> Pairs:
    """The best complete search trial of each teacher and student; networks in alphabetical order within a family."""
    trials = frames.trials_of("search")
    trials = trials[trials["teacher"].notna()]
    families = {
        **dict(zip(trials["student"], trials["student_family"], strict=True)),
        **dict(zip(trials["teacher"], trials["teacher_family"], strict=True)),
    }
    teachers, students = (sorted(set(trials[side]), key=lambda name: (families[name], name)) for side in _SIDES)
    gains = pd.DataFrame(np.nan, index=teachers, columns=students)
    texts = pd.DataFrame("not tried", index=teachers, columns=students)
    for key, cell in trials.groupby(list(_SIDES)):
        teacher, student = map(str, key)
        gains.loc[teacher, student], texts.loc[teacher, student] = _cell(cell)
    return Pairs(gains=gains, texts=texts, families=families)


_SIDES = ("teacher", "student")


def _cell(trials: pd.DataFrame) -> tuple[float, str]:
    complete = trials[(trials["state"] == "COMPLETE") & trials["miou"].notna()]
    if complete.empty:
        states = set(trials["state"])
        return np.nan, _NONE.get(states.pop(), "none complete") if len(states) == 1 else "none complete"
    best = complete.loc[complete["miou"].idxmax()]
    if pd.isna(best["gain"]):
        return np.nan, f"no baseline (n={len(complete)})"
    return 100 * float(best["gain"]), f"{marks.points_text(best['gain'])} (n={len(complete)})"


def figure(data: Pairs) -> go.Figure:
    """Teachers against students, blue for a gain, orange for a loss, white for none."""
    if data.gains.empty:
        return theme.empty(TITLE, "No search trial with a teacher has started yet.")
    rows, columns = data.gains.shape
    width = 260 + 150 * columns
    drawing = theme.canvas(TITLE, x="student", y="teacher", height=190 + 56 * rows, min_width=min(width, 1100))
    values = data.gains.to_numpy(dtype=float)
    most = float(np.nanmax(np.abs(values), initial=0.5))
    drawing.add_heatmap(
        z=values.tolist(),
        zmin=-most,
        zmax=most,
        colorscale=theme.DIVERGING,
        colorbar={"title": {"text": "gain<br>(points)"}, "thickness": 14, "outlinewidth": 0},
        xgap=3,
        ygap=3,
        hoverinfo="skip",
    )
    _texts(drawing, data)
    _names(drawing, data)
    return drawing.update_layout(plot_bgcolor="#F1F3F5")


def _texts(drawing: go.Figure, data: Pairs) -> None:
    rows, columns = data.gains.shape
    drawing.add_scatter(
        x=[column for _ in range(rows) for column in range(columns)],
        y=[row for row in range(rows) for _ in range(columns)],
        text=[text for line in data.texts.to_numpy().tolist() for text in line],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
    )


def _name(name: str, family: str) -> str:
    text = theme.escape(name).replace(":", ":<br>", 1)
    return f'<span style="color:{theme.colour(family)}">{text}</span>'


def _names(drawing: go.Figure, data: Pairs) -> None:
    """Names on numeric axes, in the colour of their family: plotly would read "1e3" or a date into category names."""

    def ticks(names: pd.Index) -> dict[str, object]:
        texts = [_name(name, data.families[name]) for name in names]
        where = list(range(len(names)))
        return {"tickvals": where, "ticktext": texts, "showgrid": False, "showline": False, "ticks": ""}

    rows, columns = data.gains.shape
    drawing.update_xaxes(range=[-0.5, columns - 0.5], **ticks(data.gains.columns))
    drawing.update_yaxes(range=[rows - 0.5, -0.5], **ticks(data.gains.index))
