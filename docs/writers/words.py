"""How numbers, lists and tables are written."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

NONE = "–"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """A Markdown table; columns of numbers stand `right`."""
    lines = ["---:" if column in set(right) else "---" for column in range(len(head))]
    cells = [[_cell(text) for text in row] for row in (head, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], lines, *cells[1:]))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def escaped(text: str) -> str:
    """Text with `<` as itself outside of code, which Markdown would take for HTML."""
    parts = text.split("`")
    return "`".join(part if odd % 2 else part.replace("<", "&lt;") for odd, part in enumerate(parts))


def count(number: float) -> str:
    """A whole number: 1,071."""
    return f"{round(number):,}"


def percent(share: float, digits: int = 0) -> str:
    """A share in [0, 1], in percent without the sign: 20.6."""
    return f"{100 * share:.{digits}f}"


def short(number: float) -> str:
    """Two digits that count: 0.98, 1.2, 33."""
    return f"{number:.2g}" if number < 100 else count(number)


def threads(number: int) -> str:
    """1 thread, 2 threads."""
    return f"{number} thread{'s' * (number > 1)}"


def spread(values: Sequence[float], *, sign: bool = False) -> str:
    """Mean and sample standard deviation of shares, in points: 39.80 ± 1.49."""
    points = [100 * value for value in values]
    return f"{statistics.mean(points):{'+' if sign else ''}.2f} ± {statistics.stdev(points):.2f}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """a, b and c."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def between(values: Iterable[float], form: str = "") -> str:
    """The least and the most of some numbers: 0.7 to 1.2; one number where they read the same."""
    low, high = (format(value, form) for value in _ends(values))
    return low if low == high else f"{low} to {high}"


def _ends(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)
