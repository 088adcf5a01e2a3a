"""How every figure looks: one template, a colour per architecture family, a marker per trial state."""

from __future__ import annotations

import html
import re
import textwrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

FAMILIES: dict[str, str] = {
    "CNN": "#0072B2",
    "Transformer": "#D55E00",
    "hybrid": "#009E73",
    "other": "#CC79A7",
}
"""Okabe-Ito colours: told apart with any of the common colour-vision deficiencies."""

BASELINE = "#767676"
MUTED = "#8A94A0"
BAR = "#56B4E9"
FAILED = "#A50F15"
HOLLOW = "rgba(255, 255, 255, 0.6)"
INK = "#1F2933"
GRID = "#E6E9ED"
SEQUENTIAL = ((0.0, "#00224E"), (0.25, "#3F4D6C"), (0.5, "#7C7B78"), (0.75, "#BDAF6E"), (1.0, "#FEE838"))
"""Five stops of cividis: even steps of lightness with any colour vision."""

DIVERGING = ((0.0, "#E8A36F"), (0.5, "#F7F7F7"), (1.0, "#78B0DA"))
"""Loss, none, gain; light enough for dark text throughout."""

CONFIG: dict[str, object] = {
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
}
"""plotly's configuration wherever a figure is shown. plotly.js 4 offers to upload the data unless it is told not to."""

STATES: dict[str, dict[str, object]] = {
    "COMPLETE": {"symbol": "circle", "size": 9, "opacity": 0.9},
    "RUNNING": {"symbol": "circle-open", "size": 9, "opacity": 0.9},
    "PAUSED": {"symbol": "diamond-open", "size": 9, "opacity": 0.65},
    "WAITING": {"symbol": "circle-open", "size": 9, "opacity": 0.4},
    "PRUNED": {"symbol": "x-open", "size": 8, "opacity": 0.65},
    "FAIL": {"symbol": "cross", "size": 9, "opacity": 0.9, "color": FAILED},
}

NIGHT: dict[str, str] = {
    "white": "#1D232A",
    INK: "#E6E9ED",
    GRID: "#333C46",
    HOLLOW: "rgba(29, 35, 42, 0.6)",
    BASELINE: "#A8B2BD",
    FAILED: "#F4777F",
    FAMILIES["CNN"]: "#4BA3E3",
    FAMILIES["Transformer"]: "#F0883A",
    FAMILIES["hybrid"]: "#2FBF94",
    FAMILIES["other"]: "#DD9BC3",
    "#E8A36F": "#96501F",  # the ends and the middle of DIVERGING, dark enough for light text
    "#F7F7F7": "#2A323B",
    "#78B0DA": "#22659B",
    "#F1F3F5": "#262D35",
    "#C5CCD3": "#4A5560",
    "#9AA5B1": "#6B7785",
}
"""On a dark page: what each colour of a figure turns into; contrasts with the ground of 4.5 for text, 3 for marks."""

_AXIS = {
    "automargin": True,
    "gridcolor": GRID,
    "linecolor": "#9AA5B1",
    "showline": True,
    "ticks": "outside",
    "tickcolor": "#9AA5B1",
    "ticklen": 4,
    "zeroline": False,
    "title": {"standoff": 10},
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": INK},
        "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 18}},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 56, "r": 16, "t": 56, "b": 48},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": INK}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "tracegroupgap": 0,
        },
    }
)


def colour(family: str) -> str:
    """The family's colour; a family that is not in FAMILIES counts as "other"."""
    return FAMILIES.get(family, FAMILIES["other"])


def escape(text: object) -> str:
    """Text for plotly, which reads <b>, <a href> and entities in what it draws, or for HTML outside of attributes."""
    return html.escape(str(text), quote=False)


def plain_text(words: str) -> str:
    """What was escaped for plotly, for where nothing reads markup."""
    return html.unescape(words)


def marker(state: str, paint: str) -> dict[str, object]:
    """plotly's marker for a trial state, in the given colour unless the state has its own."""
    return {"color": paint, **STATES[state]}


def at_night(drawing: dict[str, Any]) -> dict[str, Any]:
    """A figure as plotly's JSON, for a dark page: its colours are replaced by those of NIGHT, its texts are left."""
    return {name: _dark(name, value) for name, value in drawing.items()}


def _dark(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return at_night(value)
    if isinstance(value, (list, tuple)):
        paints = name.lower().endswith(("color", "colorscale"))
        return [_dark(name, item) for item in value] if paints or _holds(value) else value
    if not isinstance(value, str):
        return value
    if name.lower().endswith(("color", "colorscale")):
        return NIGHT.get(value, value)
    return _SPAN.sub(lambda found: found[1] + NIGHT.get(found[2], found[2]), value)


_SPAN = re.compile(r'(<span style="color:)(#[0-9A-Fa-f]{6})')  # ours: what a study says is escaped


def _holds(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether there may be colours in it: figures hold long lists of numbers too."""
    return any(isinstance(item, (dict, list)) for item in value[:1]) or any(
        isinstance(item, str) and "<span" in item for item in value[:200]
    )


def log_ticks(low: float, high: float) -> list[float]:
    """log10 of the powers of ten within the limits; where there are few, of 1, 2, 5 times them, at last the limits.

    Args:
        low: log10 of the lowest value.
        high: log10 of the highest value.
    """
    powers = np.arange(np.floor(low), np.ceil(high) + 1)
    for parts in ((1,), (1, 2, 5)):
        ticks = np.add.outer(powers, np.log10(parts)).ravel()
        within = ticks[(ticks >= low - 1e-9) & (ticks <= high + 1e-9)]
        if len(within) > 2:
            return within.tolist()
    return sorted({low, high})


def canvas(title: str, *, x: str, y: str, height: int = 460, min_width: int = 0) -> go.Figure:
    """An empty titled figure with named axes.

    Args:
        title: what one reads; escaped by the caller.
        x: title of the x axis with its unit.
        y: title of the y axis with its unit.
        height: pixels.
        min_width: pixels under which a page should scroll rather than squeeze; kept in `layout.meta`.
    """
    layout = {"title": {"text": title}, "height": height, "xaxis": {"title": {"text": x}}}
    return go.Figure(
        layout={**layout, "template": TEMPLATE, "yaxis": {"title": {"text": y}}, "meta": {"min_width": min_width}}
    )


def empty(title: str, why: str) -> go.Figure:
    """A titled figure without axes or traces that says in one sentence why there is nothing to draw."""
    drawing = canvas(title, x="", y="", height=180)
    drawing.update_xaxes(visible=False)
    drawing.update_yaxes(visible=False)
    sentence = "<br>".join(textwrap.wrap(why, 42))
    drawing.add_annotation(
        text=sentence, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 15, "color": MUTED}
    )
    return drawing
