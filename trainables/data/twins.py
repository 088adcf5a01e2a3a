"""Files of two groups that hold the same bytes: an image that is learned from and scored."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_PROBE = 4096  # bytes from a file's middle: uncompressed images all have one size


class Twin(NamedTuple):
    """A file, and the first of another group with its bytes."""

    path: Path
    first: Path


def twins(grouped: Iterable[tuple[str, Path]]) -> Iterator[Twin]:
    """Only files that have the size and some bytes of one of another group are read. Missing ones are left out.

    Args:
        grouped: the group of each file, and the file.
    """
    by_size: dict[Hashable, list[tuple[str, Path]]] = defaultdict(list)
    for group, path in grouped:
        if path.is_file():
            by_size[path.stat().st_size].append((group, path))
    for alike in _in_two_groups(by_size.values()):
        by_probe: dict[Hashable, list[tuple[str, Path]]] = defaultdict(list)
        for group, path in alike:
            by_probe[_probe(path)].append((group, path))
        for candidates in _in_two_groups(by_probe.values()):
            yield from _equal(candidates)


def _in_two_groups(several: Iterable[list[tuple[str, Path]]]) -> Iterator[list[tuple[str, Path]]]:
    return (one for one in several if len({group for group, _ in one}) > 1)


def _probe(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        return file.read(_PROBE)


def _equal(candidates: Iterable[tuple[str, Path]]) -> Iterator[Twin]:
    first: dict[str, tuple[str, Path]] = {}
    for group, path in candidates:
        known, twin = first.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), (group, path))
        if known != group:
            yield Twin(path, twin)
