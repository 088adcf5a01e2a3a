"""A criterion with one batch to call it on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.losses.criterion import Criterion
from trainables.models.segmodel import Features, SegModel

Change = Callable[[Tensor], Tensor]
T = TypeVar("T", Tensor, float)


@dataclass(frozen=True)
class Case:
    """One batch. Every call is of a copy, from one random state: what a criterion remembers or draws is the same.

    Attributes:
        criterion: already called once, so that what it remembers is filled.
        student, guide: maps that require gradients; no guide where the method has no teacher.
    """

    criterion: Criterion
    student: Features
    guide: Features | None
    labels: Tensor

    def call(self) -> tuple[Criterion, dict[str, Tensor]]:
        """A fresh copy of the criterion, and the terms that it gives."""
        criterion = copy.deepcopy(self.criterion)
        torch.manual_seed(0)
        return criterion, criterion(self.student, self.guide, self.labels)

    def terms(self) -> dict[str, Tensor]:
        return self.call()[1]

    def values(self) -> dict[str, float]:
        return {name: term.item() for name, term in self.terms().items()}

    def trained(self, terms: dict[str, T]) -> dict[str, T]:
        """The terms that have a weight; the others are measurements."""
        return {name: term for name, term in terms.items() if name in self.criterion.weights}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        weights = self.criterion.weights
        return torch.stack([weights[name] * term for name, term in self.trained(terms).items()]).sum()

    def leaves(self) -> list[Tensor]:
        """The student's maps, then the guide's."""
        return [*leaves(self.student), *(leaves(self.guide) if self.guide else [])]

    def gradients(self) -> list[Tensor]:
        """Of the total on each leaf, 0 where there is none."""
        found = torch.autograd.grad(self.total(self.terms()), self.leaves(), allow_unused=True)
        return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(self.leaves(), found, strict=True)]

    def saved_bytes(self) -> int:
        """Of a call."""
        return saved_bytes(self.terms)

    def changed(self, change: Change, *, labels: Tensor | None = None) -> Case:
        """The same criterion on the maps after `change`, as new leaves."""
        guide = None if self.guide is None else _changed(self.guide, change)
        student = _changed(self.student, change)
        return replace(self, student=student, guide=guide, labels=self.labels if labels is None else labels)


@dataclass(frozen=True)
class Loss:
    """A method under test.

    Attributes:
        grid: of all maps and the labels of `case`, so that each cell has a label of its own.
    """

    kind: type[Criterion]
    config: TrialConfig
    grid: tuple[int, int] = (16, 24)

    @property
    def guided(self) -> bool:
        return self.kind.needs_teacher or self.kind.needs_peer

    def networks(self, *, alike: bool = False) -> tuple[SegModel, SegModel | None]:
        """A student and, if the method has one, a teacher: of other channels and logit stride unless `alike`."""
        if not self.guided:
            return tiny.network(), None
        guide = tiny.network() if alike else tiny.network(7, stage=3, width=6)
        return tiny.network(), guide if self.kind.needs_peer else guide.eval().requires_grad_(False)

    def build(self, student: SegModel, guide: SegModel | None, *, seed: int = 0) -> Criterion:
        torch.manual_seed(seed)
        return self.kind(
            self.config, student=student, teacher=guide, num_classes=tiny.NUM_CLASSES, ignore_index=tiny.IGNORE
        )

    def case(
        self, *, alike: bool = False, labels: Tensor | None = None, change: Change = lambda maps: maps, times: int = 1
    ) -> Case:
        """A criterion that has been called once on the batch that it comes with.

        Args:
            alike: student and teacher have the same maps.
            labels: instead of random ones.
            change: done to all maps.
            times: enlarges both sides of the grid.
        """
        grid = (self.grid[0] * times, self.grid[1] * times)
        student, guide = self.networks(alike=alike)
        criterion = self.build(student, guide)
        maps = tiny.features(student, logits=grid, taps=grid, seed=1)
        guides = None
        if guide is not None:
            guides = tiny.features(guide, logits=grid, taps=grid, seed=1 if alike else 2)
        labels = tiny.random_labels(2, *grid) if labels is None else labels
        return warmed(Case(criterion, maps, guides, labels).changed(change))


def saved_bytes(compute: Callable[[], object]) -> int:
    """Bytes of the distinct storages that autograd keeps for the backward pass of what `compute` returns."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = compute()
    del result  # until here nothing that was kept could be freed
    return sum(kept.values())


def warmed(case: Case) -> Case:
    """The same batch, its criterion called on it once."""
    return replace(case, criterion=case.call()[0])


def leaves(maps: Features) -> list[Tensor]:
    return [maps.logits, *maps.taps.values()]


def _changed(maps: Features, change: Change) -> Features:
    taps = {name: change(tap.detach()).requires_grad_() for name, tap in maps.taps.items()}
    return Features(change(maps.logits.detach()).requires_grad_(), taps)
