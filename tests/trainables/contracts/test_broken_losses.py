"""A loss that breaks a claim is caught by that claim."""

from __future__ import annotations

import random
from typing import ClassVar

import pytest
import torch
from torch import nn

from trainables.config import TrialConfig
from trainables.contracts.case import Loss
from trainables.contracts.claim import broken, examine
from trainables.contracts.losses import CLAIMS
from trainables.losses.grids import coarser, labels_on_grid, mean_over_valid, to_grid
from trainables.losses.task import Task


class Gap(Task):
    """Squared difference of the logits, mean over labelled pixels: keeps every claim."""

    needs_teacher = True
    zero_when_identical = frozenset({"loss_gap"})

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weights["loss_gap"] = 0.5

    def forward(self, student, teacher, labels):
        terms = super().forward(student, None, labels)
        return terms | {"loss_gap": self.gap(student, teacher, labels)}

    def gap(self, student, teacher, labels):
        error, labels = self.errors(student, teacher), labels_on_grid(labels, self.grid(student, teacher))
        return mean_over_valid(error, labels != self.ignore_index)

    def errors(self, student, teacher):
        grid = self.grid(student, teacher)
        return (to_grid(student.logits, grid) - to_grid(teacher.logits.detach(), grid)).square().mean(dim=1)

    def grid(self, student, teacher):
        return coarser(student.logits, teacher.logits)


class TeacherLearns(Gap):
    def errors(self, student, teacher):
        grid = self.grid(student, teacher)
        return (to_grid(student.logits, grid) - to_grid(teacher.logits, grid)).square().mean(dim=1)


class Leaks(Gap):
    def gap(self, student, teacher, labels):
        return self.errors(student, teacher).mean()


class DividesByNothing(Gap):
    def gap(self, student, teacher, labels):
        valid = labels_on_grid(labels, self.grid(student, teacher)) != self.ignore_index
        return (self.errors(student, teacher) * valid).sum() / valid.sum()


class Overflows(Gap):
    def errors(self, student, teacher):
        return super().errors(student, teacher).exp()


class HalfPrecise(Gap):
    def gap(self, student, teacher, labels):
        kept = super().gap(student, teacher, labels)
        return (kept[None, None] @ torch.ones(1, 1))[0, 0]


class Negative(Gap):
    def gap(self, student, teacher, labels):
        return -super().gap(student, teacher, labels)


class Vector(Gap):
    def gap(self, student, teacher, labels):
        return super().gap(student, teacher, labels)[None]


class Frozen(Gap):
    def gap(self, student, teacher, labels):
        return super().gap(student, teacher, labels).detach()


class Idle(Gap):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.idle = nn.Linear(2, 2)


class FirstImage(Gap):
    def gap(self, student, teacher, labels):
        error, labels = self.errors(student, teacher), labels_on_grid(labels, self.grid(student, teacher))
        return mean_over_valid(error[:1], labels[:1] != self.ignore_index)


class RootOfZero(Gap):
    def errors(self, student, teacher):
        return super().errors(student, teacher).sqrt()


class TwoClasses(Gap):
    def gap(self, student, teacher, labels):
        present = (labels.unique() != self.ignore_index).sum()
        return super().gap(student, teacher, labels) * (present / (present > 1) if present else 1)


class RollsDice(Gap):
    def gap(self, student, teacher, labels):
        return super().gap(student, teacher, labels) * random.random()


class Scribbles(Gap):
    def gap(self, student, teacher, labels):
        teacher.logits.detach().mul_(0.5)
        return super().gap(student, teacher, labels)


class Meddles(Gap):
    def __init__(self, *args, student, **kwargs):
        super().__init__(*args, student=student, **kwargs)
        with torch.no_grad():
            next(student.parameters()).add_(1)


class Shares(Gap):
    everyones: ClassVar[dict[str, float]] = {"loss_task": 1.0, "loss_gap": 0.5}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weights = self.everyones


class OneGrid(Gap):
    def grid(self, student, teacher):
        return teacher.logits.shape[-2:]

    def errors(self, student, teacher):
        return (student.logits - teacher.logits.detach()).float().square().mean(dim=1)


class NeverZero(Gap):
    def errors(self, student, teacher):
        return super().errors(student, teacher) + 1


class Forgets(Gap):
    """Remembers its last value in a plain attribute."""

    last = 0.0

    def gap(self, student, teacher, labels):
        found = super().gap(student, teacher, labels)
        damped, self.last = found * (1 + self.last), found.item()
        return damped


class EveryPairOfPixels(Gap):
    def gap(self, student, teacher, labels):
        valid = labels_on_grid(labels, self.grid(student, teacher)) != self.ignore_index
        error = self.errors(student, teacher).masked_fill(~valid, 0).flatten()
        return (error[:, None] - error[None]).abs().mean() * 0 + super().gap(student, teacher, labels)


CAUGHT = {
    Vector: "its terms are named scalars in float32, loss_task among them",
    Negative: "its terms are finite and not negative",
    Frozen: "every weighted term moves the network it trains",
    TeacherLearns: "no gradient reaches the teacher",
    Idle: "every weight of its own is trained",
    Leaks: "ignored pixels change neither value nor gradient",
    FirstImage: "the order of a batch changes nothing",
    DividesByNothing: "a batch without labels costs zero and moves nothing",
    Overflows: "huge maps stay finite",
    RootOfZero: "constant maps stay finite",
    TwoClasses: "labels of one class stay finite",
    HalfPrecise: "under bf16 autocast its terms are finite and in float32",
    RollsDice: "a second call gives the same terms",
    Scribbles: "maps and labels are left alone",
    Meddles: "building it leaves config and networks alone",
    Shares: "its weights are its own",
    OneGrid: "networks of different grids and channels are taken",
    NeverZero: "identical teacher and student cost nothing where it says so",
    Forgets: "a checkpoint holds all that it remembers",
    EveryPairOfPixels: "its memory is linear in pixels",
}


CONFIG = TrialConfig(method="kd", crop_height=64, crop_width=64, device="cpu")


def broken_claims(kind):
    return {found.sentence: found.reason for found in examine(Loss(kind, CONFIG), CLAIMS) if found.reason}


def test_a_sound_loss_breaks_no_claim():
    assert broken_claims(Gap) == {}


def test_each_claim_catches_a_loss():
    assert list(CAUGHT.values()) == [claim.sentence for claim in CLAIMS]


@pytest.mark.parametrize("kind", CAUGHT, ids=lambda kind: kind.__name__)
def test_a_broken_loss_is_caught(kind):
    (claim,) = (claim for claim in CLAIMS if claim.sentence == CAUGHT[kind])
    assert broken(claim, Loss(kind, CONFIG)) is not None


@pytest.mark.parametrize("kind", [FirstImage, Meddles, OneGrid, EveryPairOfPixels], ids=lambda kind: kind.__name__)
def test_one_fault_breaks_one_claim(kind):
    assert list(broken_claims(kind)) == [CAUGHT[kind]]


def test_the_reason_says_what_to_do():
    assert broken_claims(TeacherLearns) == {
        "no gradient reaches the teacher": "loss_gap sends a gradient to the teacher. Detach its maps."
    }
