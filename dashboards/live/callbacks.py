"""What happens when something is chosen, or has changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Thread
from typing import Any

import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, no_update
from dash.exceptions import PreventUpdate

from dashboards import theme, trial
from dashboards.live import dom, panel, tables
from dashboards.live.dom import Tree, tag
from dashboards.live.drawn import Drawer, plain
from dashboards.live.filters import Filters, options, word
from dashboards.live.layout import FILTERS, VIEWS
from dashboards.live.source import Snapshot, Source

_CHOICES = [Input(f"only-{name}", "value") for name in FILTERS]


def connect(app: Dash, source: Source) -> None:
    """Join the page's parts."""
    drawer = Drawer(source)
    Thread(target=_warm, args=(drawer, source), daemon=True).start()
    _in_the_browser(app)
    _what_is_new(app, source)
    _what_is_shown(app, source, drawer)
    _which_trial(app, source)


def _warm(drawer: Drawer, source: Source) -> None:
    """What the first reader will ask for; a process's first figure takes plotly a second."""
    for name in list(source.names())[:4]:
        drawer.figure(name, "history", Filters(), dark=False)


def _in_the_browser(app: Dash) -> None:
    """assets/live.js: nothing of these asks the server."""
    app.clientside_callback(ClientsideFunction("live", "dark"), Output("dark", "data"), Input("url", "pathname"))
    app.clientside_callback(
        ClientsideFunction("live", "show"),
        Output("graph", "figure"),
        Output("graph", "style"),
        Output("plot", "style"),
        Input("drawn", "data"),
        Input("chosen", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("live", "current"),
        Output("main", "className"),
        Input("url", "hash"),
        Input("study", "value"),
    )
    app.clientside_callback(
        ClientsideFunction("live", "forget"),
        Output("chosen", "data"),
        Output("page", "data"),
        Input("study", "value"),
        prevent_initial_call=True,
    )
    for region in dom.REGIONS:
        app.clientside_callback(
            ClientsideFunction("live", "fill"),
            Output(region, "title"),
            Input(f"{region}-tree", "data"),
            State(region, "id"),
        )
    app.clientside_callback(ClientsideFunction("live", "later"), Input("pending", "data"))
    app.clientside_callback(ClientsideFunction("live", "answered"), Input("beat", "data"))


def held(source: Source, name: Any) -> Snapshot:
    """A study's snapshot.

    Raises:
        PreventUpdate: a page that an earlier server sent asks for a study of that one.
    """
    if name not in source.names():
        raise PreventUpdate
    return source.snapshot(name)


def _what_is_new(app: Dash, source: Source) -> None:
    began = time.time_ns()  # another server counts its versions anew

    @app.callback(
        Output("versions", "data"),
        Output("beat", "data"),
        Input("tick", "n_intervals"),
        State("versions", "data"),
        State("study", "value"),
    )
    def _tick(turn: int | None, known: Any, name: Any) -> Any:
        if name not in source.names():
            return no_update, "gone"
        now = [str(began), {each: source.snapshot(each).version for each in source.names()}]
        return no_update if now == known else now, turn

    @app.callback(
        Output("name", "children"), Output("status-tree", "data"), Input("study", "value"), Input("versions", "data")
    )
    def _status(name: str, _: Any) -> Any:
        return name, status(held(source, name))

    @app.callback(
        *(Output(f"only-{name}", "options") for name in FILTERS),
        *(Output(f"filter-{name}", "hidden") for name in FILTERS),
        Input("study", "value"),
        Input("versions", "data"),
        *(State(f"only-{name}", "options") for name in FILTERS),
    )
    def _options(name: str, _: Any, *known: Any) -> Any:
        found = options(held(source, name).frames)
        offered = [[{"label": word(one), "value": one} for one in found[name]] for name in FILTERS]
        if list(known) == offered:
            return (no_update,) * (2 * len(FILTERS))
        return (*offered, *(len(values) < 2 for values in offered))


def status(found: Snapshot) -> list[Tree]:
    """One line: how far the study is, of what the statistics are, and what is wrong."""
    told = [tag("span", found.frames.summary.get("trials", "no trials yet"), class_="count")]
    if found.as_of is None:
        told.append(tag("span", "statistics are being computed", class_="busy"))
    elif found.as_of != found.num_finished:
        told.append(tag("span", f"statistics as of {found.as_of} finished trials", class_="busy"))
    if found.note:
        told.append(tag("span", found.note, class_="wrong"))
    return told


def view_of(anchor: str | None, names: int) -> str:
    """The view that the address asks for; the overview when there is none of that name."""
    view = (anchor or "").removeprefix("#")
    return view if view in VIEWS and (view != "studies" or names > 1) else "history"


def filters_of(values: tuple[Any, ...]) -> Filters:
    """From the menus, which hold None, or a list of what is kept."""
    return Filters(**{name: tuple(value or ()) for name, value in zip(FILTERS, values, strict=True)})


def _what_is_shown(app: Dash, source: Source, drawer: Drawer) -> None:
    @app.callback(
        Output("drawn", "data"),
        Output("title", "children"),
        Output("caption", "children"),
        Output("note", "children"),
        Output("figure", "hidden"),
        Input("url", "hash"),
        Input("dark", "data"),
        Input("study", "value"),
        Input("versions", "data"),
        *_CHOICES,
    )
    def _figure(anchor: str, dark: bool | None, name: str, _: Any, *values: Any) -> Any:
        view = view_of(anchor, len(source.names()))
        if view == "trials":
            return no_update, "", "", "", True
        held(source, name)
        filters = filters_of(values)
        drawn = (
            drawer.overlay(dark=bool(dark))
            if view == "studies"
            else drawer.figure(name, view, filters, dark=bool(dark))
        )
        shown = {part: drawn[part] for part in ("figure", "key", "width")}
        return shown, theme.plain_text(drawn["title"]), drawn["caption"], drawn["note"], False

    @app.callback(
        Output("top-tree", "data"),
        Output("below-tree", "data"),
        Output("active", "children"),
        Input("url", "hash"),
        Input("study", "value"),
        Input("versions", "data"),
        Input("order", "data"),
        Input("page", "data"),
        *_CHOICES,
    )
    def _texts(anchor: str, name: str, _: Any, order: str | None, at: str | None, *values: Any) -> Any:
        view = view_of(anchor, len(source.names()))
        held(source, name)
        filters = filters_of(values)
        if view == "trials":
            frames = drawer.kept(name, filters).frames
            page = int(at) if at and at.isdecimal() else 0
            table = tables.trials(frames, order=tables.Order.parse(order), page=page)
            return [], [tag("section", tag("h2", "All trials"), table)], filters.words
        if view == "studies":
            every = {each: source.snapshot(each).frames for each in source.names()}
            return [tag("section", tag("h2", "Studies"), tables.several(every, current=name))], [], ""
        if view == "history":
            frames = drawer.kept(name, filters).frames
            below = [tables.best(frames), tables.failed(frames)]
            told = [tag("section", part) for part in below if part]
            return [tag("section", summary(frames.summary))], told, filters.words
        return [], [], filters.words


def summary(values: Mapping[str, str]) -> list[Tree]:
    """The study in a few words."""
    return [tag("h2", "Summary"), dom.facts([(label, text) for label, text in values.items() if label != "study"])]


def _which_trial(app: Dash, source: Source) -> None:
    def chosen(name: str, key: str | None) -> tuple[Snapshot, Any]:
        found = held(source, name)
        return found, panel.row_of(found.frames, key)

    @app.callback(
        Output("panel", "hidden"),
        Output("panel-title", "children"),
        Output("facts-tree", "data"),
        Output("curve", "figure"),
        Input("chosen", "data"),
        Input("versions", "data"),
        Input("dark", "data"),
        State("study", "value"),
    )
    def _facts(key: str | None, _: Any, dark: bool | None, name: str) -> Any:
        found, row = chosen(name, key)
        if row is None:
            return True, "", [], empty()
        role, number = str(row["role"]), int(row["number"])
        drawing = trial.figure(trial.prepare(found.frames, role, number))
        facts = panel.facts(row, source.detail(name, role, number))
        return False, panel.title(row), facts, _curve(drawing, f"{name}/{key}", dark=bool(dark))

    @app.callback(
        Output("classes-tree", "data"),
        Output("pictures-tree", "data"),
        Output("seen", "data"),
        Output("pending", "data"),
        Input("chosen", "data"),
        Input("versions", "data"),
        Input("again", "data"),
        State("study", "value"),
        State("seen", "data"),
    )
    def _seen(key: str | None, _: Any, asked: int | None, name: str, shown: str | None) -> Any:
        row = chosen(name, key)[1]
        if row is None:
            return [], [], None, None
        role, number = str(row["role"]), int(row["number"])
        detail, seen = source.detail(name, role, number), source.pictures(name, role, number)
        now = f"{name}/{key}/{seen.pending}/{seen.note}/{len(seen.samples)}"  # pictures are large: each is sent once
        pending = (asked or 0) + 1 if seen.pending or detail.pending else None
        return panel.classes(detail), no_update if now == shown else panel.pictures(seen), now, pending


def empty() -> dict[str, Any]:
    """A figure of nothing."""
    return {"data": [], "layout": {}}


def _curve(drawing: go.Figure, key: str, *, dark: bool) -> dict[str, Any]:
    drawing.update_layout(title=None, margin={"t": 12, "l": 48, "r": 8})
    return plain(drawing, key=key, dark=dark)
