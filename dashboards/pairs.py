"""Pair matrix: what the best trial of each teacher-student pair gained over the student alone."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each cell is what the pair's best config gains in points of mIoU over the matched student alone, freed of the "
    "luck of being the best (with one seed, it is in), with its 90 % interval, and pooled: when the other pairs of its "
    "teacher and its student are heard too; pale cells cannot be told from 0 by these trials."
)
TITLE = "Which pairs gain over the student alone"
_PALE = 0.35  # opacity of what may be 0
_NONE = {"PRUNED": "all pruned", "FAIL": "all failed"}


@dataclass(frozen=True)
class Pairs:
    """Teachers (index) by students (columns).

    Attributes:
        gains: percentage points; NaN: no complete trial, or no matched baseline.
        sure: whether a gain is told apart from 0.
        texts: what stands in each cell; hovers: what is shown when pointing at it.
        families: network -> architecture family.
    """

    gains: pd.DataFrame
    sure: pd.DataFrame
    texts: pd.DataFrame
    hovers: pd.DataFrame
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
    sure = pd.DataFrame(False, index=teachers, columns=students)
    texts = pd.DataFrame("not tried", index=teachers, columns=students)
    hovers = pd.DataFrame("", index=teachers, columns=students)
    found = frames.gains_at(frames.measure)
    known = _by_sides(found[(found["method"] == "") & (found["statistic"] == "best")])
    shared = frames.pooled[(frames.pooled["equal"] == frames.measure) & (frames.pooled["statistic"] == "best")]
    pooled = _by_sides(shared)
    for key, cell in trials.groupby(list(_SIDES)):
        teacher, student = map(str, key)
        drawn = _cell(cell, known.get((teacher, student)), pooled.get((teacher, student)))
        for table, value in zip((gains, sure, texts, hovers), drawn, strict=True):
            table.loc[teacher, student] = value
    return Pairs(gains=gains, sure=sure, texts=texts, hovers=hovers, families=families)


_SIDES = ("teacher", "student")


def _by_sides(rows: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["teacher"], row["student"]): row for row in marks.records(rows)}


def _cell(
    trials: pd.DataFrame, known: dict[str, Any] | None, pooled: dict[str, Any] | None
) -> tuple[float, bool, str, str]:
    """Gain in points, whether it is told apart from 0, text, hover text."""
    complete = trials[(trials["state"] == "COMPLETE") & trials["miou"].notna()]
    if complete.empty:
        states = set(trials["state"])
        return np.nan, False, _NONE.get(states.pop(), "none complete") if len(states) == 1 else "none complete", ""
    if known is not None:
        texts = (_text(known), _hover(known))
        if pooled is not None:
            texts = (f"{texts[0]}<br>{_pooled(pooled)}", f"{texts[1]}<br>{_share(pooled)}")
        return 100 * known["gain"], bool(known["distinguishable"]), *texts
    best = complete.loc[complete["miou"].idxmax()]
    if pd.isna(best["gain"]):
        return np.nan, False, f"no baseline (n={len(complete)})", ""
    return 100 * float(best["gain"]), False, f"{marks.points_text(best['gain'])} (n={len(complete)})", _RAW


_RAW = "the best complete trial as it is, luck included"


def _text(known: dict[str, Any]) -> str:
    first = f"{marks.points_text(known['gain'])} (n={known['num_trials']})"
    if pd.isna(known["low"]):
        return f"{first}<br>no interval"
    interval = f"{marks.points_text(known['low'])} to {marks.points_text(known['high'])}"
    return f"<b>{first}</b><br>{interval}" if known["distinguishable"] else f"{first}<br>{interval}<br>not told from 0"


def _pooled(row: dict[str, Any]) -> str:
    ends = (marks.points_text(row[name]) for name in ("pooled_low", "pooled_high"))
    return f"pooled {marks.points_text(row['pooled'])}, {' to '.join(ends)}"


def _share(row: dict[str, Any]) -> str:
    return f"pooled: {100 * row['own']:.0f} % its own gain, the rest its teacher's and student's other pairs"


def _hover(known: dict[str, Any]) -> str:
    first = "told apart from 0" if known["distinguishable"] else "not distinguishable from 0"
    counts = f"{known['num_trials']} complete trials, {known['num_seeds']} seeds"
    return "<br>".join([first, counts, *(theme.escape(line) for line in textwrap.wrap(str(known["reason"]), 60))])


def figure(data: Pairs) -> go.Figure:
    """Teachers against students, blue for a gain, orange for a loss, white for none."""
    if data.gains.empty:
        return theme.empty(TITLE, "No search trial with a teacher has started yet.")
    rows, columns = data.gains.shape
    width = 260 + 150 * columns
    drawing = theme.canvas(TITLE, x="student", y="teacher", height=190 + 90 * rows, min_width=min(width, 1100))
    values = data.gains.to_numpy(dtype=float)
    most = float(np.nanmax(np.abs(values), initial=0.5))
    sure = data.sure.to_numpy(dtype=bool)
    bar = {"title": {"text": "gain<br>(points)"}, "thickness": 14, "outlinewidth": 0}
    shown = {"zmin": -most, "zmax": most, "colorscale": theme.DIVERGING, "xgap": 3, "ygap": 3, "hoverinfo": "skip"}
    drawing.add_heatmap(z=np.where(sure, np.nan, values).tolist(), opacity=_PALE, showscale=False, **shown)
    drawing.add_heatmap(z=np.where(sure, values, np.nan).tolist(), colorbar=bar, **shown)
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
        hovertext=[text for line in data.hovers.to_numpy().tolist() for text in line],
        hovertemplate="%{hovertext}<extra></extra>",
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
