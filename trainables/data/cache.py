"""Decoded samples kept in memory, so that small sets are decoded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor
from torch.utils.data import get_worker_info

LIMIT_BYTES = 512 * 2**20  # of decoded pixels and labels, for each opened set

Key = TypeVar("Key")
Pair = tuple[Tensor, Tensor]


class SampleCache:
    """Keeps what it is given first, until `limit_bytes` is full, and evicts nothing.

    Every epoch reads every image once, in a new order: there the least recently used image is as likely to come next
    as any other, and eviction would only add work. Loader processes each hold their own cache and share the limit.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._kept: dict[Any, Pair] = {}

    def get(self, key: Key, decode: Callable[[Key], Pair]) -> Pair:
        """What was kept for `key`, else `decode(key)`."""
        if key in self._kept:
            return self._kept[key]
        pair = decode(key)
        num_bytes = sum(tensor.nbytes for tensor in pair)
        worker = get_worker_info()
        if self._used_bytes + num_bytes <= self._limit_bytes // (worker.num_workers if worker else 1):
            self._kept[key] = pair
            self._used_bytes += num_bytes
        return pair

    def __reduce__(self) -> tuple[type[SampleCache], tuple[int]]:
        """A data set sent to another process travels without its pixels."""
        return type(self), (self._limit_bytes,)
