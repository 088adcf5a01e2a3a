"""What W&B gets once a sweep is over: a run named `sweep` with the study's summary, its best trial and its figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from dashboards import FIGURES
from dashboards.frames import StudyFrames
from explorer.launch.loggers_backends import first_line, quiet
from explorer.launch.loggers_wandb import open_run, told
from explorer.redact import redact
from explorer.results.trials import load_frames
from explorer.study import StudySpec
from trainables.extras import has

_NAME = "sweep"
_SCORES = ("miou", "baseline", "gain", "believed", "believed_low", "believed_high")


def send(directory: Path, project: str, *, say: Callable[[str], None]) -> None:
    """Once for the same number of trials. What fails is said, and does no harm.

    Args:
        say: told of what could not be sent.
    """
    try:
        with quiet(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            lacking = _send(directory, project)
    except Exception as error:  # whatever it is: the study is whole
        say(f"W&B has no summary of the sweep: {first_line(error)}. A resume tries again.")
        return
    if lacking:
        say(lacking)


def _send(directory: Path, project: str) -> str:
    """Returns:
    A sentence on what was left out; empty: nothing.
    """
    spec, known = StudySpec.of(directory), told(directory)
    frames = load_frames(directory, analyse=False)
    ended = int(frames.trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"]).sum())
    if known.last(_NAME) == ended:
        return ""
    shown = {name: redact(value) if isinstance(value, str) else value for name, value in spec.model_dump().items()}
    run = open_run(
        project, _NAME, study=spec.name, owner=str(spec.owner), directory=directory, config=shown, tags=[_NAME]
    )
    run.summary.update({**frames.summary, **_best(frames)})
    if drawable := has("plotly"):
        run.log(_figures(directory), step=ended, commit=True)
    run.finish()
    known.reach(_NAME, ended)
    remedy = "W&B has the sweep's summary without figures. Install the extra `dashboard` for them."
    return "" if drawable else remedy


def _best(frames: StudyFrames) -> dict[str, Any]:
    """The trial that is believed best, in numbers; nothing where none is complete."""
    best = frames.best().head(1)
    if best.empty:
        return {}
    row = best.iloc[0]
    scores = {f"best/{name}": float(row[name]) for name in _SCORES if name in row and pd.notna(row[name])}
    params = {name: row[name] for name in row.index if name.startswith("param.") and pd.notna(row[name])}
    return {"best/trial": int(row["number"]), **scores, **{f"best/{name}": value for name, value in params.items()}}


def _figures(directory: Path) -> dict[str, Any]:
    import wandb

    from dashboards import report

    frames = load_frames(directory)
    return {f"figures/{name}": wandb.Plotly(report.draw(name, frames)) for name in FIGURES}
