"""Decoded samples as files that all processes map: decoded once for every trial and sweep on this machine."""

from __future__ import annotations

import errno
import mmap
import shutil
import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.data.cache import Key, Pair
from trainables.errors import Interrupted
from trainables.kept import atomic

RESERVE_BYTES = 2**30  # of the disk, left to checkpoints
_HEADER = struct.Struct("<8sII")  # the mark, height, width; .npy's takes 0.3 ms to parse
_MARK = b"decoded2"  # of 1, images were not yet upright


class DecodedFiles:
    """One file a sample, its planes, written whole at the first decoding: 4 bytes a pixel of RGB, 27 GiB of Cityscapes.

    What is read is mapped, so that a crop touches the pages behind it and processes share them. Two that decode the
    same sample at once write the same bytes. A file that is torn or none of ours is written anew. Once the disk is full
    or cannot be written, the rest is decoded at each reading, with one warning a process: an interrupted trial would
    come back to the same disk, and decoding costs time alone.
    """

    def __init__(
        self, folder: Path, names: Mapping[Any, str], *, channels: int = 3, dtype: torch.dtype = torch.uint8
    ) -> None:
        """
        Args:
            folder: of this content of the set alone.
            names: file name of each sample; another sample is not kept.
            channels, dtype: of its images.
        """
        self._folder = folder
        self._names = names
        self._channels, self._dtype = channels, dtype
        self._writes = True

    def get(self, key: Key, decode: Callable[[Key], Pair]) -> Pair:
        """What was kept for `key`, else `decode(key)`. Writing into the tensors changes no file."""
        if key not in self._names:
            return decode(key)
        path = self._folder / self._names[key]
        if found := self._mapped(path):
            return found
        pair = decode(key)
        if self._writes:
            self._write(path, pair)
        return pair

    def _mapped(self, path: Path) -> Pair | None:
        """None where there is no such file, or it holds no sample."""
        try:
            with path.open("rb", buffering=0) as file:
                pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            mark, height, width = _HEADER.unpack_from(pages)
        except (OSError, ValueError, struct.error):
            return None
        image = self._channels * self._dtype.itemsize * height * width
        if mark != _MARK or len(pages) != _HEADER.size + image + height * width:
            return None
        numbers = torch.frombuffer(pages, dtype=self._dtype, offset=_HEADER.size, count=image // self._dtype.itemsize)
        ids = torch.frombuffer(pages, dtype=torch.uint8, offset=_HEADER.size + image)
        return numbers.view(self._channels, height, width), ids.view(height, width)

    def _write(self, path: Path, pair: Pair) -> None:
        try:
            _leave_room(self._folder)
            atomic.write(path, lambda part: _save(part, *pair))
        except Interrupted as error:
            self._writes = False
            warnings.warn(f"Decoded images are not kept, which costs time alone. {error}", RuntimeWarning, stacklevel=2)


def _save(part: Path, image: Tensor, ids: Tensor) -> None:
    with part.open("wb") as file:
        file.write(_HEADER.pack(_MARK, *ids.shape))
        for tensor in (image, ids):
            file.write(tensor.contiguous().numpy().data)


def _leave_room(folder: Path) -> None:
    """Raises:
    Interrupted: the disk is all but full, or cannot be used.
    """
    with atomic.interrupting(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < RESERVE_BYTES:
            raise OSError(errno.ENOSPC, "what is left is for checkpoints")
