"""Markers in a page: HTML comments that no reader sees, around what is generated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

BEGIN = re.compile(r"<!-- from (?P<source>[^\s:]+): (?P<name>\w+) -->")
END = "<!-- end -->"
_MEANT = re.compile(r"<!--\s*(from|end)\b")
_FENCE = re.compile(r"\s*(```|~~~)")


class PageError(ValueError):
    """A page whose markers cannot be followed: page, line, rule."""


def fill(text: str, render: Callable[[str, str], str], *, where: str) -> str:
    """The page with what stands between its markers rendered anew; markers within fenced code are text.

    Args:
        render: from a marker's source and name to Markdown.

    Raises:
        PageError: a marker that is not alone in its line, not closed, not opened or not known.
    """
    filled: list[str] = []
    inside: re.Match[str] | None = None
    for number, line, code in _lines(text):
        begin, place = BEGIN.fullmatch(line.strip()), f"{where}:{number}"
        if not code and _MEANT.search(line) and begin is None and line.strip() != END:
            raise PageError(f"{place}: {line.strip()!r} is no marker. Give `{_form()}` or `{END}` a line of its own.")
        if begin is not None and not code:
            if inside is not None:
                raise PageError(f"{place}: {begin['name']} begins within {inside['name']}. Write `{END}` before it.")
            inside = begin
            try:
                filled += [line, "", render(begin["source"], begin["name"]).strip(), ""]
            except PageError as error:
                raise PageError(f"{place}: {error}") from None
        elif line.strip() == END and not code:
            if inside is None:
                raise PageError(f"{place}: `{END}` closes nothing. Write `{_form()}` before it, or remove it.")
            inside = None
            filled.append(line)
        elif inside is None:
            filled.append(line)
    if inside is not None:
        raise PageError(f"{where}: {inside['name']} is not closed. Write `{END}` after it.")
    return "\n".join(filled)


def names(text: str) -> list[str]:
    """The names of a page's markers."""
    found = (BEGIN.fullmatch(line.strip()) for _, line, code in _lines(text) if not code)
    return [match["name"] for match in found if match is not None]


def _lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """Each line with its number, and whether it is within fenced code."""
    code = False
    for number, line in enumerate(text.split("\n"), 1):
        fence = _FENCE.match(line) is not None
        yield number, line, code or fence
        code ^= fence


def _form() -> str:
    return "<!-- from SOURCE: NAME -->"
