"""Several studies on one axis: the best mIoU that each has reached, trial by trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go

from dashboards import theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each line is the best complete trial so far of one study, so a steeper line is a better search; compare levels "
    "only between studies of the same data and budget."
)
TITLE = "The best so far, study by study"
_COLOURS = (*theme.FAMILIES.values(), theme.BAR, theme.MUTED)
_DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Studies:
    """Attributes:
    best: study -> done (complete and pruned trials so far), miou (best so far in %), one row a complete trial.
    rows: study, data, trials, complete, pruned, fail, miou, gain (best in points), hours; one row a study.
    """

    best: Mapping[str, pd.DataFrame]
    rows: pd.DataFrame


def prepare(studies: Mapping[str, StudyFrames]) -> Studies:
    """Args:
    studies: name -> frames, in the order shown.
    """
    return Studies(
        best={name: _best(frames) for name, frames in studies.items()},
        rows=pd.DataFrame([_row(name, frames) for name, frames in studies.items()]),
    )


def _best(frames: StudyFrames) -> pd.DataFrame:
    trials = frames.trials_of("search", "COMPLETE", "PRUNED", "FAIL")
    trials = trials.assign(done=range(1, len(trials) + 1))
    complete = trials[(trials["state"] == "COMPLETE") & trials["miou"].notna()]
    return pd.DataFrame({"done": complete["done"], "miou": 100 * complete["miou"].cummax()})


def _row(name: str, frames: StudyFrames) -> dict[str, object]:
    trials = frames.trials_of("search")
    states = trials["state"].value_counts()
    complete = trials[trials["state"] == "COMPLETE"]
    return {
        "study": name,
        "data": frames.summary.get("data", ""),
        "trials": len(trials),
        **{word: int(states.get(word.upper(), 0)) for word in ("complete", "pruned", "fail")},
        "miou": 100 * complete["miou"].max(),
        "gain": 100 * complete["gain"].max(),
        "hours": frames.trials["seconds"].sum() / 3600,
    }


def figure(data: Studies) -> go.Figure:
    """Finished search trials against the best mIoU so far; a colour and a dash a study."""
    drawn = {name: best for name, best in data.best.items() if not best.empty}
    if not drawn:
        return theme.empty(TITLE, "No search trial of these studies is complete yet.")
    drawing = theme.canvas(TITLE, x="finished search trials", y="best mIoU so far (%)")
    for (name, best), paint, dash in zip(drawn.items(), cycle(_COLOURS), cycle(_DASHES), strict=False):
        last = int(data.rows.loc[data.rows["study"] == name, "trials"].iloc[0])
        rises = best[best["miou"].diff().ne(0)]
        drawing.add_scatter(
            x=[*rises["done"], max(last, int(best["done"].iloc[-1]))],
            y=[*rises["miou"], best["miou"].iloc[-1]],
            mode="lines",
            line={"shape": "hv", "color": paint, "dash": dash, "width": 2.5},
            name=theme.escape(name),
            hovertemplate="%{fullData.name}<br>%{y:.2f} % after %{x} trials<extra></extra>",
        )
    return drawing.update_xaxes(rangemode="tozero")
