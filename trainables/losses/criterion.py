"""What the loop asks of a method: named, unweighted terms and the weight of each."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.models.segmodel import Features, SegModel


class Criterion(nn.Module):
    """A method's loss. A module because projectors have weights, which train and are checkpointed with the student.

    Called once a step, inside autocast; every term is computed in fp32. What it remembers between steps is a buffer,
    what it draws comes from torch's generator: so a resumed trial equals the uninterrupted one.

    Attributes:
        weights: the weight of each term, by the term's name; loss_total is the weighted sum. A term without a weight is
            a measurement: shown, not trained on.
        needs_teacher: whether `teacher` is there, frozen; else it is None.
        needs_peer: whether `teacher` is another student instead, trained along; terms named peer_* are its own.
        is_linear: whether memory is linear in pixels; where it is not, a docstring says what bounds it.
        zero_when_identical: terms that vanish where teacher and student have the same features and logits.
    """

    needs_teacher: ClassVar[bool] = True
    needs_peer: ClassVar[bool] = False
    is_linear: ClassVar[bool] = True
    zero_when_identical: ClassVar[frozenset[str]] = frozenset()
    weights: dict[str, float]

    def __init__(
        self, config: TrialConfig, *, student: SegModel, teacher: SegModel | None, num_classes: int, ignore_index: int
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def peer_parameters(self) -> list[nn.Parameter]:
        """Those of its own weights that train with the peer, at the peer's rate."""
        return []

    @abstractmethod
    def forward(
        self, student: Features, teacher: Features | None, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms by name, each a scalar, unweighted."""
