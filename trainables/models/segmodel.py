"""SegModel: the one contract of a segmentation network here: native-stride logits and named taps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

_PROBE = 64  # pixels; a multiple of every encoder's stride


class Tap(NamedTuple):
    """What a named feature looks like: its channels and how many image pixels lie between its cells."""

    channels: int
    stride: int


class Features(NamedTuple):
    """One forward pass: logits at the head's own stride (never upsampled), and every tap by name."""

    logits: Float[Tensor, "batch classes height width"]
    taps: dict[str, Float[Tensor, "batch channels h w"]]


class SegModel(nn.Module):
    """An encoder, a decoder and a 1x1 head.

    Taps are `stage1`..`stage4`, the encoder's last four features (the usual strides 4, 8, 16, 32), and `decoder`. Their
    channels and strides are found by one dry forward, never tabulated.

    Attributes:
        taps: name -> Tap.
        stride: stride of the logits.
        covered: class ids that its logits can speak for; None: all, as those of every network that is trained here.
        has_logits: whether it gives any; a backbone that is a teacher has none.
        channels: of the images it is given.
    """

    covered: tuple[int, ...] | None = None
    has_logits: bool = True
    channels: int = 3

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module, *, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.taps, self.stride = self._probe()

    def forward(self, images: Float[Tensor, "batch channels H W"]) -> Features:
        """Images must be normalised and have sides that are multiples of 32."""
        stages = self.encoder(images)
        decoded = self.decoder(stages)
        real = [stage for stage in stages[1:] if stage.shape[1] > 0]  # Transformers carry an empty stride-2 feature
        taps = {f"stage{i}": stage for i, stage in enumerate(real[-4:], start=1)}
        return Features(self.head(decoded), taps | {"decoder": decoded})

    @torch.no_grad()
    def _probe(self) -> tuple[dict[str, Tap], int]:
        training = self.training
        self.eval()
        weight = next(self.parameters())
        features = self(torch.zeros(1, self.channels, _PROBE, _PROBE, device=weight.device, dtype=weight.dtype))
        self.train(training)
        taps = {name: Tap(tap.shape[1], _PROBE // tap.shape[2]) for name, tap in features.taps.items()}
        return taps, _PROBE // features.logits.shape[2]
