"""Learning curves: every value each trial reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each line is one trial; faint lines that end in a hollow cross were pruned there, and a good pruner ends lines "
    "low in the bundle, not ones about to rise above the grey baselines."
)
TITLE = "How mIoU grew during training, and where trials were pruned"
_MOST = 4_000
"""Values that are drawn. Of more, only every second, third, ... trial's line is, and the axis says so."""


@dataclass(frozen=True)
class Curves:
    """mIoU in %.

    Attributes:
        lines: reported values by role, number, step, with state, family, name and text of their trial.
        ends: the last row of each trial in `lines`.
        one_of: of so many trials, one has a line.
    step: what the x axis counts.
    """

    lines: pd.DataFrame
    ends: pd.DataFrame
    one_of: int = 1
    step: str = "step"


def prepare(frames: StudyFrames) -> Curves:
    """Every reported value, joined to its trial."""
    values = frames.curves[frames.curves["miou"].notna()]
    one_of = -(-len(values) // _MOST) or 1
    values = values[(values["number"] % one_of == 0) | (values["role"] == "baseline")]
    trials = marks.points(frames.trials).drop(columns="miou")
    lines = values.assign(miou=100 * values["miou"]).merge(trials, on=["role", "number"])
    lines = lines.sort_values(["role", "number", "step"], ignore_index=True)
    last = ~lines.duplicated(["role", "number"], keep="last")
    step = "step" if frames.equal == "steps" else f"step of the student alone that costs as much ({frames.equal})"
    return Curves(lines=lines, ends=lines[last], one_of=one_of, step=step)


def figure(data: Curves) -> go.Figure:
    """Step against mIoU, one line per trial; search trials by family, baselines in grey."""
    if data.lines.empty:
        return theme.empty(TITLE, "No trial has reported a value yet.")
    few = f" (a line for one search trial in {data.one_of})" if data.one_of > 1 else ""
    drawing = theme.canvas(TITLE, x=data.step + few, y="mIoU (%)")
    many = len(data.ends) > marks.MANY
    search = data.lines[data.lines["role"] == "search"]
    ends = data.ends[(data.ends["role"] == "search") & (data.ends["state"] != "COMPLETE")]
    drawing.add_traces(marks.legend(search["family"], ends["state"]))
    for (family, pruned), group in search.groupby(["family", search["state"] == "PRUNED"]):
        bundle = _bundle(group, theme.colour(str(family)), faint=bool(pruned), many=many)
        drawing.add_trace(bundle.update(legendgroup=family))
    alone = data.lines[data.lines["role"] == "baseline"]
    if not alone.empty:
        style = {"name": "student alone", "showlegend": True, "line": {"dash": "dash", "width": 2}}
        drawing.add_trace(_bundle(alone, theme.BASELINE, faint=False, many=False).update(style))
    drawing.add_traces(marks.scatter(ends, x="step", y="miou"))
    return drawing.update_xaxes(rangemode="tozero")


def _bundle(lines: pd.DataFrame, paint: str, *, faint: bool, many: bool) -> go.Scatter | go.Scattergl:
    """The trials' lines as one trace, parted by gaps: a thousand traces would make the page crawl, and
    full texts at every step would fill it."""
    gapped = _gapped(lines)
    whose = marks.whose(gapped.assign(text=gapped["name"]), many=many, tell="<br>here: %{y:.2f} % at step %{x}")
    return (go.Scattergl if many else go.Scatter)(
        x=marks.column(gapped["step"], many=True) if many else _or_none(gapped["step"]),
        y=marks.column(gapped["miou"], many=True) if many else _or_none(gapped["miou"]),
        mode="lines",
        line={"color": paint, "width": 1 if many else 1.5},
        opacity=(0.1 if many else 0.3) if faint else 0.5 if many else 0.85,
        connectgaps=False,
        showlegend=False,
        **whose,
    )


def _gapped(lines: pd.DataFrame) -> pd.DataFrame:
    """The lines with a row without step and value behind each trial; they are sorted by trial."""
    last = ~lines.duplicated(["role", "number"], keep="last").to_numpy()
    gaps = lines[last].assign(step=np.nan, miou=np.nan)
    order = np.argsort(np.concatenate([np.arange(len(lines)), np.flatnonzero(last) + 0.5]))
    return pd.concat([lines, gaps], ignore_index=True).iloc[order]


def _or_none(values: pd.Series) -> list[float | None]:
    return [None if value != value else value for value in values]
