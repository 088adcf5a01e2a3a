"""Maps by number on disk: two files of fixed size, filled in any order by any number of processes.

    NAME.f16    the maps in fp16, one entry after the other; sparse, and mapped into memory by all who read them
    NAME.crc    8 bytes an entry: 0 while it is missing, else 1 << 32 | CRC-32 of its bytes, written after them

So an entry that a killed process left torn, or that has rotted since, counts as missing.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16
from torch import Tensor

from trainables.errors import ModelError
from trainables.kept import atomic

Shape = tuple[int, int, int]
"""Channels, height and width of an entry."""
_MARK_BYTES = 8


class Entries:
    """Maps of one shape by number, in fp16, in a file that is as large from the first as when it is full."""

    def __init__(self, stem: Path, shape: Shape, num_entries: int) -> None:
        """Open the two files beside each other, or make them.

        Raises:
            Interrupted: they cannot be made.
        """
        self._data, self._index = stem.with_suffix(".f16"), stem.with_suffix(".crc")
        self._shape = shape
        _reserve(self._data, num_entries * 2 * math.prod(shape))
        _reserve(self._index, num_entries * _MARK_BYTES)
        self._maps = np.memmap(self._data, np.float16, "r", shape=(num_entries, *shape))
        self._marks = np.memmap(self._index, np.uint64, "r", shape=(num_entries,))
        self._sound = np.zeros(num_entries, bool)  # those whose checksum was right when first looked at

    def has(self, entry: int) -> bool:
        """Whether it is there and whole."""
        if not self._sound[entry] and (mark := int(self._marks[entry])):
            self._sound[entry] = mark == _mark(self._maps[entry].data)
        return bool(self._sound[entry])

    def read(self, entries: Sequence[int], device: torch.device) -> Float16[Tensor, "batch channels h w"]:
        """A copy on the host, pinned for a CUDA device. No waiting but for the disk."""
        found = torch.empty((len(entries), *self._shape), dtype=torch.float16, pin_memory=device.type == "cuda")
        maps = found.numpy()
        for place, entry in enumerate(entries):
            maps[place] = self._maps[entry]
        return found

    def add(self, first: int, maps: Float16[np.ndarray, "views channels h w"]) -> None:
        """Write those of entries `first`, `first` + 1, ... that are missing. With `pwrite`: what is written through a
        mapping ends the process, not the call, where the disk is full.

        Raises:
            ModelError: maps of another shape than the network's stride leads to.
            Interrupted: the disk is full.
        """
        if maps.shape[1:] != self._shape:
            raise ModelError(f"{self._data.stem} must be {self._shape} a crop by its stride, got {maps.shape[1:]}.")
        with atomic.interrupting(self._data.parent):
            for entry, values in enumerate((each.tobytes() for each in maps), start=first):
                if not self.has(entry):
                    _write_at(self._data, entry * len(values), values)
                    _write_at(self._index, entry * _MARK_BYTES, np.uint64(_mark(values)).tobytes())


def entry_bytes(shape: Shape) -> int:
    """Of an entry and its mark."""
    return 2 * math.prod(shape) + _MARK_BYTES


def num_written(stem: Path) -> int:
    """Entries that are marked as there."""
    index = stem.with_suffix(".crc")
    return int(np.count_nonzero(np.fromfile(index, np.uint64))) if index.exists() else 0


def _mark(values: memoryview | bytes) -> int:
    return 1 << 32 | zlib.crc32(values)


def _reserve(path: Path, num_bytes: int) -> None:
    """Make a file of zeros that takes no room yet; one that is there is left as it is, and need not be writable."""
    with atomic.interrupting(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.stat().st_size < num_bytes:
            with path.open("ab") as file:
                file.truncate(num_bytes)


def _write_at(path: Path, offset: int, values: bytes) -> None:
    rest = memoryview(values)
    with path.open("r+b", buffering=0) as file:
        while rest:
            done = os.pwrite(file.fileno(), rest, offset)
            rest, offset = rest[done:], offset + done
