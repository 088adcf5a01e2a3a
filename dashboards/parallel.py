"""Parallel coordinates: whole configs, from dimension to dimension, to the mIoU they reached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import PARAM, StudyFrames
from dashboards.marks import brief

CAPTION = (
    "Each line is one config, grey if its trial was pruned; drag along an axis to keep only the lines through that "
    "part, for instance the top of mIoU, and see which settings they share."
)
TITLE = "What the best configs have in common"
_MOST, _BEST = 200, 80
"""Lines that are drawn; of more trials, the best complete ones, and of the others every second, third, ... one."""
_GREY = 0.12
"""Share of the colour scale, at its lower end, that means "pruned"."""


@dataclass(frozen=True)
class Axis:
    """One axis: a trial without the dimension stands at the lowest tick, "–".

    Attributes:
        label: name of the dimension.
        values: one position per trial; log10 for log dimensions, an index for categories.
        ticks: positions of the ticks.
        texts: what stands at them.
    """

    label: str
    values: tuple[float, ...]
    ticks: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest position, never equal."""
        low, high = min(*self.values, *self.ticks), max(*self.values, *self.ticks)
        return (low, high) if low < high else (low - 0.5, high + 0.5)


@dataclass(frozen=True)
class Parallel:
    """One line a trial.

    Attributes:
        axes: the dimensions that vary in any trial, then state, then mIoU.
        miou: in %.
        pruned: one flag a trial.
        numbers: of the trials.
        one_of: of so many trials that are not among the best, one has a line.
    """

    axes: tuple[Axis, ...]
    miou: tuple[float, ...]
    pruned: tuple[bool, ...]
    numbers: tuple[int, ...]
    one_of: int = 1


def prepare(frames: StudyFrames) -> Parallel:
    """The complete and pruned search trials that have a value."""
    trials = frames.trials_of("search", "COMPLETE", "PRUNED")
    trials, one_of = _thinned(trials[trials["miou"].notna()])
    pruned = trials["state"] == "PRUNED"
    miou = tuple((100 * trials["miou"]).tolist())
    axes = []
    for name, kind, log in frames.dimensions[["name", "kind", "log"]].itertuples(index=False):
        column = trials.get(PARAM + name, pd.Series(dtype=float))
        if column.notna().any():
            axes.append(_categories(name, column) if kind == "categorical" else _numbers(name, column, log=bool(log)))
    if miou:
        axes.append(Axis("state", tuple((~pruned).astype(float)), (0.0, 1.0), ("pruned", "complete")))
        axes.append(_numbers("mIoU (%)", pd.Series(miou), log=False))
    return Parallel(tuple(axes), miou, tuple(pruned.tolist()), tuple(trials["number"].tolist()), one_of)


def _thinned(trials: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The trials that get a line, and of how many that are not among the best one gets it."""
    if len(trials) <= _MOST:
        return trials, 1
    best = trials["number"].isin(trials[trials["state"] == "COMPLETE"].nlargest(_BEST, "miou")["number"])
    one_of = -(-int((~best).sum()) // (_MOST - _BEST))
    return trials[best | ((~best).cumsum() % one_of == 0)], one_of


def _categories(name: str, column: pd.Series) -> Axis:
    texts = ["–"] * bool(column.isna().any()) + sorted({str(value) for value in column.dropna()})
    values = (texts.index("–" if pd.isna(value) else str(value)) for value in column)
    return Axis(name, tuple(float(value) for value in values), tuple(map(float, range(len(texts)))), tuple(texts))


def _numbers(name: str, column: pd.Series, *, log: bool) -> Axis:
    held = pd.to_numeric(column).to_numpy(dtype=float)
    values = np.log10(held) if log else held
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    ticks = (
        theme.log_ticks(low, high) if log else _linear(low, high, whole=bool(np.all(held[~np.isnan(held)] % 1 == 0)))
    )
    texts = [brief(float(10**tick if log else tick)) for tick in ticks]
    if np.isnan(values).any():
        absent = min(low, *ticks) - 0.12 * max(high - low, 1.0)
        values = np.where(np.isnan(values), absent, values)
        ticks, texts = [absent, *ticks], ["–", *texts]
    return Axis(name, tuple(values.tolist()), tuple(ticks), tuple(texts))


def _linear(low: float, high: float, *, whole: bool) -> list[float]:
    """About five round numbers that enclose the limits; each whole number if there are few."""
    if low == high:
        return [low]
    raw = (high - low) / 4
    power = 10 ** np.floor(np.log10(raw))
    step = next(float(part * power) for part in (1, 2, 5, 10) if part * power >= raw)
    step = max(step, 1.0) if whole else step
    return [float(tick) for tick in step * np.arange(np.floor(low / step), np.ceil(high / step) + 1)]


def figure(data: Parallel) -> go.Figure:
    """One line per trial, coloured by mIoU, pruned ones grey."""
    if not data.miou:
        return theme.empty(TITLE, "No search trial is complete or was pruned with a value yet.")
    drawing = theme.canvas(TITLE, x="", y="", height=460, min_width=130 + 100 * len(data.axes))
    many = len(data.miou) > marks.MANY
    drawing.add_parcoords(
        customdata=list(data.numbers),
        meta={"role": "search"},
        dimensions=[
            {
                "label": theme.escape(axis.label),
                "values": marks.column(pd.Series(axis.values), many=many),
                "tickvals": list(axis.ticks),
                "ticktext": list(axis.texts),  # the one text that plotly draws as it is
                "range": list(axis.limits),
            }
            for axis in data.axes
        ],
        line=_colours(data),
        labelfont={"size": 13},
        tickfont={"size": 12},
    )
    if data.one_of > 1:
        told = f"The {_BEST} best trials, and one in {data.one_of} of the others"
        drawing.add_annotation(text=told, showarrow=False, x=0, y=-0.08, xref="paper", yref="paper", xanchor="left")
    left = max(90, 8 * max(len(text) for text in data.axes[0].texts))
    return drawing.update_layout(margin={"l": min(left, 260), "r": 100, "t": 100, "b": 30})


def _colours(data: Parallel) -> dict[str, object]:
    """mIoU on the upper part of the scale; the lowest part, grey, for pruned trials whatever they had reached."""
    shown = [value for value, pruned in zip(data.miou, data.pruned, strict=True) if not pruned] or list(data.miou)
    low, high = min(shown), max(max(shown), min(shown) + 0.1)
    bottom = low - (high - low) * _GREY / (1 - _GREY)
    colours = pd.Series(data.miou).mask(pd.Series(data.pruned), bottom)
    scale = [(_GREY + (1 - _GREY) * share, paint) for share, paint in theme.SEQUENTIAL]
    ticks = [low, (low + high) / 2, high]
    return {
        "color": marks.column(colours, many=len(colours) > marks.MANY),
        "cmin": bottom,
        "cmax": high,
        "colorscale": [(0.0, "#C5CCD3"), (_GREY, "#C5CCD3"), *scale],
        "showscale": True,
        "colorbar": {
            "title": {"text": "mIoU (%)"},
            "tickvals": [(bottom + low) / 2, *ticks],
            "ticktext": ["pruned", *(f"{tick:.1f}" for tick in ticks)],
            "thickness": 14,
            "x": 1.03,
            "outlinewidth": 0,
        },
    }
