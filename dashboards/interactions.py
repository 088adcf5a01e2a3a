"""Interactions: what two dimensions decide only together, with its interval."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import intervals, marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each bar is the share of the variance of mIoU that neither of two dimensions explains alone, with its 90 % "
    "interval: where one is clear, choose the two together; hatched bars may well be nothing."
)
TITLE = "Which dimensions matter only together"
MOST = 12
"""Bars that are drawn: further ones are smaller still."""


@dataclass(frozen=True)
class Interactions:
    """Attributes:
    bars: first, second, mean, low, high in %, identifiable, reason; the largest first, at most MOST.
    total: interactions there are, drawn or not.
    why: if there is no bar, why.
    """

    bars: pd.DataFrame
    total: int
    why: str


def prepare(frames: StudyFrames) -> Interactions:
    """The interactions that could be estimated, identifiable ones first."""
    found = frames.interactions.dropna(subset="mean")
    found = found.sort_values(["identifiable", "mean"], ascending=False, kind="stable", ignore_index=True)
    reasons = frames.interactions["reason"].value_counts()
    why = str(reasons.index[0]) if found.empty and len(reasons) else ""
    bars = found.head(MOST).assign(**{name: 100 * found[name].head(MOST) for name in ("mean", "low", "high")})
    return Interactions(bars=bars, total=len(frames.interactions), why=why)


def figure(data: Interactions) -> go.Figure:
    """Horizontal bars with whiskers; what cannot be told from nothing is hatched grey."""
    if data.bars.empty:
        return theme.empty(TITLE, f"Interactions cannot be told yet. {theme.escape(data.why)}".strip())
    bars = data.bars
    rest = f" ({len(bars)} of {data.total} shown)" if data.total > len(bars) else ""
    drawing = theme.canvas(TITLE, x=f"share of variance (%){rest}", y="", height=150 + 40 * len(bars))
    known = bars["identifiable"].to_numpy(dtype=bool)
    drawing.add_bar(
        orientation="h",
        x=bars["mean"].tolist(),
        y=list(range(len(bars))),
        width=0.62,
        error_x=intervals.whiskers(bars, "mean"),
        marker={
            "color": np.where(known, theme.BAR, theme.MUTED).tolist(),
            "pattern": {"shape": np.where(known, "", "/").tolist(), "size": 6},
        },
        hovertext=[_hover(bar) for bar in marks.records(bars)],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    most = float(np.nanmax([1.0, *bars["mean"], *bars["high"]]))
    drawing.update_xaxes(range=[0, 1.04 * most])
    names = [_name(bar) for bar in marks.records(bars)]
    return drawing.update_yaxes(
        range=[len(bars) - 0.4, -0.6], tickvals=list(range(len(bars))), ticktext=names, showgrid=False, ticks=""
    )


def _name(bar: dict[str, Any]) -> str:
    name = f"{theme.escape(bar['first'])} × {theme.escape(bar['second'])}"
    remark = f'<br><span style="color:{theme.BASELINE};font-size:11px">may be nothing</span>'
    return name if bar["identifiable"] else name + remark


def _hover(bar: dict[str, Any]) -> str:
    lines = [
        f"<b>{theme.escape(bar['first'])} × {theme.escape(bar['second'])}</b>",
        f"{bar['mean']:.1f} % (90 % interval {bar['low']:.1f} to {bar['high']:.1f} %)",
        *(theme.escape(line) for line in textwrap.wrap(str(bar["reason"]), 60)),
    ]
    return "<br>".join(lines)
