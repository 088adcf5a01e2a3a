"""Further: what another ten trials were expected to bring, as the search went on."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "The line says by how many points another ten trials were expected to raise the best config's mIoU over seeds: "
    "more trials are worth their cost while it lies above what such a gain is worth to you."
)
TITLE = "What another ten trials were expected to bring"


@dataclass(frozen=True)
class Further:
    """Attributes:
    line: trials (that had ended), expected (points), by rising number.
    stop_when: points below which the sweep stops; None: no such rule.
    """

    line: pd.DataFrame
    stop_when: float | None


def prepare(frames: StudyFrames) -> Further:
    """The frame in points."""
    line = frames.further.sort_values("trials", ignore_index=True)
    return Further(line=line.assign(expected=100 * line["expected"]), stop_when=frames.stop_when)


def figure(data: Further) -> go.Figure:
    """Ended trials against expected points; where the sweep stops as a dashed line."""
    if data.line.empty:
        return theme.empty(TITLE, "At least 20 ended trials and 8 configs that were trained whole are needed.")
    drawing = theme.canvas(TITLE, x="search trials that had ended", y="expected gain (points of mIoU)")
    drawing.add_scatter(
        x=data.line["trials"].tolist(),
        y=data.line["expected"].tolist(),
        mode="lines+markers" if len(data.line) == 1 else "lines",
        line={"color": theme.INK, "width": 2},
        name="of another ten trials",
        hovertext=[
            f"after {row['trials']} trials: {row['expected']:.2f} points expected" for row in marks.records(data.line)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    if data.stop_when is not None:
        ends = [int(data.line["trials"].iloc[0]), int(data.line["trials"].iloc[-1])]
        drawing.add_scatter(
            x=ends,
            y=[data.stop_when] * 2,
            mode="lines",
            line={"color": theme.BASELINE, "dash": "dash", "width": 1.5},
            name=f"the sweep stops below {data.stop_when:g}",
            hovertemplate="%{fullData.name}<extra></extra>",
        )
    return drawing.update_xaxes(tickformat="d").update_yaxes(rangemode="tozero")
