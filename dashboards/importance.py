"""Importance: how much of the variance of mIoU, and of what makes the best, each dimension decides, with intervals."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import NOISE, StudyFrames

CAPTION = (
    "Bars are the share that a dimension decides and whiskers its 90 % interval: where intervals overlap, the order of "
    "the bars is not settled, and what does not clear the dotted line, which a dimension that does nothing reaches, "
    "is not identifiable."
)
TITLE = "Which dimensions decide mIoU"
QUESTIONS = {"variance": "share of variance (%)", "top": "share of what makes the best tenth (%)"}
_GAP = 0.06  # of the width, between the two questions


@dataclass(frozen=True)
class Importance:
    """What is drawn.

    Attributes:
        names: the dimensions from top to bottom, NOISE last.
        bars: question, row (place in names), dimension, condition, mean, low, high in %, identifiable, reason.
        floors: question -> what a dimension that does nothing reaches, in %.
    """

    names: list[str]
    bars: pd.DataFrame
    floors: dict[str, float]


def prepare(frames: StudyFrames) -> Importance:
    """The shares in %; dimensions that either question identifies first, by their largest share."""
    bars = frames.importance[frames.importance["question"].isin(list(QUESTIONS))].drop_duplicates(
        ["question", "dimension"]
    )
    by_name = bars.groupby("dimension", sort=False)
    order = pd.DataFrame({"known": by_name["identifiable"].any(), "first": by_name["mean"].first()})
    order = order.assign(real=order.index != NOISE)
    names = list(order.sort_values(["real", "known", "first"], ascending=False, kind="stable").index)
    bars = bars.assign(**{name: 100 * bars[name] for name in ("mean", "low", "high")})
    bars = bars.assign(row=bars["dimension"].map(names.index)).sort_values("row", kind="stable", ignore_index=True)
    noise = bars[bars["dimension"] == NOISE]
    return Importance(names, bars, dict(zip(noise["question"], noise["high"], strict=True)))


def figure(data: Importance) -> go.Figure:
    """Horizontal bars, the questions side by side; what cannot be told apart from noise is hatched grey and says so."""
    if data.bars.empty:
        return theme.empty(TITLE, "Too few complete trials to tell which dimensions matter.")
    asked = [question for question in QUESTIONS if (data.bars["question"] == question).any()]
    height = 170 + 44 * len(data.names)
    drawing = theme.canvas(TITLE, x="", y="", height=height, min_width=340 * len(asked))
    width = (1 - _GAP * (len(asked) - 1)) / len(asked)
    for place, question in enumerate(asked):
        axis = "x" if place == 0 else f"x{place + 1}"
        bars = data.bars[data.bars["question"] == question]
        drawing.add_trace(_bars(bars, axis))
        start = place * (width + _GAP)
        drawing.update_layout({f"xaxis{axis[1:]}": _axis(question, bars, [start, start + width])})
        if question in data.floors:
            drawing.add_shape(_floor(data.floors[question], axis))
    rows = list(range(len(data.names)))
    labels = [_label(name, data.bars[data.bars["dimension"] == name]) for name in data.names]
    return drawing.update_yaxes(
        range=[len(rows) - 0.4, -0.6], tickvals=rows, ticktext=labels, showgrid=False, ticks="", zeroline=False
    )


def _axis(question: str, bars: pd.DataFrame, domain: list[float]) -> dict[str, Any]:
    most = float(np.nanmax([1.0, *bars["mean"], *bars["high"]]))
    return {"title": {"text": QUESTIONS[question]}, "domain": domain, "range": [0, 1.04 * most], "anchor": "y"}


def _floor(high: float, axis: str) -> dict[str, Any]:
    """What a dimension that does nothing reaches."""
    line = {"color": theme.BASELINE, "width": 1, "dash": "dot"}
    return {"type": "line", "xref": axis, "yref": "paper", "x0": high, "x1": high, "y0": 0, "y1": 1, "line": line}


def _bars(bars: pd.DataFrame, axis: str) -> go.Bar:
    known = bars["identifiable"].to_numpy(dtype=bool)
    noise = (bars["dimension"] == NOISE).to_numpy(dtype=bool)
    return go.Bar(
        orientation="h",
        x=bars["mean"].tolist(),
        y=bars["row"].tolist(),
        xaxis=axis,
        width=0.62,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (bars["high"] - bars["mean"]).clip(lower=0).tolist(),
            "arrayminus": (bars["mean"] - bars["low"]).clip(lower=0).tolist(),
            "color": theme.INK,
            "thickness": 1.2,
        },
        marker={
            "color": np.where(known, theme.BAR, np.where(noise, theme.GRID, theme.MUTED)).tolist(),
            "pattern": {"shape": np.where(known, "", np.where(noise, ".", "/")).tolist(), "size": 6},
        },
        hovertext=[_hover(bar) for bar in marks.records(bars)],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )


def _label(name: str, bars: pd.DataFrame) -> str:
    """A dimension with, in small, the trials it is judged among and whether nothing is known of it."""
    if name == NOISE:
        return _small("a dimension that does nothing")
    conditions = [_short(f"among: {text}") for text in bars["condition"].unique() if text]
    unknown = [] if bars["identifiable"].any() else ["not identifiable"]
    return "<br>".join([theme.escape(name), *(_small(theme.escape(text)) for text in [*conditions, *unknown])])


def _small(text: str) -> str:
    return f'<span style="color:{theme.BASELINE};font-size:11px">{text}</span>'


def _short(text: str) -> str:
    return text if len(text) <= 44 else text[:43].rsplit(" ", 1)[0] + " …"


def _hover(bar: dict[str, Any]) -> str:
    lines = [f"<b>{theme.escape(bar['dimension'])}</b>"]
    if bar["condition"]:
        lines += [theme.escape(line) for line in textwrap.wrap(f"among: {bar['condition']}", 60)]
    if pd.notna(bar["mean"]):
        lines.append(f"{bar['mean']:.1f} % (90 % interval {bar['low']:.1f} to {bar['high']:.1f} %)")
    if not bar["identifiable"] and bar["dimension"] != NOISE:
        lines.append("not identifiable")
    return "<br>".join([*lines, *(theme.escape(line) for line in textwrap.wrap(str(bar["reason"]), 60))])
