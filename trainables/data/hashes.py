"""Content hashes of files, kept on disk for large sets: 11 GB are read once, not by every worker."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from trainables.config import digest
from trainables.errors import DataError, Interrupted
from trainables.kept import atomic
from trainables.kept.cache import default_cache

LEAST_BYTES = 64 * 2**20  # smaller sets are hashed faster than they are looked up
_SETTLED_NS = 2 * 10**9  # a file as young as this may change again within one tick of its clock
_THREADS = 8

Kept = dict[str, tuple[list[int], str]]  # path -> its stamp, its hash


def file_hashes(paths: Sequence[Path], *, root: Path) -> list[str]:
    """SHA-256 of each file, hexadecimal.

    A kept hash counts while the file's size, time of writing and time of change (which a rename or a restored time of
    writing moves too) are what they were; one that is younger than 2 s when it is hashed is not kept.

    Args:
        paths: the files.
        root: of the set; each has a file of its own in the cache.

    Raises:
        DataError: a file cannot be read.
    """
    settled = time.time_ns() - _SETTLED_NS  # before anything is read, which may take minutes
    stamps = [_stamp(path) for path in paths]
    kept_at = default_cache() / "digests" / f"{digest(str(root.resolve()))}.json"
    large = sum(size for size, *_ in stamps) >= LEAST_BYTES
    kept = _load(kept_at) if large else {}
    names = [str(path.resolve()) for path in paths]
    asked = [_known(kept, name, stamp) for name, stamp in zip(names, stamps, strict=True)]
    with ThreadPoolExecutor(_THREADS) as pool:
        new = pool.map(_hash, [path for path, found in zip(paths, asked, strict=True) if found is None])
        hashes = [found if found is not None else next(new) for found in asked]
    if large and None in asked:
        entries = zip(names, stamps, hashes, strict=True)
        _store(kept_at, {name: (stamp, value) for name, stamp, value in entries if max(stamp[1:]) < settled})
    return hashes


def _stamp(path: Path) -> list[int]:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _known(kept: Kept, name: str, stamp: list[int]) -> str | None:
    then, value = kept.get(name, (None, None))
    return value if then == stamp else None


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


def _load(path: Path) -> Kept:
    try:
        return {
            name: (list(stamp), str(value))
            for name, (stamp, value) in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # nothing kept, or a file that is not ours


def _store(path: Path, kept: Kept) -> None:
    with suppress(Interrupted):  # a cache that cannot be written costs time, not a trial
        atomic.write_text(path, json.dumps(kept))
