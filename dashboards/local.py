"""Local sensitivity: mIoU along each dimension while the others stay as in the best trial of a pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import intervals, marks, theme
from dashboards.frames import StudyFrames

CAPTION = (
    "Each panel changes one dimension of the pair's best trial, whose own value is the diamond, and the band is the "
    "90 % interval of mean mIoU: a flat panel can be left alone, a steep one is worth tuning."
)
TITLE = "What changing one thing about the best trial would do"
_ACROSS, _HEIGHT = 3, 240  # panels side by side; pixels of a row of them
_FEW = 8  # whole numbers that each have a tick


@dataclass(frozen=True)
class Slices:
    """One pair.

    Attributes:
        pair: its name.
        lines: dimension -> value, label, miou_mean, miou_low, miou_high in %, best; by rising value.
        kinds: dimension -> "category", "log" or "number".
    """

    pair: str
    lines: dict[str, pd.DataFrame]
    kinds: dict[str, str]


def prepare(frames: StudyFrames) -> tuple[Slices, ...]:
    """The pair with the best trial first; dimensions in the study's order."""
    table = frames.local
    kinds = {
        str(name): "category" if kind == "categorical" else "log" if log else "number"
        for name, kind, log in frames.dimensions[["name", "kind", "log"]].itertuples(index=False)
    }
    top = table[table["best"]].groupby("pair")["miou_mean"].max().sort_values(ascending=False)
    return tuple(
        _slices(str(pair), table[table["pair"] == pair], kinds) for pair in dict.fromkeys([*top.index, *table["pair"]])
    )


def _slices(pair: str, table: pd.DataFrame, kinds: dict[str, str]) -> Slices:
    scaled = table.assign(**{name: 100 * table[name] for name in ("miou_mean", "miou_low", "miou_high")})
    lines = {
        str(name): own.sort_values("value", ignore_index=True) for name, own in scaled.groupby("dimension", sort=False)
    }
    return Slices(pair, lines, {name: kinds.get(name, "number") for name in lines})


def figure(data: tuple[Slices, ...]) -> go.Figure:
    """Small panels on one mIoU axis; a menu chooses the pair when there are several."""
    if not data:
        return theme.empty(TITLE, "At least 12 complete trials in which something varies are needed.")
    kinds = {name: kind for panel in data for name, kind in panel.kinds.items()}
    title = TITLE if len(data) > 1 else f"{TITLE}: {theme.escape(data[0].pair)}".removesuffix(": ")
    down = math.ceil(len(kinds) / _ACROSS)
    drawing = theme.canvas(title, x="", y="mIoU (%)", height=70 + _HEIGHT * down, min_width=640)
    places = {name: str(index + 1) if index else "" for index, name in enumerate(kinds)}
    drawing.update_layout(_axes(data, kinds, down))
    owners = []
    for index, panel in enumerate(data):
        for name, line in panel.lines.items():
            traces = _traces(line, kinds[name], places[name])
            drawing.add_traces([trace.update(visible=index == 0) for trace in traces])
            owners += [index] * len(traces)
    if len(data) > 1:
        menu = intervals.menu([panel.pair for panel in data], owners)
        for button, panel in zip(menu["buttons"], data, strict=True):
            ranges = {f"yaxis{place}.range": _range(panel) for place in places.values()}
            button.update(method="update", args=[*button["args"], ranges])
        drawing.update_layout(updatemenus=[menu], margin={"t": 100})
    return drawing


def _range(panel: Slices) -> list[float]:
    """One range of mIoU for all panels of a pair, so that steep and flat can be compared."""
    every = pd.concat(list(panel.lines.values()))
    low, high = float(every["miou_low"].min()), float(every["miou_high"].max())
    pad = 0.05 * max(high - low, 0.5)
    return [low - pad, high + pad]


def _axes(data: tuple[Slices, ...], kinds: dict[str, str], down: int) -> dict[str, object]:
    """The panels' places, three in a row."""
    across = min(_ACROSS, len(kinds))
    axes: dict[str, object] = {}
    for index, (name, kind) in enumerate(kinds.items()):
        column, row = index % across, index // across
        left, top = column / across, 1 - row / down
        number = str(index + 1) if index else ""
        axes[f"xaxis{number}"] = {
            "domain": [left + 0.02, left + 1 / across - 0.02],
            "anchor": f"y{number}",
            "title": {"text": theme.escape(name)},
            **_scale(name, kind, data),
        }
        axes[f"yaxis{number}"] = {
            "domain": [top - 1 / down + 0.32 / down, top],
            "anchor": f"x{number}",
            "range": _range(data[0]),
            "title": {"text": "mIoU (%)" if column == 0 else ""},
            "showticklabels": column == 0,
        }
    return axes


def _scale(name: str, kind: str, data: tuple[Slices, ...]) -> dict[str, object]:
    lines = pd.concat([panel.lines[name] for panel in data if name in panel.lines])
    if kind == "category":
        ticks = lines.drop_duplicates("value").sort_values("value")
        texts = [theme.escape(label) for label in ticks["label"]]
        return {
            "tickvals": ticks["value"].tolist(),
            "ticktext": texts,
            "range": [-0.5, float(ticks["value"].max()) + 0.5],
        }
    if kind == "log":
        low, high = np.log10(lines["value"].min()), np.log10(lines["value"].max())
        ticks = theme.log_ticks(float(low), float(high))
        return {
            "type": "log",
            "tickvals": [10**tick for tick in ticks],
            "ticktext": [marks.brief(10**tick) for tick in ticks],
        }
    held = sorted(set(lines["value"]))
    return {"tickvals": held} if len(held) <= _FEW and all(value % 1 == 0 for value in held) else {}


def _traces(line: pd.DataFrame, kind: str, place: str) -> list[go.Scatter]:
    axes = {"xaxis": f"x{place}", "yaxis": f"y{place}", "showlegend": False}
    texts = [
        f"{theme.escape(row['label'])}{' (the best trial)' if row['best'] else ''}<br>mIoU {row['miou_mean']:.2f} % "
        f"(90 % interval {row['miou_low']:.2f} to {row['miou_high']:.2f})"
        for row in marks.records(line)
    ]
    shown = {"hovertext": texts, "hovertemplate": "%{hovertext}<extra></extra>"}
    best = line[line["best"]]
    diamond = go.Scatter(
        x=best["value"].tolist(),
        y=best["miou_mean"].tolist(),
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": theme.FAMILIES["Transformer"]},
        hoverinfo="skip",
        **axes,
    )
    if kind == "category":
        whiskers = intervals.whiskers(line.rename(columns={"miou_low": "low", "miou_high": "high"}), "miou_mean")
        dots = go.Scatter(x=line["value"].tolist(), y=line["miou_mean"].tolist(), mode="markers", error_y=whiskers)
        return [dots.update(marker={"color": theme.INK, "size": 8}, **shown, **axes), diamond]
    band = intervals.band(line["value"], line["miou_low"], line["miou_high"]).update(axes)
    mean = go.Scatter(x=line["value"].tolist(), y=line["miou_mean"].tolist(), mode="lines", **shown, **axes)
    return [band, mean.update(line={"color": theme.INK, "width": 2}), diamond]
