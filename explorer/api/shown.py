"""What a notebook shows of a Study or a Bundle. Texts of a study may be hostile, so every one is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path

from explorer.api.driving import Open

_CELL = 'style="text-align: left; vertical-align: top"'


def table(values: Mapping[str, str]) -> str:
    """Plain texts by label, as an HTML table."""
    rows = (
        f"<tr><th {_CELL}>{html.escape(label)}</th><td {_CELL}>{html.escape(str(text))}</td></tr>"
        for label, text in values.items()
    )
    return f"<table>{''.join(rows)}</table>"


def paragraph(text: str) -> str:
    """Plain text as HTML."""
    return f"<p>{html.escape(text)}</p>"


def left(found: Open) -> str:
    """What is open, in words."""
    if not any(found):
        return "nothing is open"
    what = f"{found.trials} trials" if found.trials else f"{found.runs} runs of the confirmation"
    return f"{what} are open, resume() goes on"


def near(directory: Path) -> str:
    """A folder as seen from the current one, where it lies below it."""
    here = Path.cwd()
    return str(directory.relative_to(here)) if directory.is_relative_to(here) else str(directory)
