"""Where tables and progress are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 1000  # columns: more than any table of ours, each of which takes what it needs


def console() -> Console:
    """A terminal of its own width; a file or a pipe has none, so there nothing is cut off or wrapped."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=_WIDE)
