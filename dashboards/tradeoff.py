"""Trade-off: mIoU against what the student costs: parameters, multiply-accumulates or latency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
    """mIoU in %; costs in the units of AXES, one column each.

    Attributes:
        search: search trials with a value and a cost, as from `marks.points`.
        baselines: complete baseline trials.
        fronts: cost -> size, miou of the Pareto front over complete trials of both roles, by rising size; the costs
            that are known, the study's own first.
    """

    search: pd.DataFrame
    baselines: pd.DataFrame
    fronts: dict[str, pd.DataFrame]


def prepare(frames: StudyFrames) -> Tradeoff:
    """Trials with a value and a cost, and by cost the Pareto front of the complete ones."""
    costs = sorted(AXES, key=lambda cost: cost != frames.cost)
    drawn = marks.points(frames.trials).assign(**{cost: frames.trials[cost].tolist() for cost in costs})
    drawn = drawn[drawn["miou"].notna() & drawn[costs].notna().any(axis=1)]
    complete = drawn[drawn["state"] == "COMPLETE"]
    known = [cost for cost in costs if drawn[cost].notna().any()]
    fronts = {cost: pareto(complete[[cost, "miou"]].dropna().set_axis(["size", "miou"], axis=1)) for cost in known}
    search, baselines = drawn[drawn["role"] == "search"], complete[complete["role"] == "baseline"]
    return Tradeoff(search=search, baselines=baselines, fronts=fronts)


def pareto(candidates: pd.DataFrame) -> pd.DataFrame:
    """The rows that no row of at most their size matches or beats, by rising size.

    Args:
        candidates: columns size (less is better) and miou (more is better).
    """
    by_size = candidates.sort_values(["size", "miou"], ascending=[True, False], ignore_index=True)
    best_before = by_size["miou"].cummax().shift(fill_value=float("-inf"))
    return by_size[by_size["miou"] > best_before].reset_index(drop=True)


def figure(data: Tradeoff) -> go.Figure:
    """Cost against mIoU, the Pareto front as a step line; a menu chooses among the costs that are known."""
    if not data.fronts:
        return theme.empty(TITLE, "No trial has reported a value yet.")
    first, *others = data.fronts
    drawing = theme.canvas(TITLE, x=AXES[first], y="mIoU (%)")
    drawing.add_traces([_front(data, cost).update(visible=cost == first) for cost in data.fronts])
    drawing.add_traces(_trials(data, first))
    drawing.update_xaxes(range=_span(data, first))
    return drawing.update_layout(updatemenus=[_menu(data)], margin={"t": 100}) if others else drawing


def _front(data: Tradeoff, cost: str) -> go.Scatter:
    front = data.fronts[cost]
    end = [*front["miou"][-1:]]
    return go.Scatter(
        x=[*front["size"], *([_span(data, cost)[1]] if end else [])],
        y=[*front["miou"], *end],
        mode="lines",
        line={"shape": "hv", "color": theme.INK, "width": 1.5},
        name="Pareto front",
        showlegend=bool(end),
        hoverinfo="skip",
    )


def _trials(data: Tradeoff, cost: str) -> list[go.Scatter | go.Scattergl]:
    """The same traces in the same order for every cost, so that a menu can move them."""
    alone = go.Scatter(
        x=data.baselines[cost].tolist(),
        y=data.baselines["miou"].tolist(),
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": theme.BASELINE, "line": {"color": "white", "width": 1}},
        name="student alone",
        showlegend=not data.baselines.empty,
        **marks.whose(data.baselines),
    )
    legend = marks.legend(data.search["family"], data.search["state"])
    return [*legend, *marks.scatter(data.search, x=cost, y="miou"), alone]


def _span(data: Tradeoff, cost: str) -> list[float]:
    sizes = pd.concat([data.search[cost], data.baselines[cost]])
    pad = max(0.08 * (sizes.max() - sizes.min()), 0.05 * sizes.max())
    return [float(sizes.min() - pad), float(sizes.max() + pad)]


def _menu(data: Tradeoff) -> dict[str, object]:
    """The front of the chosen cost, and all trials moved to it."""
    buttons = []
    for cost in data.fronts:
        fronts, trials = [_front(data, each) for each in data.fronts], _trials(data, cost)
        places = [np.round(np.asarray(trace.x, dtype=float), 4).tolist() for trace in [*fronts, *trials]]
        shown = [*(each == cost for each in data.fronts), *(True for _ in trials)]
        axis = {"xaxis.title.text": AXES[cost], "xaxis.range": _span(data, cost)}
        buttons.append({"label": AXES[cost], "method": "update", "args": [{"x": places, "visible": shown}, axis]})
    return {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "bgcolor": "white"}
