"""Learning curves: every value each trial reported."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each line is one trial; faint lines that end in a hollow cross were pruned there, and a good pruner ends lines "
    "low in the bundle, not ones about to rise above the grey baselines."
)
TITLE = "How mIoU grew during training, and where trials were pruned"


@dataclass(frozen=True)
class Curves:
    """mIoU in %.

    Attributes:
        lines: every reported value by role, number, step, with state, family, name and text of its trial.
        ends: the last row of each trial in `lines`.
    """

    lines: pd.DataFrame
    ends: pd.DataFrame


def prepare(frames: StudyFrames) -> Curves:
    """Every reported value, joined to its trial."""
    values = frames.curves[frames.curves["miou"].notna()]
    trials = marks.points(frames.trials).drop(columns="miou")
    lines = values.assign(miou=100 * values["miou"]).merge(trials, on=["role", "number"])
    lines = lines.sort_values(["role", "number", "step"], ignore_index=True)
    return Curves(lines=lines, ends=lines.groupby(["role", "number"]).tail(1))


def figure(data: Curves) -> go.Figure:
    """Step against mIoU, one line per trial; search trials by family, baselines in grey."""
    if data.lines.empty:
        return theme.empty(TITLE, "No trial has reported a value yet.")
    drawing = theme.canvas(TITLE, x="step", y="mIoU (%)")
    search = data.lines[data.lines["role"] == "search"]
    ends = data.ends[(data.ends["role"] == "search") & (data.ends["state"] != "COMPLETE")]
    drawing.add_traces(marks.legend(search["family"], ends["state"]))
    for (family, pruned), group in search.groupby(["family", search["state"] == "PRUNED"]):
        drawing.add_trace(_bundle(group, theme.colour(str(family)), faint=bool(pruned)).update(legendgroup=family))
    alone = data.lines[data.lines["role"] == "baseline"]
    if not alone.empty:
        style = {"name": "student alone", "showlegend": True, "line": {"dash": "dash", "width": 2}}
        drawing.add_trace(_bundle(alone, theme.BASELINE, faint=False).update(style))
    drawing.add_traces(marks.scatter(ends, x="step", y="miou"))
    return drawing.update_xaxes(rangemode="tozero")


def _bundle(lines: pd.DataFrame, paint: str, *, faint: bool) -> go.Scatter:
    """The trials' lines as one trace, parted by gaps: a thousand traces would make the page crawl, and
    full texts at every step would fill it."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for _, line in lines.groupby(["role", "number"]):
        x += [*line["step"], None]
        y += [*line["miou"], None]
        text += [*line["name"], ""]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": paint, "width": 1.5},
        opacity=0.3 if faint else 0.85,
        connectgaps=False,
        hovertext=text,
        hovertemplate="%{hovertext}<br>here: %{y:.2f} % at step %{x}<extra></extra>",
        showlegend=False,
    )
