"""A memory of the teacher's features: one ring of vectors for each class."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class ClassMemory(nn.Module):
    """The last `size` vectors of each class. A buffer: it is checkpointed, so that a resumed trial remembers the same.

    Nothing here waits for the device: absent vectors are written to a row that is thrown away.

    Attributes:
        entries: vectors by class and place, classes x size x channels, fp32.
        written: vectors ever put, by class.
    """

    entries: Tensor
    written: Tensor

    def __init__(self, *, num_classes: int, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("entries", torch.zeros(num_classes, size, channels))
        self.register_buffer("written", torch.zeros(num_classes, dtype=torch.int64))

    @torch.no_grad()
    def put(self, vectors: Float[Tensor, "k n c"], present: Bool[Tensor, "k n"]) -> None:
        """Write each class's present vectors, in order, over its oldest; of more than `size`, the last."""
        classes, size, channels = self.entries.shape
        rank = present.cumsum(dim=1) - 1
        kept = present & (rank >= present.sum(dim=1, keepdim=True) - size)
        place = (self.written[:, None] + rank) % size
        row = torch.arange(classes, device=place.device)[:, None] * size + place
        row = torch.where(kept, row, classes * size).flatten()
        spare = torch.cat([self.entries.flatten(0, 1), self.entries.new_zeros(1, channels)])
        spare[row] = vectors.flatten(0, 1).float()
        self.entries = spare[:-1].view(classes, size, channels)
        self.written = self.written + present.sum(dim=1)

    def filled(self) -> Bool[Tensor, " entries"]:
        """Which of the entries, class by class, hold a vector."""
        size = self.entries.shape[1]
        return (torch.arange(size, device=self.written.device) < self.written[:, None]).flatten()
