"""Ranks: whether trials keep the order they have early, which is what pruning bets on."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboards import intervals, marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "The line is Spearman's correlation of mIoU at a step with the final one over trials that could not be pruned, and "
    "the band its 90 % interval: pruning is safe where it is near 1, and bars count the trials that were pruned there."
)
TITLE = "Is pruning safe here: does the early order last"


@dataclass(frozen=True)
class Ranks:
    """Attributes:
    line: step, num_trials, rho, low, high, by rising step.
    pruned: step, count of the search trials that were pruned there.
    """

    line: pd.DataFrame
    pruned: pd.DataFrame


def prepare(frames: StudyFrames) -> Ranks:
    """The correlations by rising step, and where trials were pruned."""
    steps = frames.trials_of("search", "PRUNED").groupby("step", as_index=False).size()
    line = frames.ranks.sort_values("step", ignore_index=True)
    return Ranks(line=line, pruned=steps.rename(columns={"size": "count"}))


def figure(data: Ranks) -> go.Figure:
    """Step against rank correlation, with a band; the pruned trials as bars from below."""
    if data.line.empty:
        return theme.empty(
            TITLE,
            "At least 5 complete trials that could not be pruned are needed: probes, or a sweep without a pruner.",
        )
    drawing = theme.canvas(TITLE, x="step", y="rank correlation with the end")
    if len(data.pruned):
        _bars(drawing, data.pruned)
    line = data.line
    drawing.add_trace(intervals.band(line["step"], line["low"], line["high"]).update(name="90 % interval"))
    drawing.add_scatter(
        x=line["step"].tolist(),
        y=line["rho"].tolist(),
        mode="lines+markers",
        line={"color": theme.INK, "width": 2},
        marker={"size": 8},
        name="Spearman's correlation",
        hovertext=[
            f"step {row['step']}: {row['rho']:.2f} (90 % interval {row['low']:.2f} to {row['high']:.2f}, "
            f"n={row['num_trials']})"
            for row in marks.records(line)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    lowest = min(0.0, float(line["low"].min()))
    return drawing.update_xaxes(rangemode="tozero").update_yaxes(range=[lowest - 0.05, 1.05])


def _bars(drawing: go.Figure, pruned: pd.DataFrame) -> None:
    drawing.add_bar(
        x=pruned["step"].tolist(),
        y=pruned["count"].tolist(),
        yaxis="y2",
        marker={"color": theme.MUTED, "opacity": 0.35},
        name="trials pruned there",
        hovertemplate="%{y} trials pruned at step %{x}<extra></extra>",
    )
    most = 3 * float(pruned["count"].max())  # a third of the height
    drawing.update_layout(yaxis2={"overlaying": "y", "range": [0, most], "visible": False, "fixedrange": True})
