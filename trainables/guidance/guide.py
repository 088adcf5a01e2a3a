"""The frozen teacher at work."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.compiled import compile_network
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.feed import Batch
from trainables.device import autocast
from trainables.guidance.cache import Hits, TeacherCache
from trainables.models.fold import fold
from trainables.models.segmodel import Features, SegModel


class Guide:
    """What the teacher says of a batch: said once, however many students learn from it.

    Without gradients, but not in inference mode, whose tensors the projector on the teacher could not keep for its
    backward.
    """

    def __init__(
        self,
        teacher: SegModel,
        config: TrialConfig,
        *,
        dataset: SegDataset | None = None,
        cache: Path | None = None,
    ) -> None:
        """Under `teacher_cache`, opens its folder.

        Args:
            teacher: frozen.
            dataset: whose crops it will be asked about; none: made-up ones, so there is nothing to keep.
            cache: the folder in which caches are; none: the user's.

        Raises:
            Interrupted: the disk has no room for the cache.
        """
        self._teacher = teacher
        self._ready: SegModel | None = None
        self._config = config
        self._cache: TeacherCache | None = None
        if config.teacher_cache and dataset is not None:
            self._cache = TeacherCache(config, teacher=teacher, dataset=dataset, ask=self._ask, cache=cache)

    def __call__(self, batch: Batch) -> Features:
        """Its features. From a cache they are the same to within fp16, and the teacher runs only for what is missing.

        Raises:
            DataError, Interrupted: see `TeacherCache`.
        """
        if self._cache is None:
            return self._ask(batch.pixels)
        assert batch.entries is not None
        return self._cache(batch.entries)

    @property
    def hits(self) -> Hits:
        """Crops since the start whose answer was in the cache; none was asked for without a cache."""
        return Hits() if self._cache is None else self._cache.hits

    def _ask(self, pixels: Float[Tensor, "batch channels H W"]) -> Features:
        if self._ready is None:  # not before: a full cache never asks
            ready = fold(self._teacher) if self._config.fold_teacher else self._teacher
            self._ready = copy.copy(ready)  # shares the weights; to be compiled in place, which the caller's is not
            compile_network(self._ready, self._config)
        with torch.no_grad(), autocast(self._config, pixels.device):
            features: Features = self._ready(pixels)
        return features
