"""Intervals as marks: whiskers, bands, and the menu that figures of several pairs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dashboards import theme

BAND = "rgba(86, 180, 233, 0.3)"
"""The colour of a band, theme.BAR as a glaze: on white and on dark ground alike."""


def whiskers(rows: pd.DataFrame, middle: str, *, colour: str = theme.INK) -> dict[str, object]:
    """plotly's error bars from the columns `low` and `high`; none where they are NaN.

    Args:
        middle: the column that is drawn.
    """
    up, down = (rows["high"] - rows[middle]).clip(lower=0), (rows[middle] - rows["low"]).clip(lower=0)
    ends = {"array": up.fillna(0).tolist(), "arrayminus": down.fillna(0).tolist()}
    return {"type": "data", "symmetric": False, "color": colour, "thickness": 1.4, **ends}


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
