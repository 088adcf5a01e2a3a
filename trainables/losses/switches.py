"""What every form of loss_proj and loss_hakd reads: `plain`, `lean` and `triton` alike."""

from __future__ import annotations

from typing import NamedTuple

RARE = 15.0
"""From here on an error log(1 + e^-u) is e^-u - e^-2u / 2 to within fp32, and its logarithm is taken of that."""


class Switches(NamedTuple):
    """The settings of a HeteroAKD loss.

    Attributes:
        temperature: of both softmaxes.
        kmm: whether the target is mixed; else it is Z_T.
        kem: whether classes are weighed; else uniformly.
    """

    ignore_index: int
    temperature: float
    kmm: bool
    kem: bool
