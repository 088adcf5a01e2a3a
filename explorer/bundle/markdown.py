"""Markdown: tables, numbers in them, and foreign text, which stays text in any reader and never becomes a link, markup
or a line of its own.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_LINKED = re.compile(r"://|www\.|@", re.IGNORECASE)  # what readers make links of by themselves
_LONGEST = 200  # characters


def escape(text: object) -> str:
    """One line of plain text, to stand anywhere but at the start of a line."""
    kept = (char if unicodedata.category(char)[0] not in "CZ" or char == " " else " " for char in str(text))
    line = " ".join("".join(kept).split())
    shown = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    marked = _SPECIAL.sub(r"\\\1", html.escape(shown, quote=False))
    return _LINKED.sub(lambda found: "".join(f"&#{ord(char)};" for char in found[0]), marked)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, align: Literal["left", "right"] = "right") -> str:
    """A table of cells that are escaped already; the first column to the left, the others as `align` says."""
    rule = "---:" if align == "right" else "---"
    lines = [head, ["---", *(rule for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(value: float | None) -> str:
    """A share in [0, 1] as a cell has it; a dash where it is not known."""
    return "–" if value is None else f"{100 * value:.2f} %"


def points(value: float | None) -> str:
    """A difference in [-1, 1] as signed percentage points; a dash where it is not known."""
    return "–" if value is None else f"{100 * value:+.2f}"
