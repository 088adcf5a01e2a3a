"""Importance: how much of the variance of mIoU each dimension explains, with its interval."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Bars are the share of the variance of mIoU that a dimension explains and whiskers its 90 % bootstrap interval: "
    "where intervals overlap, the order of the bars is not settled."
)
TITLE = "Which dimensions decide mIoU"


@dataclass(frozen=True)
class Importance:
    """bars: dimension, mean, low, high in % of the variance, identifiable, reason; the most important first."""

    bars: pd.DataFrame


def prepare(frames: StudyFrames) -> Importance:
    """The shares in %, identifiable dimensions first, by falling mean."""
    bars = frames.importance.sort_values(
        ["identifiable", "mean"], ascending=False, kind="stable", na_position="last", ignore_index=True
    )
    return Importance(bars.assign(**{name: 100 * bars[name] for name in ("mean", "low", "high")}))


def figure(data: Importance) -> go.Figure:
    """Horizontal bars; a dimension that the trials cannot tell apart from noise is hatched grey and says so."""
    if data.bars.empty:
        return theme.empty(TITLE, "Too few complete trials to tell which dimensions matter.")
    bars = data.bars
    drawing = theme.canvas(TITLE, x="share of variance (%)", y="", height=150 + 40 * len(bars))
    known = bars["identifiable"].to_numpy(dtype=bool)
    drawing.add_bar(
        orientation="h",
        x=bars["mean"].tolist(),
        y=list(range(len(bars))),
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
            "color": np.where(known, theme.BAR, theme.MUTED).tolist(),
            "pattern": {"shape": np.where(known, "", "/").tolist(), "size": 6},
        },
        hovertext=[_hover(bar) for bar in marks.records(bars)],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    names = [_name(bar) for bar in marks.records(bars)]
    most = float(np.nanmax([1.0, *bars["mean"], *bars["high"]]))
    drawing.update_xaxes(range=[0, 1.04 * most])
    return drawing.update_yaxes(
        range=[len(bars) - 0.4, -0.6], tickvals=list(range(len(bars))), ticktext=names, showgrid=False, ticks=""
    )


def _name(bar: dict[str, Any]) -> str:
    name = theme.escape(bar["dimension"])
    remark = f'<br><span style="color:{theme.BASELINE};font-size:11px">not identifiable</span>'
    return name if bar["identifiable"] else name + remark


def _hover(bar: dict[str, Any]) -> str:
    lines = [
        f"<b>{theme.escape(bar['dimension'])}</b>",
        f"{bar['mean']:.1f} % (90 % interval {bar['low']:.1f} to {bar['high']:.1f} %)",
    ]
    if not bar["identifiable"]:
        lines += ["not identifiable", *(theme.escape(line) for line in textwrap.wrap(str(bar["reason"]), 60))]
    return "<br>".join(lines)
