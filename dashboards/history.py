"""Optimisation history: what each trial reached, and the best so far."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each mark is a search trial in the colour of its student's family: a trial helps when it lies above the dashed "
    "line of its own student, and the search still learns while the stepped line climbs."
)
TITLE = "What each trial reached, and the best so far"


@dataclass(frozen=True)
class History:
    """mIoU in %.

    Attributes:
        valued: search trials with a value, as from `marks.points`.
        failed: search trials that failed without a value.
        best: number, miou; the best over COMPLETE search trials up to and with this number.
        baselines: student -> mean over its COMPLETE baseline trials.
    """

    valued: pd.DataFrame
    failed: pd.DataFrame
    best: pd.DataFrame
    baselines: dict[str, float]


def prepare(frames: StudyFrames) -> History:
    """What is drawn of the search trials, by number, and the level of each student alone."""
    drawn = marks.points(frames.trials_of("search"))
    valued = drawn[drawn["miou"].notna()]
    complete = valued[valued["state"] == "COMPLETE"]
    alone = frames.trials_of("baseline", "COMPLETE").groupby("student")["miou"].mean().dropna()
    return History(
        valued=valued,
        failed=drawn[drawn["miou"].isna() & (drawn["state"] == "FAIL")],
        best=pd.DataFrame({"number": complete["number"], "miou": complete["miou"].cummax()}),
        baselines={str(student): 100 * float(level) for student, level in alone.items()},
    )


def figure(data: History) -> go.Figure:
    """Trial number against mIoU; trials that failed without a value sit on the lower edge, an axis of their own."""
    if data.valued.empty and data.failed.empty:
        return theme.empty(TITLE, "No search trial has reported a value yet.")
    drawing = theme.canvas(TITLE, x="search trial (number)", y="mIoU (%)", height=500)
    both = pd.concat([data.valued, data.failed])
    drawing.add_traces(marks.legend(both["family"], both["state"]))
    drawing.add_traces(marks.scatter(data.valued, x="number", y="miou"))
    drawing.add_traces(marks.scatter(data.failed.assign(edge=0.02), x="number", y="edge", yaxis="y2"))
    first, last = both["number"].min() - 0.6, both["number"].max() + 0.6
    if not data.best.empty:
        _best(drawing, data.best, last)
    _baselines(drawing, data.baselines, (first, last))
    edge = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    return drawing.update_layout(yaxis2=edge, xaxis={"range": [first, last], "tickformat": "d", "nticks": 12})


def _best(drawing: go.Figure, best: pd.DataFrame, last: float) -> None:
    best = best[best["miou"].diff().ne(0)]  # where it rises; between, the line is level
    drawing.add_scatter(
        x=[*best["number"], last],
        y=[*best["miou"], best["miou"].iloc[-1]],
        mode="lines",
        line={"shape": "hv", "color": theme.INK, "width": 2},
        name="best so far",
        hovertemplate="best so far: %{y:.2f} %<extra></extra>",
    )


def _baselines(drawing: go.Figure, baselines: dict[str, float], span: tuple[float, float]) -> None:
    dashes = cycle(("dash", "dot", "dashdot", "longdash"))
    for (student, level), dash in zip(baselines.items(), dashes, strict=False):
        drawing.add_scatter(
            x=list(span),
            y=[level, level],
            mode="lines",
            line={"color": theme.BASELINE, "dash": dash, "width": 1.5},
            name=f"{theme.escape(student)}<br>alone: {level:.1f} %",
            hovertemplate="%{fullData.name}<extra></extra>",
        )
