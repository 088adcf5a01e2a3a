"""Trade-off: mIoU against what the student costs: parameters, multiply-accumulates or latency."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "The line joins the complete trials, distilled or not, that no cheaper student matches: what lies under it is "
    "never the right choice, and grey diamonds show the students alone."
)
TITLE = "mIoU against the cost of the student"
AXES = {
    "parameters_millions": "student's parameters (millions)",
    "gmac": "student's multiply-accumulates of a crop (1e9)",
    "latency_ms": "student's latency for a crop (ms)",
}


@dataclass(frozen=True)
class Tradeoff:
    """mIoU in %, cost in the unit of the axis (column `size`).

    Attributes:
        axis: title of the cost's axis.
        search: search trials with a value, as from `marks.points`.
        baselines: complete baseline trials.
        front: size, miou of the Pareto front over complete trials of both roles, by rising size.
    """

    axis: str
    search: pd.DataFrame
    baselines: pd.DataFrame
    front: pd.DataFrame


def prepare(frames: StudyFrames) -> Tradeoff:
    """Trials with a value and a cost, and the Pareto front of the complete ones."""
    drawn = marks.points(frames.trials).assign(size=frames.trials[frames.cost].tolist())
    drawn = drawn[drawn["miou"].notna() & drawn["size"].notna()]
    complete = drawn[drawn["state"] == "COMPLETE"]
    return Tradeoff(
        axis=AXES[frames.cost],
        search=drawn[drawn["role"] == "search"],
        baselines=complete[complete["role"] == "baseline"],
        front=pareto(complete[["size", "miou"]]),
    )


def pareto(candidates: pd.DataFrame) -> pd.DataFrame:
    """The rows that no row of at most their size matches or beats, by rising size.

    Args:
        candidates: columns size (less is better) and miou (more is better).
    """
    by_size = candidates.sort_values(["size", "miou"], ascending=[True, False], ignore_index=True)
    best_before = by_size["miou"].cummax().shift(fill_value=float("-inf"))
    return by_size[by_size["miou"] > best_before].reset_index(drop=True)


def figure(data: Tradeoff) -> go.Figure:
    """Cost against mIoU, the Pareto front as a step line."""
    if data.search.empty and data.baselines.empty:
        return theme.empty(TITLE, "No trial has reported a value yet.")
    drawing = theme.canvas(TITLE, x=data.axis, y="mIoU (%)")
    sizes = pd.concat([data.search["size"], data.baselines["size"]])
    pad = max(0.08 * (sizes.max() - sizes.min()), 0.05 * sizes.max())
    first, last = sizes.min() - pad, sizes.max() + pad
    if not data.front.empty:
        drawing.add_scatter(
            x=[*data.front["size"], last],
            y=[*data.front["miou"], data.front["miou"].iloc[-1]],
            mode="lines",
            line={"shape": "hv", "color": theme.INK, "width": 1.5},
            name="Pareto front",
            hoverinfo="skip",
        )
    drawing.add_traces(marks.legend(data.search["family"], data.search["state"]))
    drawing.add_traces(marks.scatter(data.search, x="size", y="miou"))
    drawing.add_scatter(
        x=data.baselines["size"].tolist(),
        y=data.baselines["miou"].tolist(),
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": theme.BASELINE, "line": {"color": "white", "width": 1}},
        hovertext=data.baselines["text"].tolist(),
        hovertemplate="%{hovertext}<extra></extra>",
        name="student alone",
        showlegend=not data.baselines.empty,
    )
    return drawing.update_xaxes(range=[first, last])
