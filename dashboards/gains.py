"""Gains: what each pair gains over the student alone, typically and at its best, with intervals."""

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
    "Lines are 90 % intervals of the gain over the student alone on the same seeds, at equal steps or equal compute as "
    "the axis says, filled where they leave out 0: a circle is a pair's typical config and a diamond its best one, "
    "freed of the luck of being the best (with one seed, which cannot tell luck, it is in)."
)
TITLE = "What each pair gains, and how sure that is"
STATISTICS = {"typical": ("circle", 0.16, "typical config"), "best": ("diamond", -0.16, "best config")}


@dataclass(frozen=True)
class Gains:
    """rows: pair, statistic, gain, low, high in points, distinguishable, family, num_trials, num_seeds, reason, row.
    at_equal: under which the gains were measured, in words.
    """

    rows: pd.DataFrame
    at_equal: str = "at equal steps"


def prepare(frames: StudyFrames) -> Gains:
    """Pairs, the one whose best config gains most first; `row` counts them from 0."""
    whole = frames.gains_at(frames.measure)
    whole = whole[whole["method"] == ""]
    found = whole.assign(**{name: 100 * whole[name] for name in ("gain", "low", "high")})
    best = found[found["statistic"] == "best"].sort_values("gain", ascending=False, kind="stable")
    order = {pair: row for row, pair in enumerate(dict.fromkeys([*best["pair"], *found["pair"]]))}
    families = dict(zip(frames.trials["student"], frames.trials["student_family"], strict=True))
    return Gains(found.assign(row=found["pair"].map(order), family=found["student"].map(families)), frames.at_equal)


def figure(data: Gains) -> go.Figure:
    """A row a pair, two marks in it with their intervals, hollow where they cannot be told from 0."""
    if data.rows.empty:
        return theme.empty(TITLE, "No complete search trial has a matched student alone yet.")
    pairs = data.rows.drop_duplicates("pair").sort_values("row")
    drawing = theme.canvas(
        TITLE, x=f"gain over the student alone {data.at_equal} (points of mIoU)", y="", height=150 + 58 * len(pairs)
    )
    drawing.add_vline(x=0, line={"color": theme.BASELINE, "width": 1})
    for statistic, (symbol, shift, words) in STATISTICS.items():
        own = data.rows[data.rows["statistic"] == statistic]
        drawing.add_scatter(
            x=[None], y=[None], mode="markers", marker={"symbol": symbol, "size": 10, "color": theme.MUTED}, name=words
        )
        drawing.add_traces([_mark(row, symbol, shift) for row in marks.records(own)])
    ends = data.rows[["gain", "low", "high"]].to_numpy(float)
    span = [min(0.0, float(np.nanmin(ends))), max(0.0, float(np.nanmax(ends)))]
    pad = 0.05 * max(span[1] - span[0], 0.5)
    drawing.update_xaxes(range=[span[0] - pad, span[1] + pad])
    names = [theme.escape(pair) for pair in pairs["pair"]]
    return drawing.update_yaxes(
        range=[len(pairs) - 0.5, -0.5], tickvals=list(range(len(pairs))), ticktext=names, showgrid=False, ticks=""
    )


def _mark(row: dict[str, Any], symbol: str, shift: float) -> go.Scatter:
    paint = theme.colour(str(row["family"]))
    return go.Scatter(
        x=[row["gain"]],
        y=[row["row"] - shift],
        mode="markers",
        marker={"symbol": symbol if row["distinguishable"] else f"{symbol}-open", "size": 11, "color": paint},
        error_x=intervals.whiskers(pd.DataFrame([row]), "gain", colour=paint),
        hovertext=[_hover(row)],
        hovertemplate="%{hovertext}<extra></extra>",
        name=f"{theme.escape(row['pair'])}, {row['statistic']}",
        showlegend=False,
    )


def _hover(row: dict[str, Any]) -> str:
    interval = "no interval" if pd.isna(row["low"]) else f"90 % interval {row['low']:+.1f} to {row['high']:+.1f}"
    lines = [
        f"<b>{theme.escape(row['pair'])}</b>, {STATISTICS[row['statistic']][2]}",
        f"{row['gain']:+.1f} points ({interval}, n={row['num_trials']}, {row['num_seeds']} seeds)",
        "told apart from 0" if row["distinguishable"] else "not distinguishable from 0",
        *(theme.escape(line) for line in textwrap.wrap(str(row["reason"]), 60)),
    ]
    return "<br>".join(lines)
