"""The pages, and what of them is older than the code and the measurements."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from writers import markers
from writers.markers import PageError
from writers.table import BLOCKS, Block

WIDTH = 120


def every(root: Path) -> list[Path]:
    """README.md and all pages of docs/."""
    return [path for path in (root / "README.md", *sorted((root / "docs").rglob("*.md"))) if path.exists()]


def filled(page: Path, root: Path) -> str:
    """A page with all of its parts rendered.

    Raises:
        PageError: a marker that cannot be followed, or a source that is not there.
    """

    def render(source: str, name: str) -> str:
        block = BLOCKS.get(name)
        if block is None:
            raise PageError(f"nothing is called {name!r}. Take a name of docs/writers/table.py.")
        if source != block.label:
            raise PageError(f"{name} is not from {source}. Write `<!-- from {block.label}: {name} -->`.")
        return _wrapped(block.render(*_loaded(block, root)))

    return markers.fill(page.read_text(encoding="utf-8"), render, where=str(page.relative_to(root)))


def older(root: Path) -> dict[Path, str]:
    """Pages that differ from what they show now, and their text as it should be."""
    now = {page: filled(page, root) for page in every(root)}
    return {page: text for page, text in now.items() if text != page.read_text(encoding="utf-8")}


def unused(root: Path) -> Iterator[str]:
    """A sentence for each measurement that no page shows, and for each block that stands nowhere."""
    placed = {name for page in every(root) for name in markers.names(page.read_text(encoding="utf-8"))}
    shown = {source for name in placed & BLOCKS.keys() for source in BLOCKS[name].sources}
    for path in sorted((root / "benchmarks").glob("*.json")):
        if path.name not in shown:
            yield f"benchmarks/{path.name} is on no page."
    for name in sorted(BLOCKS.keys() - placed):
        yield f"`<!-- from {BLOCKS[name].label}: {name} -->` is on no page."


def _wrapped(text: str) -> str:
    """A paragraph in lines of a page's width; tables and sections as they are."""
    return text if "\n" in text else textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _loaded(block: Block, root: Path) -> Iterator[Any]:
    for name in block.sources:
        path = root / "benchmarks" / name
        if not path.exists():
            raise PageError(f"benchmarks/{name} is not there. Run python benchmarks/{path.stem}.py first.")
        yield json.loads(path.read_text(encoding="utf-8"))
