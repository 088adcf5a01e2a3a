"""The folder that keeps between runs what is dear to make again: trained teachers, content hashes."""

from __future__ import annotations

import os
from pathlib import Path

from trainables.errors import ConfigError
from trainables.kept import atomic

CACHE = "HETEROAKD_CACHE"


def default_cache() -> Path:
    """`$HETEROAKD_CACHE`, or `heteroakd` in the user's cache folder.

    Raises:
        ConfigError: there is no home folder to look in.
    """
    own = os.environ.get(CACHE)
    path = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "heteroakd"
    try:
        return path.expanduser().resolve()  # workers run in folders of their own
    except (RuntimeError, OSError):  # RuntimeError: a user without an entry, as in many containers
        raise ConfigError(
            f"{path} names no folder for this user. Set {CACHE} to a folder that can be written."
        ) from None


def check_cache(cache: Path | None = None) -> None:
    """Before minutes of work: write a small file into the cache and remove it again.

    Raises:
        ConfigError: it cannot be written; with the remedy.
    """
    folder = cache or default_cache()
    part = folder / atomic.part_of("probe")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.touch()
        part.unlink()
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot keep trained teachers ({error.strerror or error}). Make it a folder that can be written, "
            f"or set {CACHE} to one."
        ) from None
