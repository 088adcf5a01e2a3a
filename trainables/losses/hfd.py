"""Heterogeneous feature distillation: how one network's shallow feature learns another architecture's.

Source: Zhu, Luo, Zheng, Wang, Wang: "A good student is cooperative and reliable: CNN-Transformer collaborative learning
for semantic segmentation", ICCV 2023, arXiv 2307.12574.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.losses.grids import coarser, labels_on_grid, mean_over_valid, to_grid
from trainables.losses.selective import masked_mean

_TOKENS = 16  # keys and values form at most a 16 x 16 grid


class Attend(nn.Module):
    """x + Attn(x): every cell attends to the labelled means of at most 16 x 16 parts of its image. One head.

    Memory is linear in cells (256 weights each); full attention at stride 4 would take 4 GiB an image of 512x1024.

    Deviation: the source says no more than "attention". Pooled keys and values, as MiT has them; and the residual of a
    Transformer block, without which a cell's own feature would reach its output through those means alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def forward(self, maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
        """Cells that are not valid are attended to by none."""
        grid = (min(_TOKENS, maps.shape[-2]), min(_TOKENS, maps.shape[-1]))
        weight = valid[:, None].float()
        cells, tokens = maps.flatten(2).mT, masked_mean(maps, weight, grid).flatten(2).mT
        seen = F.adaptive_avg_pool2d(weight, grid).flatten(1) > 0
        seen = seen | ~seen.any(dim=1, keepdim=True)  # an image without labels would divide by zero
        found = F.scaled_dot_product_attention(
            self.query(cells), self.key(tokens), self.value(tokens), attn_mask=seen[:, None, :]
        )
        return maps + self.out(found).mT.unflatten(2, maps.shape[-2:])


class Mix(nn.Module):
    """Two 1x1 convolutions with a GELU between them: an MLP at each cell.

    Deviation: the source says no more than "MLP"; the hidden layer is as wide as the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GELU(), nn.Conv2d(channels, channels, 1))

    def forward(self, maps: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
        mixed: Tensor = self.layers(maps)
        return mixed


class Mimic(nn.Module):
    """MSE(Attn(A F), sg F') towards a network that attends, MSE(MLP(A F), sg F') towards a convolutional one.

    A is a 1x1 convolution to the other's channels. On the coarser of the two grids; mean over valid cells and channels.

    Deviation: a hybrid counts as one that attends, so that any two networks can learn together.
    """

    def __init__(self, channels: int, other_channels: int, *, convolutional: bool) -> None:
        """Args:
        channels: of the feature that learns.
        other_channels: of the feature that is learnt from.
        convolutional: whether the network that is learnt from has no attention.
        """
        super().__init__()
        self.align = nn.Conv2d(channels, other_channels, 1)
        self.transform: Attend | Mix = Mix(other_channels) if convolutional else Attend(other_channels)

    def forward(
        self,
        own: Float[Tensor, "b c h w"],
        other: Float[Tensor, "b c2 h2 w2"],
        labels: Int[Tensor, "b H W"],
        *,
        ignore_index: int,
    ) -> Float[Tensor, ""]:
        """No gradient to `other`."""
        grid = coarser(own, other)
        valid = labels_on_grid(labels, grid) != ignore_index
        made = self.transform(self.align(to_grid(own, grid)), valid)
        return mean_over_valid((made - to_grid(other.detach(), grid)).square().mean(dim=1), valid)
