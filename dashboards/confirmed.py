"""Confirmed: the finalists on fresh seeds, what their luck in the search was worth, and the winner if there is one."""

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
    "An arrow leads from a finalist's score in the search to its mean on fresh seeds of the same images, which is the "
    "winner's curse; diamonds are the final scores with their 90 % intervals over seeds, the grey line below each its "
    "90 % interval over images; on the right what they gain over the student alone."
)
TITLE = "The finalists on fresh seeds"


@dataclass(frozen=True)
class Confirmed:
    """rows: the frame `confirmed` by rank, mIoU and curse in %, gains in points, with `row` from 0."""

    rows: pd.DataFrame


_SCALED = ["search_miou", "val_miou", "curse", "miou", "miou_low", "miou_high", "images_low", "images_high"]
_SCALED += ["gain", "gain_low", "gain_high"]


def prepare(frames: StudyFrames) -> Confirmed:
    """The finalists by rank."""
    rows = frames.confirmed.sort_values("rank", kind="stable", ignore_index=True)
    return Confirmed(rows.assign(**{name: 100 * rows[name] for name in _SCALED}, row=range(len(rows))))


def figure(data: Confirmed) -> go.Figure:
    """mIoU on the left, gain over the student alone on the right; a row a finalist."""
    if data.rows.empty:
        return theme.empty(TITLE, "Nothing was confirmed yet: `heteroakd confirm` runs the finalists on fresh seeds.")
    rows = data.rows
    drawing = theme.canvas(TITLE, x="mIoU (%)", y="", height=170 + 62 * len(rows), min_width=640)
    drawing.add_traces([_curse(row) for row in marks.records(rows)])
    drawing.add_traces([_over_images(row) for row in marks.records(rows)])
    split = ", ".join(dict.fromkeys(theme.escape(text) for text in rows["split"]))
    drawing.add_trace(_marks(rows, "miou", f"mean on {split}, 90 % interval over seeds", "x"))
    drawing.add_trace(_marks(rows, "gain", "gain over the student alone", "x2").update(showlegend=False))
    drawing.add_shape(
        type="line", xref="x2", x0=0, x1=0, yref="paper", y0=0, y1=1, line={"color": theme.BASELINE, "width": 1}
    )
    names = [_name(row) for row in marks.records(rows)]
    drawing.update_layout(
        xaxis={"domain": [0, 0.56]},
        xaxis2={"domain": [0.62, 1], "anchor": "y", "title": {"text": "gain (points of mIoU)"}, "range": _span(rows)},
    )
    return drawing.update_yaxes(
        range=[len(rows) - 0.5, -0.5], tickvals=list(range(len(rows))), ticktext=names, showgrid=False, ticks=""
    )


def _span(rows: pd.DataFrame) -> list[float]:
    ends = np.nan_to_num(rows[["gain", "gain_low", "gain_high"]].to_numpy(float))
    low, high = min(0.0, float(ends.min())), max(0.0, float(ends.max()))
    pad = 0.06 * max(high - low, 0.5)
    return [low - pad, high + pad]


def _name(row: dict[str, Any]) -> str:
    first = f"{'★ ' if row['winner'] else ''}trial {row['number']}"
    return f"<b>{first}</b><br>{theme.escape(row['pair'])}, {theme.escape(row['method'])}"


def _curse(row: dict[str, Any]) -> go.Scatter:
    """From the score in the search to that on fresh seeds, a third of a row above the final score."""
    place = row["row"] - 0.27
    fresh = "" if pd.isna(row["val_miou"]) else f"{row['val_miou']:.2f} %"
    fresh += "" if pd.isna(row["curse"]) else f"<br>winner's curse {row['curse']:+.2f} points"
    joined = row["val_miou"] if pd.notna(row["curse"]) else None  # else scores on other images: no arrow
    return go.Scatter(
        x=[row["search_miou"], joined],
        y=[place, place],
        mode="lines+markers",
        line={"color": theme.MUTED, "width": 1.5},
        marker={"symbol": ["circle-open", "arrow"], "size": [8, 11], "color": theme.MUTED, "angleref": "previous"},
        hovertext=[
            f"in the search: {row['search_miou']:.2f} %",
            f"on fresh seeds: {fresh}",
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        name="from the search to fresh seeds",
        legendgroup="curse",
        showlegend=row["row"] == 0,
    )


def _over_images(row: dict[str, Any]) -> go.Scatter:
    """The interval over images, a fifth of a row below the final score."""
    place = row["row"] + 0.2
    return go.Scatter(
        x=[row["images_low"], row["images_high"]],
        y=[place, place],
        mode="lines",
        line={"color": theme.MUTED, "width": 3},
        hovertext=[_images(row)] * 2,
        hovertemplate="%{hovertext}<extra></extra>",
        name="90 % interval over images",
        legendgroup="images",
        showlegend=row["row"] == 0,
    )


def _images(row: dict[str, Any]) -> str:
    if pd.isna(row["images_low"]):
        return ""
    return f"on other images of the same source {row['images_low']:.2f} to {row['images_high']:.2f} %"


def _marks(rows: pd.DataFrame, name: str, words: str, axis: str) -> go.Scatter:
    ends = rows.rename(columns={f"{name}_low": "low", f"{name}_high": "high"})
    colours = np.where(rows["winner"].astype(bool), theme.FAMILIES["hybrid"], theme.INK).tolist()
    return go.Scatter(
        x=rows[name].tolist(),
        y=rows["row"].tolist(),
        xaxis=axis,
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": colours},
        error_x=intervals.whiskers(ends, name),
        hovertext=[_hover(row) for row in marks.records(rows)],
        hovertemplate="%{hovertext}<extra></extra>",
        name=words,
    )


def _hover(row: dict[str, Any]) -> str:
    lines = [
        f"<b>trial {row['number']}</b> {theme.escape(row['pair'])}, {theme.escape(row['method'])}",
        f"mIoU on {theme.escape(row['split'])} {_points(row, 'miou', '.2f')} %, n={row['num_seeds']} seeds",
        _images(row),
        "" if pd.isna(row["gain"]) else f"gain {_points(row, 'gain', '+.2f')} points",
        "the winner" if row["winner"] else "",
        *(theme.escape(line) for line in textwrap.wrap(str(row["reason"]), 60)),
    ]
    return "<br>".join(line for line in lines if line)


def _points(row: dict[str, Any], name: str, form: str) -> str:
    """A value with its interval, if it has one."""
    if pd.isna(row[name]):
        return "–"
    value = format(row[name], form)
    if pd.isna(row[f"{name}_low"]):
        return value
    return f"{value} (90 % interval {row[f'{name}_low']:{form}} to {row[f'{name}_high']:{form}})"
