"""Figures for the browser: drawn once for all who look at the same, and remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from hashlib import blake2s
from importlib import import_module
from threading import Lock
from typing import Any

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from dashboards import report, studies, theme
from dashboards.live.filters import Filters, apply
from dashboards.live.source import Snapshot, Source

_KEPT = 64  # figures and filtered studies that are remembered
_WHOLE = {
    "importance": "This figure is of the whole study: filters do not change it.",
    "interactions": "This figure is of the whole study: filters do not change it.",
    "further": "This figure is of the whole study: filters do not change it.",
    "ranks": "The correlation is of the whole study: filters change the bars alone.",
}
"""Figures that no filter reaches, or only in part."""

_STATISTICS = ("surface", "pairs", "importance", "interactions", "local", "ranks", "gains")
"""Figures that show what is computed in the background."""

Drawn = dict[str, Any]
"""figure (plotly's JSON, untitled, as text: Dash would walk through its parts), title (HTML), caption, note (plain
texts), width (pixels at least)."""


class Drawer:
    """Draws the figures of a source's studies. Safe for threads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: OrderedDict[Any, Future[Any]] = OrderedDict()
        self._lock = Lock()

    def kept(self, name: str, filters: Filters) -> Snapshot:
        """The study's snapshot, its frames without the trials that the filters leave out."""
        found = self._source.snapshot(name)
        if not filters.any:
            return found
        frames = self._once((name, found.version, filters), lambda: apply(found.frames, filters))
        return Snapshot(frames, found.version, found.num_finished, found.as_of, found.note)

    def figure(self, name: str, view: str, filters: Filters, *, dark: bool) -> Drawn:
        """One of FIGURES, as the report draws it of the trials kept."""
        found = self.kept(name, filters)
        caption = import_module(f"dashboards.{view}").CAPTION
        return self._once(
            (name, found.version, filters, view, dark),
            lambda: _drawn(
                _figure(view, found),
                caption=caption,
                note=_note(view, found, filters),
                key=f"{name}/{view}",
                dark=dark,
            ),
        )

    def overlay(self, *, dark: bool) -> Drawn:
        """All studies on one axis."""
        found = {name: self._source.snapshot(name) for name in self._source.names()}
        data = studies.prepare({name: each.frames for name, each in found.items()})
        return _drawn(studies.figure(data), caption=studies.CAPTION, note="", key="studies", dark=dark)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What is asked for twice at a time is made once: a filter is a question for the figure, and for its tables."""
        with self._lock:
            known = self._known.get(key)
            found = self._known[key] = known or Future()
            self._known.move_to_end(key)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        if known is None:
            try:
                found.set_result(make())
            except BaseException as error:
                found.set_exception(error)
                with self._lock:
                    self._known.pop(key, None)
        return found.result()


def plain(drawing: go.Figure, *, key: str, dark: bool) -> dict[str, Any]:
    """A figure as plotly's JSON that keeps zoom, hidden traces and brushes when it is drawn anew under the same key."""
    drawing.update_layout(uirevision=key)
    held: dict[str, Any] = drawing.to_dict()
    held["layout"].setdefault("meta", {})
    seen: dict[str, int] = {}
    for trace in held["data"]:
        called = f"{trace['type']} {trace.get('name', '')} {trace.get('meta', '')} {trace.get('mode', '')}"
        seen[called] = seen.get(called, 0) + 1
        trace["uid"] = _uid(f"{called} {seen[called]}")
    return theme.at_night(held) if dark else held


def _uid(called: str) -> str:
    """plotly writes a trace's uid into selectors and ids as it is."""
    return f"t{blake2s(called.encode(errors='replace'), digest_size=8).hexdigest()}"


def _figure(view: str, found: Snapshot) -> go.Figure:
    """As the report draws it; what waits for its statistics does not look as if there were none."""
    drawing = report.draw(view, found.frames)
    waits = view in _STATISTICS and found.as_of is None and not drawing.data
    return theme.empty(drawing.layout.title.text, "The statistics are being computed.") if waits else drawing


def _drawn(drawing: go.Figure, *, caption: str, note: str, key: str, dark: bool) -> Drawn:
    title, width = drawing.layout.title.text, drawing.layout.meta["min_width"]
    drawing.update_layout(title=None, margin={"t": max(16, (drawing.layout.margin.t or 0) - 44)})
    figure = to_json_plotly(plain(drawing, key=key, dark=dark))
    return {"figure": figure, "title": title, "caption": caption, "note": note, "width": width, "key": key}


def _note(view: str, found: Snapshot, filters: Filters) -> str:
    """What a reader of a statistic must know: of how many trials it is, and that filters do not reach it."""
    finer = any((filters.method, filters.state, filters.seed, filters.role))
    if view == "confirmed" and finer:
        return "Of the filters, only the one by pair changes this figure."
    if view not in _STATISTICS:
        return _WHOLE.get(view, "") if filters.any else ""
    if found.as_of is None:
        return "The statistics are being computed."
    behind = "" if found.as_of == found.num_finished else f"Statistics as of {found.as_of} finished search trials. "
    if view in _WHOLE and filters.any:
        behind += _WHOLE[view]
    elif finer:
        behind += "Statistics are of all trials of a pair: filters by method, state, seed and role do not change them."
    return behind.strip()
