"""File names, the same whatever the locale: by the bytes that the disk holds."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def in_order(name: str | Path) -> bytes:
    """What names are sorted by; in a UTF-8 locale that is the order of their characters."""
    return os.fsencode(name)


def text_of(name: str) -> str:
    """A name as UTF-8, however this process has decoded it; bytes that are none stay lone surrogates."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def folded(name: str) -> str:
    """Equal for names that differ in case or in Unicode form alone: some disks do not tell them apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text_of(name)).casefold())
