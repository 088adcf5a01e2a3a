"""The page as it is before anything is known: its regions, its filters and its ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from dashboards import FIGURES, theme
from dashboards.live import dom

VIEWS: dict[str, str] = {
    "history": "Overview",
    "trials": "All trials",
    **{name: words for name, words in FIGURES.items() if name != "history"},
    "studies": "Studies",
}
"""Anchor -> words: what stands behind # in the address. The overview holds the figure "history"."""

_CONFIG: Any = {**theme.CONFIG, "plotGlPixelRatio": 1}
"""With more, plotly (3, 4) looks for the parallel line under the pointer at a multiple of the pointer's place."""

_STORES = ("versions", "beat", "dark", "drawn", "chosen", "order", "page", "seen", "pending", "again")

FILTERS = {"pair": "Pair", "method": "Method", "state": "State", "seed": "Seed", "role": "Role"}

INDEX = """<!doctype html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
{%favicon%}
{%css%}
<link rel="preload" as="script" href="/_dash-component-suites/plotly/package_data/plotly.min.js">
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>
"""


def page(names: Sequence[str], *, every_s: float) -> Any:
    """The page.

    Args:
        names: of the studies; the first is shown.
        every_s: seconds between two questions whether anything is new.
    """
    return html.Div(
        [
            html.A("Skip to the content", href="#", className="skip", **_also(data_skip="main")),
            dcc.Location(id="url", refresh=False),
            dcc.Interval(id="tick", interval=round(1000 * every_s)),
            *(dcc.Store(id=name) for name in (*_STORES, *(f"{region}-tree" for region in dom.REGIONS))),
            _header(names),
            html.Div([_side(), _main(), _panel()], className="shell"),
        ],
        className="page",
    )


def _also(**attributes: str) -> dict[str, Any]:
    """aria_label -> aria-label: attributes whose names are none of Python's."""
    return {name.replace("_", "-"): text for name, text in attributes.items()}


def _header(names: Sequence[str]) -> Any:
    choose = dcc.Dropdown(
        id="study", options=list(names), value=names[0], clearable=False, className="study", searchable=len(names) > 8
    )
    return html.Header(
        [
            html.Div([html.P("HeteroAKD Explorer", className="brand"), html.H1(names[0], id="name")]),
            html.Div([html.Label("Study", htmlFor="study"), choose], hidden=len(names) < 2, className="choose"),
            html.Div(id="silent", role="status", className="wrong"),
            html.Div(id="status", role="status"),
        ]
    )


def _side() -> Any:
    links = [html.A(words, href=f"#{view}", id=f"to-{view}") for view, words in VIEWS.items()]
    return html.Aside(
        [
            html.Nav(links, **_also(aria_label="Views")),
            html.Details(
                [html.Summary("Filters"), *(_filter(name, words) for name, words in FILTERS.items())],
                open=True,
                className="filters",
            ),
        ],
        className="side",
    )


def _filter(name: str, words: str) -> Any:
    menu = dcc.Dropdown(
        id=f"only-{name}", multi=True, placeholder="all", searchable=False, debounce=False, className="filter"
    )
    return html.Div([html.Label(words, htmlFor=f"only-{name}"), menu], id=f"filter-{name}")


def _main() -> Any:
    return html.Main(
        [
            html.P(id="active", className="note", role="status"),
            html.Div(id="top"),
            html.Section(
                [
                    html.H2(id="title"),
                    html.P(id="caption", className="caption"),
                    html.P(id="note", className="note", role="status"),
                    html.Div(
                        html.Div(dcc.Graph(id="graph", config=_CONFIG, responsive=True), id="plot", className="plot"),
                        className="scroll",
                    ),
                ],
                id="figure",
            ),
            html.Div(id="below"),
        ],
        id="main",
        tabIndex=-1,
    )


def _panel() -> Any:
    return html.Aside(
        [
            html.Div(
                [
                    html.H2(id="panel-title"),
                    html.Button("×", title="Close (Escape)", **_also(aria_label="Close", data_set="chosen")),
                ],
                className="bar-top",
            ),
            html.Div(id="facts"),
            html.Div(dcc.Graph(id="curve", config=_CONFIG, responsive=True, style={"height": 280}), className="plot"),
            html.Div(id="classes"),
            html.Div(id="pictures"),
        ],
        id="panel",
        hidden=True,
        tabIndex=-1,
        **_also(aria_labelledby="panel-title"),
    )
