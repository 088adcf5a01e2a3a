"""Surface: mIoU over lambda_1 and lambda_2, one pair at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import PARAM, StudyFrames

CAPTION = (
    "Filled dots are complete trials, hollow crosses were pruned, and the contours are a Gaussian process fitted "
    "to the complete ones: trust it near dots and read its spread by pointing at it; a λ of 0 has no place on log axes."
)
TITLE = "mIoU over the two distillation weights"
X, Y = "lambda_kd", "lambda_hakd"


@dataclass(frozen=True)
class Panel:
    """One pair.

    Attributes:
        pair: its name.
        observed: trials with a value and both weights > 0, as from `marks.points`, with lambda_kd and lambda_hakd.
        grid: mean mIoU in %; index lambda_hakd, columns lambda_kd, ascending; empty: no surface was fitted.
        spread: standard deviation in percentage points, of the same shape.
    """

    pair: str
    observed: pd.DataFrame
    grid: pd.DataFrame
    spread: pd.DataFrame

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest mIoU in % of grid and dots, never equal."""
        values = np.concatenate([self.grid.to_numpy(dtype=float).ravel(), self.observed["miou"].to_numpy(dtype=float)])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return low, max(high, low + 0.1)


def prepare(frames: StudyFrames) -> tuple[Panel, ...]:
    """A panel per pair with something to show, the pair with the best complete trial first."""
    trials = frames.trials_of("search")
    weights = trials.reindex(columns=[PARAM + X, PARAM + Y]).apply(pd.to_numeric)
    drawn = marks.points(trials).assign(pair=trials["pair"].tolist())
    drawn = drawn.assign(**{X: weights[PARAM + X].tolist(), Y: weights[PARAM + Y].tolist()})
    drawn = drawn[drawn["miou"].notna() & (drawn[X] > 0) & (drawn[Y] > 0)]
    complete = drawn[drawn["state"] == "COMPLETE"].sort_values("miou", ascending=False)
    order = dict.fromkeys([*complete["pair"], *drawn["pair"].dropna(), *frames.surface["pair"]])
    return tuple(_panel(pair, drawn, frames.surface) for pair in order)


def _panel(pair: str, drawn: pd.DataFrame, surface: pd.DataFrame) -> Panel:
    cells = surface[surface["pair"] == pair]
    mean, spread = (100 * cells.pivot(index=Y, columns=X, values=name) for name in ("miou_mean", "miou_sd"))
    return Panel(pair=str(pair), observed=drawn[drawn["pair"] == pair], grid=mean, spread=spread)


def figure(data: tuple[Panel, ...]) -> go.Figure:
    """lambda_1 against lambda_2 on log axes; a menu chooses the pair when there are several."""
    if not data:
        return theme.empty(TITLE, "No trial with both distillation weights above 0 has reported a value yet.")
    title = TITLE if len(data) > 1 else f"{TITLE}: {theme.escape(data[0].pair)}"
    drawing = theme.canvas(title, x="λ₁ (lambda_kd)", y="λ₂ (lambda_hakd)", height=520)
    drawing.update_xaxes(**_log_axis(data, X))
    drawing.update_yaxes(**_log_axis(data, Y))
    owners = []
    for index, panel in enumerate(data):
        traces = _traces(panel)
        drawing.add_traces([trace.update(visible=index == 0) for trace in traces])
        owners += [index] * len(traces)
    if len(data) > 1:
        drawing.update_layout(updatemenus=[_menu(data, owners)], margin={"t": 100})
    return drawing


def _log_axis(data: tuple[Panel, ...], name: str) -> dict[str, object]:
    """One range for all pairs, so that the menu moves no axis."""
    grids = [panel.grid.columns if name == X else panel.grid.index for panel in data]
    held = np.log10(np.concatenate([*grids, *(panel.observed[name] for panel in data)]).astype(float))
    low, high = float(held.min()), float(held.max())
    ticks = theme.log_ticks(low, high)
    pad = 0.04 * max(high - low, 1.0)
    return {
        "type": "log",
        "range": [low - pad, high + pad],
        "tickvals": [10**tick for tick in ticks],
        "ticktext": [marks.brief(10**tick) for tick in ticks],
    }


def _menu(data: tuple[Panel, ...], owners: list[int]) -> dict[str, object]:
    buttons = [
        {
            "label": theme.escape(panel.pair),
            "method": "restyle",
            "args": [{"visible": [owner == index for owner in owners]}],
        }
        for index, panel in enumerate(data)
    ]
    return {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "bgcolor": "white"}


_BAR = {"title": {"text": "mIoU (%)"}, "thickness": 14, "outlinewidth": 0}


def _traces(panel: Panel) -> list[go.Contour | go.Scatter]:
    dots = [_dots(str(state), group, panel) for state, group in panel.observed.groupby("state")]
    return dots if panel.grid.empty else [_contour(panel), *dots]


def _dots(state: str, group: pd.DataFrame, panel: Panel) -> go.Scatter:
    """Trials outlined in ink, so that they stand out on any level; filled by mIoU if complete, hollow otherwise."""
    low, high = panel.limits
    symbol = str(theme.STATES[state]["symbol"]).removesuffix("-open")
    hollow = {"symbol": symbol, "size": 9, "color": theme.HOLLOW, "line": {"color": theme.INK, "width": 1.2}}
    scale = {"cmin": low, "cmax": high, "colorscale": theme.SEQUENTIAL, "colorbar": _BAR}
    filled = hollow | scale | {"size": 12, "color": group["miou"].tolist(), "showscale": panel.grid.empty}
    return go.Scatter(
        x=group[X].tolist(),
        y=group[Y].tolist(),
        mode="markers",
        marker=filled if state == "COMPLETE" else hollow,
        hovertext=group["text"].tolist(),
        hovertemplate="%{hovertext}<extra></extra>",
        name=state.lower(),
        showlegend=False,
    )


def _contour(panel: Panel) -> go.Contour:
    low, high = panel.limits
    return go.Contour(
        x=panel.grid.columns.tolist(),
        y=panel.grid.index.tolist(),
        z=panel.grid.to_numpy().tolist(),
        customdata=panel.spread.to_numpy().tolist(),
        zmin=low,
        zmax=high,
        colorscale=theme.SEQUENTIAL,
        colorbar=_BAR,
        line={"width": 0.5, "color": "white"},
        ncontours=14,
        hovertemplate="λ₁ %{x:.3g}, λ₂ %{y:.3g}<br>fitted mIoU %{z:.2f} ± %{customdata:.2f} %<extra></extra>",
    )
