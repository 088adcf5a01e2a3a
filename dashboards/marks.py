"""Trials as marks: what several figures share of a trial's colour, marker, legend and hover text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards.frames import PARAM
from dashboards.theme import FAMILIES, MUTED, STATES, colour, escape, marker

MANY = 800
"""More marks than that are drawn by the graphics card, smaller, and tell less when pointed at."""

_WORDS = {
    "COMPLETE": "complete",
    "RUNNING": "running",
    "PAUSED": "paused",
    "WAITING": "waiting",
    "PRUNED": "pruned",
    "FAIL": "failed",
}


def points(trials: pd.DataFrame) -> pd.DataFrame:
    """Per trial: role, number, state, family (of the student; unknown ones are "other"), miou in %, name, text.

    Of MANY trials and more, the text is short: all of it would be most of a page.
    """
    family = trials["student_family"].where(trials["student_family"].isin(list(FAMILIES)), "other")
    drawn = trials[["role", "number", "state"]].assign(family=family, miou=100 * trials["miou"])
    names = _names(trials)
    texts = _short(names, drawn) if len(trials) > MANY else [hover(trial) for trial in records(trials)]
    return drawn.assign(name=names, text=texts).reset_index(drop=True)


def _names(trials: pd.DataFrame) -> list[str]:
    """`name` of every trial; each pair is escaped once."""
    who = trials["pair"].where(trials["pair"].notna(), trials["student"]).astype(object)
    known = {text: escape(text) for text in who.unique()}
    return [
        f"<b>{escape(role)} trial {number}</b> {known[text]}"
        for role, number, text in zip(trials["role"], trials["number"], who, strict=True)
    ]


def _short(names: list[str], drawn: pd.DataFrame) -> list[str]:
    return [
        f"{name}<br>{_WORDS[state]}" + ("" if miou != miou else f", mIoU {miou:.2f} %")
        for name, state, miou in zip(names, drawn["state"], drawn["miou"], strict=True)
    ]


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
        lines.append(f"mIoU {100 * trial['miou']:.2f} %{gain}{over_images(trial)}")
    if pd.notna(trial["peer_miou"]):
        gain = "" if pd.isna(trial["peer_gain"]) else f" ({points_text(trial['peer_gain'])} points)"
        lines.append(f"other student: mIoU {100 * trial['peer_miou']:.2f} %{gain}")
    lines += [f"{escape(dimension)}: {escape(value)}" for dimension, value in config(trial)]
    if pd.notna(trial["reason"]):
        lines += [escape(line) for line in textwrap.wrap(str(trial["reason"]), 60)]
    return "<br>".join(lines)


def over_images(trial: dict[str, Any]) -> str:
    """The interval of a trial's mIoU over images, in words behind it; empty where it has none."""
    low, high = 100 * trial["miou_low"], 100 * trial["miou_high"]
    return "" if pd.isna(low) or pd.isna(high) else f", over images {low:.2f} to {high:.2f} %"


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


def scatter(drawn: pd.DataFrame, *, x: str, y: str, yaxis: str = "y") -> list[go.Scatter | go.Scattergl]:
    """One trace per role, family and state present, without legend entries: see `legend`.

    Args:
        drawn: as from `points`, with the columns x and y.
        x: column on the x axis.
        y: column on the y axis.
        yaxis: plotly's name of the y axis.
    """
    many = len(drawn) > MANY
    return [
        (go.Scattergl if many else go.Scatter)(
            x=column(group[x], many=many),
            y=column(group[y], many=many),
            yaxis=yaxis,
            mode="markers",
            marker=marker(str(state), colour(str(family))) | ({"size": 6} if many else {}),
            name=f"{family} {_WORDS[str(state)]}",
            legendgroup=family,
            showlegend=False,
            **whose(group, many=many, tell=_pointed_at(yaxis) if many else ""),
        )
        for (role, family, state), group in drawn.groupby(["role", "family", "state"])
    ]


def whose(group: pd.DataFrame, *, many: bool = False, tell: str = "") -> dict[str, Any]:
    """Of a trace with one mark a trial of one role: which trials these are, and what is shown when pointing at one.

    `customdata` holds the numbers and `meta` the role: by these the live dashboard opens the trial that is clicked.

    Args:
        group: as from `points`.
        many: whether the texts are left out, and `tell` shown behind the trial's number.
        tell: a hovertemplate of what is drawn anyway.
    """
    named = {"customdata": column(group["number"], many=many), "meta": {"role": next(iter(group["role"]), "search")}}
    if many:
        return named | {"hovertemplate": f"<b>%{{meta.role}} trial %{{customdata}}</b>{tell}<extra></extra>"}
    return named | {"hovertext": group["text"].tolist(), "hovertemplate": "%{hovertext}" + tell + "<extra></extra>"}


def _pointed_at(yaxis: str) -> str:
    reached = "<br>%{yaxis.title.text} %{y}" if yaxis == "y" else ""
    return f"<br>%{{fullData.name}}<br>%{{xaxis.title.text}} %{{x}}{reached}"


def column(values: pd.Series, *, many: bool) -> list[Any] | np.ndarray:
    """Values for plotly, missing ones NaN; of many the bytes, in single precision, which is 7 digits.

    plotly writes lists as decimal text and arrays as bytes; the browser reads those a hundred times faster.
    """
    if not many:
        return values.tolist()
    held = values.to_numpy()
    return held.astype(np.float32) if held.dtype.kind == "f" else held.astype(np.int32)


def legend(families: Iterable[str], states: Iterable[str]) -> list[go.Scatter]:
    """Traces that draw nothing but the legend: a family's colour, a state's marker."""
    present, seen = set(families), set(states)
    entries = [(f"{family} student", "COMPLETE", colour(family), family) for family in FAMILIES if family in present]
    entries += [(_WORDS[state], state, MUTED, state) for state in STATES if state in seen and state != "COMPLETE"]
    return [
        go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker(state, paint), legendgroup=group)
        for name, state, paint, group in entries
    ]
