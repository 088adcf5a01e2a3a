"""Intervals as marks: whiskers, bands, and the menu that figures of several pairs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboards import theme

_BAND = "rgba(86, 180, 233, 0.3)"  # theme.BAR as a glaze: on white and on dark ground alike


def whiskers(rows: pd.DataFrame, middle: str, *, colour: str = theme.INK) -> dict[str, object]:
    """plotly's error bars from the columns `low` and `high`; none where they are NaN.

    Args:
        middle: the column that is drawn.
    """
    up, down = (rows["high"] - rows[middle]).clip(lower=0), (rows[middle] - rows["low"]).clip(lower=0)
    ends = {"array": up.fillna(0).tolist(), "arrayminus": down.fillna(0).tolist()}
    return {"type": "data", "symmetric": False, "color": colour, "thickness": 1.4, **ends}


def band(x: pd.Series, low: pd.Series, high: pd.Series) -> go.Scatter:
    """A filled band between two lines, which says nothing when pointed at."""
    return go.Scatter(
        x=[*x, *x[::-1]],
        y=[*high, *low[::-1]],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=_BAND,
        hoverinfo="skip",
    )


def menu(pairs: Sequence[str], owners: Sequence[int]) -> dict[str, Any]:
    """A menu that shows the traces of one pair.

    Args:
        pairs: by index.
        owners: of each trace, the index of its pair.
    """
    buttons = [
        {
            "label": theme.escape(pair),
            "method": "restyle",
            "args": [{"visible": [owner == index for owner in owners]}],
        }
        for index, pair in enumerate(pairs)
    ]
    return {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "bgcolor": "white"}
