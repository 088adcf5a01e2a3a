"""The report: a study as one self-contained HTML page that asks the network for nothing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboards import FIGURES, marks, page, theme
from dashboards.frames import StudyFrames

_BEST = ("#", "pair", "seed", "mIoU (%)", "over images (%)", "alone (%)", "gain (points)", "student (M)", "config")
_TRUE = ("over seeds (%)", "luck (points)")
_PEER = ("other student (%)", "its gain (points)")
_FAILED = ("#", "role", "pair or student", "reason")


def write(frames: StudyFrames, path: Path) -> Path:
    """Write the page and return its path; about 5 MB, nearly all of it plotly.js.

    Raises:
        OSError: the file cannot be written.
    """
    title = frames.summary.get("study", "HeteroAKD study")
    summary = {label: text for label, text in frames.summary.items() if label != "study"}
    sections = [("summary", "Summary", page.summary(summary)), ("best", "Best trials", best(frames))]
    if not frames.trials.empty and (frames.trials["state"] == "FAIL").any():
        sections.append(("failed", "Failed trials", failed(frames)))
    sections += [(name, words, _section(name, frames)) for name, words in FIGURES.items()]
    path.write_text(page.render(title, sections), encoding="utf-8", errors="replace")
    return path


def draw(name: str, frames: StudyFrames) -> go.Figure:
    """The figure of this name in FIGURES."""
    module = import_module(f"dashboards.{name}")
    return module.figure(module.prepare(frames))


def best(frames: StudyFrames, most: int = 10) -> str:
    """HTML: the complete search trials that are believed best, the best first; with their interval over images."""
    trials = frames.best().head(most)
    true = _TRUE if trials["believed"].notna().any() else ()
    peers = _PEER if trials["peer_miou"].notna().any() else ()
    head = (*_BEST[:5], *true, *_BEST[5:7], *peers, *_BEST[7:])
    rows = [
        (
            str(trial["number"]),
            _text(trial["pair"]),
            str(trial["seed"]),
            _number(100 * trial["miou"], ".2f"),
            _span(100 * trial["miou_low"], 100 * trial["miou_high"]),
            *(_over_seeds(trial), _number(100 * (trial["miou"] - trial["believed"]), "+.2f"))[: len(true)],
            _number(100 * trial["baseline"], ".2f"),
            _number(100 * trial["gain"], "+.2f"),
            *(_number(100 * trial["peer_miou"], ".2f"), _number(100 * trial["peer_gain"], "+.2f"))[: len(peers)],
            _number(trial["parameters_millions"], ".2f"),
            ", ".join(f"{name}\u00a0{value}" for name, value in marks.config(trial) if name != "pair"),
        )
        for trial in marks.records(trials)
    ]
    if not rows:
        return "<h2>Best trials</h2><p>No search trial is complete yet.</p>"
    return page.table("Best trials", head, rows, right=head[:1] + head[2:-1])


def _over_seeds(trial: Any) -> str:
    """What the config is believed to have, with its 90 % interval."""
    mean, *ends = (_number(100 * trial[f"believed{end}"], ".2f") for end in ("", "_low", "_high"))
    return mean if pd.isna(trial["believed_low"]) else f"{mean} ({ends[0]} to {ends[1]})"


def failed(frames: StudyFrames) -> str:
    """HTML: the failed trials of both roles with their reasons."""
    trials = frames.trials[frames.trials["state"] == "FAIL"].sort_values(["role", "number"])
    rows = [
        (
            str(trial["number"]),
            trial["role"],
            _text(trial["student"] if pd.isna(trial["pair"]) else trial["pair"]),
            _text(trial["reason"]),
        )
        for trial in marks.records(trials)
    ]
    return page.table("Failed trials", _FAILED, rows, right=_FAILED[:1])


def _section(name: str, frames: StudyFrames) -> str:
    drawing = draw(name, frames)
    caption = import_module(f"dashboards.{name}").CAPTION
    title, width = drawing.layout.title.text, drawing.layout.meta["min_width"]
    drawing.update_layout(title=None, margin={"t": max(16, (drawing.layout.margin.t or 0) - 44)})
    plot = drawing.to_html(full_html=False, include_plotlyjs=False, config=theme.CONFIG, div_id=f"plot-{name}")
    return page.plot(title, caption, plot, min_width=width)


def _text(value: str | float | None) -> str:
    return "–" if pd.isna(value) else str(value)


def _span(low: float, high: float) -> str:
    return "–" if pd.isna(low) or pd.isna(high) else f"{low:.2f} to {high:.2f}"


def _number(value: float, form: str) -> str:
    return "–" if pd.isna(value) else format(value, form)
