"""What the loop asks of a method: named, unweighted terms and the weight of each."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.errors import ModelError
from trainables.models.segmodel import Features, SegModel


class Criterion(nn.Module):
    """A method's loss. A module because projectors have weights, which train and are checkpointed with the student.

    Called once a step, inside autocast; every term is computed in fp32. What it remembers between steps is a buffer,
    what it draws comes from torch's generator: so a resumed trial equals the uninterrupted one.

    Attributes:
        weights: the weight of each term, by the term's name; loss_total is the weighted sum. A term without a weight is
            a measurement: shown, not trained on.
        needs_teacher: whether `teacher` is there, frozen; else it is None. Where it does not know all classes
            (`SegModel.covered`), terms on logits take them through `shared`.
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
        if teacher is not None and not teacher.has_logits and self.reads_logits(config):
            raise ModelError(
                f"{config.method} reads a teacher's logits, but {config.teacher!r} gives features alone. Take skd, "
                "ifvd, at, fitnet, cirkd or afdcd, or heteroakd with lambda_kd 0; without with_kd."
            )
        covered = None if teacher is None else teacher.covered
        numbers = torch.full((max(num_classes, ignore_index) + 1,), ignore_index)
        for place, number in enumerate(covered or ()):
            numbers[number] = place
        self.covered: Tensor | None
        self.register_buffer("covered", None if covered is None else torch.tensor(covered), persistent=False)
        self.register_buffer("_numbers", numbers, persistent=False)

    @classmethod
    def reads_logits(cls, config: TrialConfig) -> bool:  # noqa: ARG003
        """Whether it reads the teacher's logits, not its taps alone; a backbone that teaches has none."""
        return True

    def shared(
        self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c2 h2 w2"], labels: Int[Tensor, "b H W"]
    ) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b k2 h2 w2"], Int[Tensor, "b H W"]]:
        """Both logits of the classes that the teacher knows, and the labels as places among these.

        Pixels of a class that it does not know are ignored: what it says there is wrong. All as given where it knows
        every class.
        """
        if self.covered is None:
            return student, teacher, labels
        numbers: Tensor = self.get_buffer("_numbers")
        return student[:, self.covered], teacher[:, self.covered], numbers[labels]

    def peer_parameters(self) -> list[nn.Parameter]:
        """Those of its own weights that train with the peer, at the peer's rate."""
        return []

    @abstractmethod
    def forward(
        self, student: Features, teacher: Features | None, labels: Int[Tensor, "batch H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms by name, each a scalar, unweighted."""
