"""Where the table of a running sweep is shown: on a terminal, or in a notebook's cell. Elsewhere there is none."""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table


class Shown(NamedTuple):
    """A table of texts with its heads, the line below it, and the share that is done, in [0, 1]."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    share: float


class Board(Protocol):
    """Shows one table, again and again in the same place."""

    def start(self) -> None: ...

    def show(self, shown: Shown) -> None: ...

    def stop(self) -> None: ...


def board(console: Console) -> Board | None:
    """The board of this console; None where lines must do."""
    if console.is_terminal:
        return Terminal(console)
    return Notebook() if in_notebook() and console.file is sys.stdout else None


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this process."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


class Terminal:
    """A live table of rich's."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def start(self) -> None:
        self._live.start()

    def show(self, shown: Shown) -> None:
        table = Table(caption=shown.caption)
        for head in shown.heads:
            table.add_column(head, justify="left" if not head else "right")
        for row in shown.rows:
            table.add_row(*row)
        self._live.update(table, refresh=True)

    def stop(self) -> None:
        self._live.stop()


class Notebook:
    """One HTML output that is replaced; rich's own would need ipywidgets."""

    def start(self) -> None:
        from IPython.display import display

        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, shown: Shown) -> None:
        self._handle.update({"text/html": as_html(shown), "text/plain": as_text(shown)}, raw=True)

    def stop(self) -> None:
        """Nothing: the table stays as it is."""


def as_html(shown: Shown) -> str:
    """A bar, the table and the line below it; every text escaped."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    body = "".join(line("td", row) for row in shown.rows)
    bar = f'<progress max="1" value="{shown.share:.3f}"></progress>'
    return f"<div>{bar} {html.escape(shown.caption)}</div><table>{line('th', shown.heads)}{body}</table>"


def as_text(shown: Shown) -> str:
    """The table as lines, for what shows no HTML."""
    widths = [max(map(len, column)) for column in zip(shown.heads, *shown.rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in
             (shown.heads, *shown.rows)]  # fmt: skip
    return "\n".join([*lines, shown.caption])
