"""The folder that keeps between runs what is dear to make again: trained teachers, content hashes."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """`$HETEROAKD_CACHE`, or `heteroakd` in the user's cache folder."""
    own = os.environ.get("HETEROAKD_CACHE")
    path = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "heteroakd"
    return path.expanduser().resolve()  # workers run in folders of their own
