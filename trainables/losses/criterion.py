"""What the loop asks of a method: named, unweighted terms and the weight of each."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.errors import ModelError
from trainables.losses.unlabelled import Needs, anywhere, pseudo_labels, with_pseudo
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
        needs_label: what `forward` needs to know of a pixel to compare the networks there. "nothing": so it is taken at
            pixels without a label too; "class": likewise, where the teacher is certain of one; None: a label, so it
            cannot learn from them, and `forward` is not given `real`.
        is_linear: whether memory is linear in pixels; where it is not, a docstring says what bounds it.
        zero_when_identical: terms that vanish where teacher and student have the same features and logits.
    """

    needs_teacher: ClassVar[bool] = True
    needs_peer: ClassVar[bool] = False
    needs_label: ClassVar[Needs | None] = None
    is_linear: ClassVar[bool] = True
    zero_when_identical: ClassVar[frozenset[str]] = frozenset()
    weights: dict[str, float]

    def __init_subclass__(cls, **kwargs: object) -> None:
        """`needs_label` is not inherited: a method built on another may read labels where that one does not."""
        super().__init_subclass__(**kwargs)
        if "needs_label" not in cls.__dict__:
            cls.needs_label = None

    def __init__(
        self, config: TrialConfig, *, student: SegModel, teacher: SegModel | None, num_classes: int, ignore_index: int
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.certain = config.pseudo_threshold  # of a pseudo-label
        self._refuse_unlabelled()
        if teacher is not None and not teacher.has_logits and self._reads_some_logits(config):
            raise ModelError(
                f"{config.method} reads a teacher's logits, but {config.teacher!r} gives features alone. Take skd, "
                "ifvd, at, fitnet, cirkd, cirkdv2, afdcd, nfd, qsd or diffkd, or heteroakd with lambda_kd 0; without "
                "with_kd."
            )
        covered = None if teacher is None else teacher.covered
        self.covered_classes = covered
        numbers = torch.full((max(num_classes, ignore_index) + 1,), ignore_index)
        for place, number in enumerate(covered or ()):
            numbers[number] = place
        self.covered: Tensor | None
        self.register_buffer("covered", None if covered is None else torch.tensor(covered), persistent=False)
        self.register_buffer("_numbers", numbers, persistent=False)

    def _refuse_unlabelled(self) -> None:
        """Raises:
        ModelError: a method that needs labels is to learn where there are none.
        """
        if self.needs_label is None and self.config.sees_unlabelled:
            raise ModelError(
                f"{self.config.method} needs a label at each pixel, but is to learn where there is none. Set "
                "needs_label in its class, or unlabelled_ratio and pseudo_weight to 0 and distil_on to labelled."
            )

    def _reads_some_logits(self, config: TrialConfig) -> bool:
        everywhere = config.is_taught and config.distil_on == "all"
        return self.reads_logits(config) or config.pseudo_weight > 0 or (everywhere and self.needs_label == "class")

    def taught(
        self,
        labels: Int[Tensor, "b H W"],
        teacher: Features,
        real: Bool[Tensor, "b H W"] | None,
        needs: Needs | None = None,
    ) -> Int[Tensor, "b H W"]:
        """The labels for terms on the teacher: under `distil_on: all` also where the image has none.

        Args:
            real: as in `feed.Batch`; None: the labels as they are.
            needs: None: `needs_label`.
        """
        if real is None or self.config.distil_on == "labelled":
            return labels
        if (needs or self.needs_label) == "nothing":
            stand_in = 0 if self.covered_classes is None else self.covered_classes[0]
            return anywhere(labels, real, stand_in=stand_in, ignore_index=self.ignore_index)
        return with_pseudo(labels, real, self.pseudo_labels(teacher, labels), ignore_index=self.ignore_index)

    def pseudo_labels(self, said: Features, labels: Int[Tensor, "b H W"]) -> Int[Tensor, "b H W"]:
        """Those of a network that knows the teacher's classes, or of the student, if there is no teacher."""
        logits = said.logits if self.covered is None else said.logits[:, self.covered]
        found = pseudo_labels(
            logits,
            size=(labels.shape[-2], labels.shape[-1]),
            threshold=self.certain,
            ignore_index=self.ignore_index,
            align_corners=self.config.align_corners,
        )
        if self.covered is None:
            return found
        known = found != self.ignore_index
        return torch.where(known, self.covered[found.masked_fill(~known, 0)], found)

    def weights_at(self, step: int) -> dict[str, float]:
        """`weights`, or in the first `feature_steps` steps those of `feature_terms`, so that no other term is trained.

        Args:
            step: optimiser steps done.
        """
        if step >= self.config.feature_steps:
            return self.weights
        return {name: weight for name, weight in self.weights.items() if name in self.feature_terms()}

    @classmethod
    def feature_terms(cls) -> frozenset[str]:
        """Terms that compare features and neither logits nor labels: what `feature_share` begins with."""
        return frozenset()

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
        self,
        student: Features,
        teacher: Features | None,
        labels: Int[Tensor, "batch H W"],
        real: Bool[Tensor, "batch H W"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms by name, each a scalar, unweighted.

        Args:
            real: which pixels are the image's, where terms are taken at pixels without a label too; else it is not
                given, and need not be taken by a method whose `needs_label` is None.
        """
