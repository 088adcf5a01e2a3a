"""One process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from trainables.errors import StudyError


@contextmanager
def exclusive(path: Path, *, taken: str) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process dies.

    Raises:
        StudyError: another process holds it; with the sentence `taken`.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise StudyError(taken) from None
    try:
        yield
    finally:
        lock.release()
