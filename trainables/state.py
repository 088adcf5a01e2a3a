"""Everything a trial is between two steps, as tensors and JSON, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.device import place
from trainables.losses import LOSSES
from trainables.losses.criterion import Criterion
from trainables.models.build import build
from trainables.models.segmodel import SegModel

_STUDENT, _CRITERION, _OPTIMIZER = "student.", "criterion.", "optimizer."


@dataclass(frozen=True)
class Report:
    """What one evaluation found.

    Attributes:
        step: optimiser steps done.
        miou: on the evaluated split, in [0, 1].
        iou: per class, in [0, 1]; None for a class in neither label nor prediction.
        terms: mean of each named, unweighted loss term since the last report.
        grad_shares: each weighted term's share of the summed gradient norms on the student, sampled at this step.
        lr: learning rate of the last step.
        seconds: time spent in training so far, evaluation and loading of the trial excluded.
    """

    step: int
    miou: float
    iou: list[float | None]
    terms: dict[str, float]
    grad_shares: dict[str, float]
    lr: float
    seconds: float


@dataclass
class TrialState:
    student: SegModel
    criterion: Criterion
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    history: list[Report] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        config: TrialConfig,
        *,
        teacher: SegModel | None,
        num_classes: int,
        ignore_index: int,
        device: torch.device,
    ) -> TrialState:
        """Seeded weights, so that every method of a seed starts from the same student and draws the same dropout."""
        torch.manual_seed(config.seed)
        student = build(config.student, num_classes=num_classes, pretrained=config.pretrained)
        criterion = LOSSES[config.method](
            config, student=student, teacher=teacher, num_classes=num_classes, ignore_index=ignore_index
        )
        place(student, device)
        place(criterion, device)
        optimizer = _optimizer(config, [*student.parameters(), *criterion.parameters()])
        torch.manual_seed(config.seed)
        return cls(student, criterion, optimizer)

    @property
    def best(self) -> Report:
        return max(self.history, key=lambda report: report.miou)

    def weights(self) -> dict[str, Tensor]:
        return dict(self.student.state_dict())

    def tensors(self, *, optimizer: bool = True) -> dict[str, Tensor]:
        """Student, projectors, optimiser and random states; the data position is `step`."""
        weights = _prefixed(_STUDENT, self.student) | _prefixed(_CRITERION, self.criterion)
        return weights | self._random() | (self._moments() if optimizer else {})

    def _moments(self) -> dict[str, Tensor]:
        return {
            f"{_OPTIMIZER}{index}.{name}": value
            for index, slots in self.optimizer.state_dict()["state"].items()
            for name, value in slots.items()
            if value is not None
        }

    def _random(self) -> dict[str, Tensor]:
        states = {"rng.cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():
            states["rng.cuda"] = torch.cuda.get_rng_state()
        return states

    def meta(self) -> dict[str, Any]:
        return {"step": self.step, "seconds": self.seconds, "history": [asdict(report) for report in self.history]}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """The inverse of `tensors` and `meta`, in place."""
        self.student.load_state_dict(_under(_STUDENT, tensors))
        self.criterion.load_state_dict(_under(_CRITERION, tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(_OPTIMIZER, tensors).items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        torch.set_rng_state(tensors["rng.cpu"])
        if "rng.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["rng.cuda"])
        self.step, self.seconds = meta["step"], meta["seconds"]
        self.history = [Report(**report) for report in meta["history"]]


def student_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The student's own weights out of a checkpoint's tensors."""
    return _under(_STUDENT, tensors)


def _optimizer(config: TrialConfig, parameters: list[Tensor]) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)


def _prefixed(prefix: str, module: torch.nn.Module) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in module.state_dict().items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
