"""Trade-off: mIoU against the size of the student."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "The line joins the complete trials, distilled or not, that no smaller student matches: what lies under it is "
    "never the right choice, and grey diamonds show the students alone."
)
TITLE = "mIoU against the size of the student"


@dataclass(frozen=True)
class Tradeoff:
    """mIoU in %, size in millions of parameters (column `size`).

    Attributes:
        search: search trials with a value, as from `marks.points`.
        baselines: complete baseline trials.
        front: size, miou of the Pareto front over complete trials of both roles, by rising size.
    """

    search: pd.DataFrame
    baselines: pd.DataFrame
    front: pd.DataFrame


def prepare(frames: StudyFrames) -> Tradeoff:
    """Trials with a value and a size, and the Pareto front of the complete ones."""
    drawn = marks.points(frames.trials).assign(size=frames.trials["parameters_millions"].tolist())
    drawn = drawn[drawn["miou"].notna() & drawn["size"].notna()]
    complete = drawn[drawn["state"] == "COMPLETE"]
    return Tradeoff(
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
    """Millions of parameters against mIoU, the Pareto front as a step line."""
    if data.search.empty and data.baselines.empty:
        return theme.empty(TITLE, "No trial has reported a value yet.")
    drawing = theme.canvas(TITLE, x="student's parameters (millions)", y="mIoU (%)")
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
