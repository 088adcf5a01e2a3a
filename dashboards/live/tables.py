"""Tables of trials and of studies; a row is opened by a click, or by Enter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboards import marks, studies
from dashboards.frames import StudyFrames
from dashboards.live.dom import Tree, tag
from dashboards.live.filters import STATES

PAGE = 50  # rows


@dataclass(frozen=True)
class Column:
    """A column: what heads it, how its values are written (no form: as texts), and in which unit."""

    title: str
    form: str = ""
    factor: int = 1

    def text(self, value: Any) -> str:
        """One cell."""
        if value is None or value != value:
            return "–"
        return format(self.factor * value, self.form) if self.form else str(value)

    @property
    def kind(self) -> str | None:
        """The class of its cells."""
        return "number" if self.form else None


COLUMNS: dict[str, Column] = {
    "number": Column("trial", "d"),
    "role": Column("role"),
    "state": Column("state"),
    "pair": Column("pair"),
    "method": Column("method"),
    "seed": Column("seed", "d"),
    "step": Column("step", "d"),
    "miou": Column("mIoU (%)", ".2f", 100),
    "gain": Column("gain (points)", "+.2f", 100),
    "miou_low": Column("on other images from (%)", ".2f", 100),
    "miou_high": Column("to (%)", ".2f", 100),
    "seconds": Column("seconds", ".0f"),
}
_TRUE: dict[str, Column] = {
    "believed": Column("over seeds (%)", ".2f", 100),
    "believed_low": Column("from", ".2f", 100),
    "believed_high": Column("to", ".2f", 100),
    "luck": Column("luck (points)", "+.2f", 100),
}
_BEST = ("number", "pair", "method", "seed", "step", "miou", *_TRUE, "gain", "miou_low", "miou_high", "seconds")
_FAILED = ("number", "role", "pair", "reason")
_STUDIES: dict[str, Column] = {
    "study": Column("study"),
    "data": Column("data"),
    "trials": Column("trials", "d"),
    "complete": Column("complete", "d"),
    "pruned": Column("pruned", "d"),
    "fail": Column("failed", "d"),
    "miou": Column("best mIoU (%)", ".2f"),
    "gain": Column("best gain (points)", "+.2f"),
    "hours": Column("hours of training", ".1f"),
}


@dataclass(frozen=True)
class Order:
    """How the trials are sorted."""

    by: str = "number"
    down: bool = True

    @classmethod
    def parse(cls, text: str | None) -> Order:
        """From "miou:down"; what is not a column is the default."""
        by, _, way = (text or "").partition(":")
        return cls(by, way == "down") if by in COLUMNS else cls()

    def flipped(self, name: str) -> str:
        """What a click on this column's head asks for: numbers fall first, texts rise."""
        down = not self.down if name == self.by else bool(COLUMNS[name].form)
        return f"{name}:{'down' if down else 'up'}"


def trials(frames: StudyFrames, *, order: Order, page: int) -> list[Tree]:
    """A page of all trials and the way to the others.

    Args:
        page: from 0; beyond the last: the last.
    """
    rows = frames.trials.sort_values(["role", "number"], ascending=[False, True])
    rows = rows.sort_values(order.by, ascending=not order.down, kind="stable", na_position="last")
    last = max(0, (len(rows) - 1) // PAGE)
    page = min(max(page, 0), last)
    shown = rows.iloc[page * PAGE : (page + 1) * PAGE]
    count = f"{len(rows)} trials" if last == 0 else f"{page * PAGE + 1} to {page * PAGE + len(shown)} of {len(rows)}"
    ways = (_turn("‹ before", page - 1, page > 0), _turn("next ›", page + 1, page < last))
    return [
        tag("div", tag("span", count, role="status"), ways, class_="pages"),
        _table("All trials", [_sorting(name, order) for name in COLUMNS], _rows(shown, COLUMNS)),
    ]


def best(frames: StudyFrames, *, most: int = 10) -> list[Tree]:
    """The complete search trials that are believed best; with what they are believed to have over seeds."""
    rows = frames.best().head(most)
    if rows.empty:
        return [tag("h2", "Best trials"), tag("p", "No search trial is complete yet.", class_="caption")]
    columns = {**COLUMNS, **(_TRUE if rows["believed"].notna().any() else {})}
    shown = {name: columns[name] for name in _BEST if name in columns}
    return [tag("h2", "Best trials"), _plain("Best trials", rows.assign(luck=rows["miou"] - rows["believed"]), shown)]


def failed(frames: StudyFrames, *, most: int = 10) -> list[Tree]:
    """The last failed trials with their reasons; nothing if there are none."""
    rows = frames.trials[frames.trials["state"] == "FAIL"].sort_values("number", ascending=False).head(most)
    if rows.empty:
        return []
    columns = {**COLUMNS, "reason": Column("reason")}
    return [tag("h2", "Failed trials"), _plain("Failed trials", rows, {name: columns[name] for name in _FAILED})]


def several(all_frames: Mapping[str, StudyFrames], *, current: str) -> list[Tree]:
    """One row a study; it becomes the one shown."""
    body = [
        tag(
            "tr",
            [tag("td", column.text(row[name]), class_=column.kind) for name, column in _STUDIES.items()],
            tabindex=0,
            class_="open" if row["study"] == current else None,
            data_set="study",
            data_prop="value",
            data_value=row["study"],
            aria_label=f"Show study {row['study']}",
        )
        for row in marks.records(studies.prepare(all_frames).rows)
    ]
    return [_table("Studies", _head(_STUDIES.values()), body)]


def _plain(title: str, rows: pd.DataFrame, columns: Mapping[str, Column]) -> Tree:
    return _table(title, _head(columns.values()), _rows(rows, columns))


def _table(title: str, head: Sequence[Tree], body: Sequence[Tree]) -> Tree:
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), aria_label=title)
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=f"{title}, scrolls sideways")


def _head(columns: Any) -> list[Tree]:
    return [tag("th", column.title, scope="col", class_=column.kind) for column in columns]


def _sorting(name: str, order: Order) -> Tree:
    way = ("descending" if order.down else "ascending") if name == order.by else "none"
    arrow = {"descending": " ▾", "ascending": " ▴"}.get(way, "")
    button = tag("button", COLUMNS[name].title + arrow, data_set="order", data_value=order.flipped(name))
    return tag("th", button, scope="col", class_=COLUMNS[name].kind, aria_sort=way)


def _rows(rows: pd.DataFrame, columns: Mapping[str, Column]) -> list[Tree]:
    each = marks.records(rows[list(dict.fromkeys([*columns, "role", "number", "student"]))])
    return [
        tag(
            "tr",
            [_cell(row, name, column) for name, column in columns.items()],
            tabindex=0,
            data_set="chosen",
            data_value=f"{row['role']}-{row['number']}",
            aria_label=f"Open {row['role']} trial {row['number']}",
        )
        for row in each
    ]


def _cell(row: dict[str, Any], name: str, column: Column) -> Tree:
    value = row[name]
    if name == "state":
        return tag("td", state(value))
    if name == "pair" and pd.isna(value):
        return tag("td", f"{row['student']} alone", class_="soft")
    return tag("td", column.text(value), class_=column.kind)


def state(value: str) -> Tree:
    """A trial's state, in words behind its mark."""
    return tag("span", STATES.get(value, value), class_=f"state {value.lower()}" if value in STATES else "state")


def _turn(words: str, page: int, possible: bool) -> Tree:
    return tag("button", words, disabled=not possible, data_set="page", data_value=page)
