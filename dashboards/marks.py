"""Trials as marks: what several figures share of a trial's colour, marker, legend and hover text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboards.frames import PARAM
from dashboards.theme import FAMILIES, MUTED, STATES, colour, escape, marker

_WORDS = {"COMPLETE": "complete", "RUNNING": "running", "WAITING": "waiting", "PRUNED": "pruned", "FAIL": "failed"}


def points(trials: pd.DataFrame) -> pd.DataFrame:
    """Per trial: role, number, state, family (of the student; unknown ones are "other"), miou in %, name, text."""
    family = trials["student_family"].where(trials["student_family"].isin(list(FAMILIES)), "other")
    drawn = trials[["role", "number", "state"]].assign(family=family, miou=100 * trials["miou"])
    each = records(trials)
    drawn = drawn.assign(name=[name(trial) for trial in each], text=[hover(trial) for trial in each])
    return drawn.reset_index(drop=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries by column name."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def name(trial: dict[str, Any]) -> str:
    """A trial in a few words, escaped: its role, number, and pair or student."""
    who = trial["student"] if pd.isna(trial["pair"]) else trial["pair"]
    return f"<b>{escape(trial['role'])} trial {trial['number']}</b> {escape(who)}"


def hover(trial: dict[str, Any]) -> str:
    """The text shown when pointing at a trial, escaped, lines parted by <br>."""
    lines = [name(trial), f"{_WORDS[trial['state']]} at step {trial['step']}"]
    lines.append(f"{escape(trial['method'])}, seed {trial['seed']}")
    if pd.notna(trial["miou"]):
        gain = "" if pd.isna(trial["gain"]) else f" ({points_text(trial['gain'])} points)"
        lines.append(f"mIoU {100 * trial['miou']:.2f} %{gain}")
    if pd.notna(trial["peer_miou"]):
        gain = "" if pd.isna(trial["peer_gain"]) else f" ({points_text(trial['peer_gain'])} points)"
        lines.append(f"other student: mIoU {100 * trial['peer_miou']:.2f} %{gain}")
    lines += [f"{escape(dimension)}: {escape(value)}" for dimension, value in config(trial)]
    if pd.notna(trial["reason"]):
        lines += [escape(line) for line in textwrap.wrap(str(trial["reason"]), 60)]
    return "<br>".join(lines)


def config(trial: dict[str, Any]) -> list[tuple[str, str]]:
    """The dimensions a trial has, with their values as short texts."""
    held = ((name.removeprefix(PARAM), value) for name, value in trial.items() if name.startswith(PARAM))
    return [(name, brief(value)) for name, value in held if pd.notna(value)]


def brief(value: object) -> str:
    """A number in four significant digits, whole ones without a point; anything else as it is."""
    if not isinstance(value, float):
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"


def points_text(gain: float) -> str:
    """A gain in [-1, 1] as signed percentage points: "+1.2"."""
    return f"{100 * gain:+.1f}"


def scatter(drawn: pd.DataFrame, *, x: str, y: str, yaxis: str = "y") -> list[go.Scatter]:
    """One trace per family and state present, without legend entries: see `legend`.

    Args:
        drawn: as from `points`, with the columns x and y.
        x: column on the x axis.
        y: column on the y axis.
        yaxis: plotly's name of the y axis.
    """
    return [
        go.Scatter(
            x=group[x].tolist(),
            y=group[y].tolist(),
            yaxis=yaxis,
            mode="markers",
            marker=marker(str(state), colour(str(family))),
            hovertext=group["text"].tolist(),
            hovertemplate="%{hovertext}<extra></extra>",
            name=f"{family} {_WORDS[str(state)]}",
            legendgroup=family,
            showlegend=False,
        )
        for (family, state), group in drawn.groupby(["family", "state"])
    ]


def legend(families: Iterable[str], states: Iterable[str]) -> list[go.Scatter]:
    """Traces that draw nothing but the legend: a family's colour, a state's marker."""
    present, seen = set(families), set(states)
    entries = [(f"{family} student", "COMPLETE", colour(family), family) for family in FAMILIES if family in present]
    entries += [(_WORDS[state], state, MUTED, state) for state in STATES if state in seen and state != "COMPLETE"]
    return [
        go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker(state, paint), legendgroup=group)
        for name, state, paint, group in entries
    ]
