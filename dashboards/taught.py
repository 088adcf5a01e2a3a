"""Who taught whom: in how much of the image the other student taught the student, over a collaborative training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go

from dashboards import marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each faint line is a collaborative trial and each thick one the median of a pair: above half, the other student "
    "errs less in most regions or pixels and teaches; below, the student teaches it."
)
TITLE = "Who taught whom in collaborative training"
KINDS = {"regions_to_student": "regions", "pixels_to_student": "pixels"}
_DASHES = {"regions": "solid", "pixels": "dot"}
_COLOURS = (*theme.FAMILIES.values(), theme.INK, theme.BAR)


@dataclass(frozen=True)
class Taught:
    """Shares in %.

    Attributes:
        lines: kind (regions or pixels), pair, name, number, step, share of each search trial.
        medians: kind, pair, step, share over the pair's trials.
    """

    lines: pd.DataFrame
    medians: pd.DataFrame


def prepare(frames: StudyFrames) -> Taught:
    """Every reported share of a search trial, and each pair's median at each step."""
    trials = frames.trials_of("search")
    names = [marks.name(trial) for trial in marks.records(trials)]
    named = trials[["role", "number", "pair"]].assign(name=pd.Series(names, index=trials.index, dtype="str"))
    long = frames.taught.melt(["role", "number", "step"], list(KINDS), "kind", "share").dropna(subset="share")
    lines = long.assign(share=100 * long["share"], kind=long["kind"].map(KINDS)).merge(named, on=["role", "number"])
    lines = lines.sort_values(["pair", "kind", "number", "step"], ignore_index=True)
    medians = lines.groupby(["pair", "kind", "step"], as_index=False)["share"].median()
    return Taught(lines=lines.drop(columns="role"), medians=medians)


def figure(data: Taught) -> go.Figure:
    """Step against share: a colour a pair; regions solid, pixels dotted."""
    if data.lines.empty:
        return theme.empty(TITLE, "No collaborative trial has reported a value yet.")
    drawing = theme.canvas(TITLE, x="step", y="taught by the other student (%)")
    drawing.add_hline(y=50, line={"color": theme.MUTED, "width": 1, "dash": "dash"})
    for (pair, medians), paint in zip(data.medians.groupby("pair"), cycle(_COLOURS), strict=False):
        for kind, median in medians.groupby("kind"):
            own = data.lines[(data.lines["pair"] == pair) & (data.lines["kind"] == kind)]
            line = {"color": paint, "dash": _DASHES[str(kind)]}
            drawing.add_traces([_bundle(own, line), _median(median, f"{theme.escape(pair)}: {kind}", line)])
    return drawing.update_xaxes(rangemode="tozero").update_yaxes(range=[-2, 102])


def _bundle(lines: pd.DataFrame, line: Mapping[str, object]) -> go.Scatter:
    """The trials' lines as one trace, parted by gaps."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for _, own in lines.groupby("number"):
        x += [*own["step"], None]
        y += [*own["share"], None]
        text += [*own["name"], ""]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={**line, "width": 1},
        opacity=0.3,
        hovertext=text,
        hovertemplate="%{hovertext}<br>%{y:.1f} % at step %{x}<extra></extra>",
        showlegend=False,
    )


def _median(median: pd.DataFrame, name: str, line: Mapping[str, object]) -> go.Scatter:
    return go.Scatter(
        x=median["step"].tolist(),
        y=median["share"].tolist(),
        mode="lines+markers",
        line={**line, "width": 2.5},
        marker={"size": 6},
        name=name,
        hovertemplate="%{fullData.name}<br>median %{y:.1f} % at step %{x}<extra></extra>",
    )
