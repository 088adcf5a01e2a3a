"""One wrapper for all teachers that are good already: our pixels in, logits of our classes and named taps out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.bands import Bands
from trainables.models.ready.classes import ClassTable, apply
from trainables.models.ready.foreign import Foreign, Pixels
from trainables.models.segmodel import Features, SegModel
from trainables.recipe import STRIDE


class Wrapped(SegModel):
    """A foreign network as a SegModel.

    The pixels it is given have our normalisation, which is undone; then come its own, its order of channels and its
    size. Maps whose grid is no whole fraction of the image (patches of 14 pixels, fixed sizes) are resampled to one, of
    the nearest stride that divides 32. `stage1`..`stage4` are its features, finest first; `decoder` is what its
    last 1x1 convolution reads.

    Logits are its own, at its own stride, where classes are matched one to one; where several become one, their
    probabilities are summed (`classes.apply`).

    Attributes:
        covered: our class ids that its classes speak for; None: all.
        has_logits: whether it gives any.
    """

    undo: Tensor
    undo_shift: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, network: Foreign, table: ClassTable | None, bands: Bands) -> None:
        nn.Module.__init__(self)
        self.channels = bands.channels
        self.network = network.eval()
        self.table = table
        self.has_logits = table is not None
        if table is not None and len(table.covered) < len(table.ours):
            self.covered = table.covered
        self.pixels = network.pixels or Pixels(bands.mean, bands.std)
        ours, theirs = (bands.std, bands.mean), (self.pixels.mean, self.pixels.std)
        for name, values in zip(("undo", "undo_shift", "mean", "std"), (*ours, *theirs), strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1))
        self.eval()
        self.taps, self.stride = self._probe()

    def forward(self, images: Float[Tensor, "batch channels H W"]) -> Features:
        size = (images.shape[-2], images.shape[-1])
        answer = self.network.ask(self._prepared(images))
        taps = {
            f"stage{number}": _on_stride(one, size)
            for number, one in enumerate(answer.stages, start=1 + 4 - len(answer.stages))
        }
        if answer.decoded is not None:
            taps["decoder"] = _on_stride(answer.decoded, size)
        if answer.logits is None:
            return Features(images.new_zeros(len(images), 0, *(side // STRIDE for side in size)), taps)
        logits = _on_stride(answer.logits, size).float()
        assert self.table is not None
        return Features(logits if self.table.is_identity else apply(logits, self.table.sources), taps)

    def train(self, mode: bool = True) -> Wrapped:  # noqa: ARG002
        """Always in eval mode: it teaches and never learns."""
        super().train(False)
        return self

    def _prepared(self, images: Float[Tensor, "batch channels H W"]) -> Float[Tensor, "batch channels h w"]:
        """As the network's own library prepares an image."""
        ours = (images * self.undo + self.undo_shift) * (255 / self.pixels.scale)
        theirs = ((ours.flip(1) if self.pixels.bgr else ours) - self.mean) / self.std
        sides = [self._side(side) for side in theirs.shape[-2:]]
        if self.network.square:
            sides = [max(sides)] * 2
        if sides == list(theirs.shape[-2:]):
            return theirs
        return F.interpolate(theirs, size=sides, mode="bilinear", align_corners=False)

    def _side(self, side: int) -> int:
        """Pixels that the network sees along a side; a patch that does not divide STRIDE stands for 8, 16 or 32."""
        if self.network.side is not None:
            return self.network.side
        patch = self.network.patch
        return side if STRIDE % patch == 0 else side // _stride_of(patch) * patch


def _stride_of(cell: int | float) -> int:
    """The stride that stands for cells of so many pixels."""
    return min((1, 2, 4, 8, 16, 32), key=lambda stride: abs(stride - cell))


def _on_stride(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The maps themselves where their grid is a whole fraction of the image's, both sides alike; else resampled."""
    height, width = maps.shape[-2:]
    if size[0] % height == 0 and size[1] % width == 0 and size[0] // height == size[1] // width:
        return maps
    stride = _stride_of(max(size[0] / height, size[1] / width))
    return F.interpolate(maps, size=(size[0] // stride, size[1] // stride), mode="bilinear", align_corners=False)
