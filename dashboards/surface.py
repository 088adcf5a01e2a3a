"""Surface: mIoU over lambda_1 and lambda_2, one pair at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import intervals, marks, theme
from dashboards.frames import PARAM, StudyFrames

CAPTION = (
    "Contours are a Gaussian process fitted to the complete trials (filled dots), and what is veiled is worse than the "
    "best by more than noise, with 90 % probability; the pruned ones (hollow crosses) do not count, so that poor "
    "regions look better than they are, and a λ of 0 has no place on log axes."
)
TITLE = "mIoU over the two distillation weights"
X, Y = "lambda_kd", "lambda_hakd"
_DIGITS = 3  # of a percentage point: the rest would be half of a page of many pairs


@dataclass(frozen=True)
class Panel:
    """One pair.

    Attributes:
        pair: its name.
        observed: trials with a value and both weights > 0, as from `marks.points`, with lambda_kd and lambda_hakd.
        grid: mean mIoU in %; index lambda_hakd, columns lambda_kd, ascending; empty: no surface was fitted.
        spread: standard deviation in percentage points, of the same shape.
        near: 1 within noise of the best, else 0; of the same shape.
        alone: mean mIoU in % of the matched students alone; NaN: there is none.
    """

    pair: str
    observed: pd.DataFrame
    grid: pd.DataFrame
    spread: pd.DataFrame
    near: pd.DataFrame
    alone: float = float("nan")

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest mIoU in % of the grid and the filled dots, never equal."""
        filled = self.observed[self.observed["state"] == "COMPLETE"]
        filled = self.observed if filled.empty and self.grid.empty else filled
        values = np.concatenate([self.grid.to_numpy(dtype=float).ravel(), filled["miou"].to_numpy(dtype=float)])
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
    alone = 100 * trials.dropna(subset="baseline").drop_duplicates(["pair", "seed"]).groupby("pair")["baseline"].mean()
    return tuple(_panel(pair, drawn, frames.surface, float(alone.get(pair, np.nan))) for pair in order)


def _panel(pair: str, drawn: pd.DataFrame, surface: pd.DataFrame, alone: float) -> Panel:
    cells = surface[surface["pair"] == pair].astype({"near_best": float})
    mean, spread, near = (
        cells.pivot(index=Y, columns=X, values=name) for name in ("miou_mean", "miou_sd", "near_best")
    )
    mean, spread = (100 * mean).round(_DIGITS), (100 * spread).round(_DIGITS)
    return Panel(str(pair), drawn[drawn["pair"] == pair], mean, spread, near, alone)


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
    layers = [_layers(drawing, data)] if any(not panel.grid.empty for panel in data) else []
    above = {"pad": {"b": 40 * len(layers)}}  # a telephone has no room for them side by side
    pairs = [intervals.menu([panel.pair for panel in data], owners) | above] if len(data) > 1 else []
    menus = [*pairs, *layers]
    return drawing.update_layout(updatemenus=menus, margin={"t": 60 + 40 * len(menus)}) if menus else drawing


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


def _layers(drawing: go.Figure, data: tuple[Panel, ...]) -> dict[str, object]:
    """Two buttons: the surface, or how uncertain it is."""
    fitted = [panel for panel in data if not panel.grid.empty]
    where = [index for index, trace in enumerate(drawing.data) if trace.name == _FITTED]
    most = [max(float(panel.spread.to_numpy().max()), 0.01) for panel in fitted]
    means = {
        "z": [panel.grid.to_numpy().tolist() for panel in fitted],
        "zmin": [panel.limits[0] for panel in fitted],
        "zmax": [panel.limits[1] for panel in fitted],
        "colorbar.title.text": "mIoU (%)",
    }
    spreads = {
        "z": [panel.spread.to_numpy().tolist() for panel in fitted],
        "zmin": 0,
        "zmax": most,
        "colorbar.title.text": "± points<br>(1 sd)",
    }
    buttons = [
        {"label": label, "method": "restyle", "args": [shown, where]}
        for label, shown in (("mIoU", means), ("uncertainty", spreads))
    ]
    place = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "direction": "right"}
    return {"type": "buttons", "buttons": buttons, "bgcolor": "white", **place}


