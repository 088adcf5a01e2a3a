"""The check a sweep runs before it starts any worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from trainables.data.dataset import SegDataset

THREADS = 8  # Pillow decodes outside Python's lock


def verify(dataset: SegDataset, splits: Iterable[str] = ("train", "val")) -> None:
    """Decode every mask of the splits and read every image's header. About 0.2 ms a 128x128 sample and core.

    Pixels of images are not decoded: a torn image is reported when a trial first reads it.

    Raises:
        DataError: the first fault, in the order of splits and names.
    """
    samples = [sample for split in splits for sample in dataset.samples(split)]
    with ThreadPoolExecutor(THREADS) as pool:
        deque(pool.map(dataset.check, samples), maxlen=0)