_FITTED = "fitted surface"
_BAR = {"title": {"text": "mIoU (%)"}, "thickness": 14, "outlinewidth": 0}


def _traces(panel: Panel) -> list[go.Contour | go.Scatter | go.Scattergl]:
    dots = [_dots(str(state), group, panel) for state, group in panel.observed.groupby("state")]
    return dots if panel.grid.empty else [_contour(panel), *_outline(panel), *dots]


def _outline(panel: Panel) -> list[go.Contour]:
    """A veil over what is worse than the best by more than noise; none where that is all or nothing."""
    if panel.near.to_numpy().min() == panel.near.to_numpy().max():
        return []
    veil = go.Contour(
        x=panel.near.columns.tolist(),
        y=panel.near.index.tolist(),
        z=panel.near.to_numpy().tolist(),
        contours={"type": "constraint", "operation": ">", "value": 0.5},
        fillcolor=theme.HOLLOW,
        line={"color": theme.FAMILIES["Transformer"], "width": 2.5, "dash": "dash"},
        showscale=False,
        hoverinfo="skip",
        name="worse than the best by more than noise",
        showlegend=True,
    )
    return [veil]


def _dots(state: str, group: pd.DataFrame, panel: Panel) -> go.Scatter | go.Scattergl:
    """Trials outlined in ink, so that they stand out on any level; filled by mIoU if complete, hollow otherwise."""
    low, high = panel.limits
    symbol = str(theme.STATES[state]["symbol"]).removesuffix("-open")
    hollow = {"symbol": symbol, "size": 9, "color": theme.HOLLOW, "line": {"color": theme.INK, "width": 1.2}}
    scale = {"cmin": low, "cmax": high, "colorscale": theme.SEQUENTIAL, "colorbar": _BAR}
    many = len(panel.observed) > marks.MANY
    sizes = ({"size": 7}, {"size": 5}) if many else ({"size": 12}, {})
    filled = hollow | scale | {"color": marks.column(group["miou"], many=many), "showscale": panel.grid.empty}
    return (go.Scattergl if many else go.Scatter)(
        x=marks.column(group[X], many=many),
        y=marks.column(group[Y], many=many),
        mode="markers",
        marker=filled | sizes[0] if state == "COMPLETE" else hollow | sizes[1],
        name=state.lower(),
        showlegend=False,
        **marks.whose(group, many=many, tell="<br>λ₁ %{x:.3g}, λ₂ %{y:.3g}"),
    )


def _contour(panel: Panel) -> go.Contour:
    low, high = panel.limits
    return go.Contour(
        x=panel.grid.columns.tolist(),
        y=panel.grid.index.tolist(),
        z=panel.grid.to_numpy().tolist(),
        hovertext=_texts(panel),
        zmin=low,
        zmax=high,
        colorscale=theme.SEQUENTIAL,
        colorbar=_BAR,
        line={"width": 0.5, "color": "white"},
        ncontours=14,
        name=_FITTED,
        hovertemplate="λ₁ %{x:.3g}, λ₂ %{y:.3g}<br>%{hovertext}<extra></extra>",
    )


def _texts(panel: Panel) -> list[list[str]]:
    """What a cell says: mIoU, its standard deviation, and the gain over the students alone."""

    def text(mean: float, spread: float, near: float) -> str:
        gain = "" if np.isnan(panel.alone) else f"<br>{mean - panel.alone:+.2f} points over the student alone"
        return f"fitted mIoU {mean:.2f} ± {spread:.2f} %{gain}" + ("<br>within noise of the best" if near else "")

    rows = zip(*(table.to_numpy().tolist() for table in (panel.grid, panel.spread, panel.near)), strict=True)
    return [[text(*cell) for cell in zip(*row, strict=True)] for row in rows]
