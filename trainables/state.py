"""Everything a trial is between two steps, as tensors and JSON, and back."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.device import place
from trainables.losses.criterion import Criterion
from trainables.losses.find import find_method, make_criterion
from trainables.models.build import build
from trainables.models.segmodel import SegModel

_STUDENT, _PEER, _CRITERION, _OPTIMIZER, _EMA = "student.", "peer.", "criterion.", "optimizer.", "ema."


@dataclass(frozen=True)
class Report:
    """What one evaluation found.

    Attributes:
        step: optimiser steps done.
        miou: on the evaluated split, in [0, 1].
        iou: per class, in [0, 1]; None for a class in neither label nor prediction.
        terms: mean of each named, unweighted loss term since the last report.
        grad_shares: each weighted term's share of the summed gradient norms on the student, sampled at this step.
        lr: the student's learning rate of the last step.
        seconds: time spent in training so far, evaluation and loading of the trial excluded.
        peer_miou: the other student's, where there is one.
        peer_iou: likewise.
        skipped: damaged files passed over since the last report.
        teacher_hits: share of the crops, since training was begun or resumed, whose teacher's answer was in the cache;
            None without a cache.
        miou_low, miou_high: 90 % interval of miou over images; None where there is none (one image or none), or in a
            checkpoint of a release that had no such interval.
        fold_miou: of a trial of several folds, each fold's; miou is their mean.
    """

    step: int
    miou: float
    iou: list[float | None]
    terms: dict[str, float]
    grad_shares: dict[str, float]
    lr: float
    seconds: float
    peer_miou: float | None = None
    peer_iou: list[float | None] | None = None
    skipped: list[str] = field(default_factory=list)
    teacher_hits: float | None = None
    miou_low: float | None = None
    miou_high: float | None = None
    fold_miou: list[float] | None = None


@dataclass
class TrialState:
    """Attributes:
    peer: the other student of a method that trains two; else None.
    ema: a running average of the student's weights, where that is wanted; then it is what is scored and kept.
    optimizer: one group a network, of the network and its part of the criterion.
    rng: states of torch's generators, see `random`.
    """

    student: SegModel
    peer: SegModel | None
    criterion: Criterion
    optimizer: torch.optim.Optimizer
    ema: SegModel | None = None
    step: int = 0
    seconds: float = 0.0
    history: list[Report] = field(default_factory=list)
    rng: dict[str, Tensor] = field(default_factory=lambda: _rng())

    @classmethod
    def start(
        cls,
        config: TrialConfig,
        *,
        teacher: SegModel | None,
        num_classes: int,
        ignore_index: int,
        device: torch.device,
        channels: int = 3,
    ) -> TrialState:
        """Seeded weights, so that every method of a seed starts from the same student and draws the same dropout.

        Args:
            channels: of the images.
        """
        method = find_method(config.method)
        torch.manual_seed(config.seed)
        student = _build(config, config.student, num_classes, channels)
        peer = _peer(config, num_classes, channels) if method.needs_peer else None
        criterion = make_criterion(
            config, student=student, teacher=peer or teacher, num_classes=num_classes, ignore_index=ignore_index
        )
        for network in (student, peer, criterion):
            if network is not None:
                place(network, config, device)
        optimizer = _optimizer(config, _groups(config, student, peer, criterion), device)
        torch.manual_seed(config.seed)
        ema = None if config.ema_decay is None else copy.deepcopy(student).requires_grad_(False)
        return cls(student, peer, criterion, optimizer, ema)

    @property
    def best(self) -> Report:
        return max(self.history, key=lambda report: report.miou)

    @property
    def networks(self) -> list[SegModel]:
        """Those that are trained."""
        return [self.student, *([self.peer] if self.peer is not None else [])]

    @property
    def scored(self) -> SegModel:
        """The student as it is scored and kept."""
        return self.student if self.ema is None else self.ema

    @torch.no_grad()
    def average(self, decay: float | None) -> None:
        """Take the student's weights into their average, after an optimiser step; its BatchNorm statistics as they are.

        E <- d E + (1 - d) W with d = min(decay, (1 + step) / (10 + step)), so that the start is soon forgotten.
        """
        if self.ema is None or decay is None:
            return
        stays = min(decay, (1 + self.step) / (10 + self.step))
        for mean, weight in zip(self.ema.parameters(), self.student.parameters(), strict=True):
            mean.lerp_(weight, 1 - stays)
        for kept, value in zip(self.ema.buffers(), self.student.buffers(), strict=True):
            kept.copy_(value)

    def weights(self) -> dict[str, Tensor]:
        """The student's, as it is scored."""
        return dict(self.scored.state_dict())

    def tensors(self, *, optimizer: bool = True) -> dict[str, Tensor]:
        """Networks, projectors, optimiser and random states; the data position is `step`."""
        weights = _prefixed(_STUDENT, self.student) | _prefixed(_CRITERION, self.criterion)
        if self.peer is not None:
            weights |= _prefixed(_PEER, self.peer)
        if self.ema is not None:
            weights |= _prefixed(_EMA, self.ema)
        return weights | self.rng | (self._moments() if optimizer else {})

    def held(self) -> Iterator[Tensor]:
        """Weights and buffers of all that is trained, or averaged from it."""
        for module in (self.student, self.peer, self.criterion, self.ema):
            if module is not None:
                yield from module.state_dict().values()

    def memories(self) -> Iterator[Tensor]:
        """What the criterion remembers between steps."""
        return self.criterion.buffers()

    def _moments(self) -> dict[str, Tensor]:
        return {
            f"{_OPTIMIZER}{index}.{name}": value
            for index, slots in self.optimizer.state_dict()["state"].items()
            for name, value in slots.items()
            if value is not None
        }

    @contextmanager
    def random(self) -> Iterator[None]:
        """Inside, torch draws on from where this trial last stood; so students side by side draw as if alone."""
        _set_rng(self.rng)
        yield
        self.rng = _rng()

    def meta(self) -> dict[str, Any]:
        return {"step": self.step, "seconds": self.seconds, "history": [asdict(report) for report in self.history]}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """The inverse of `tensors` and `meta`, in place."""
        self.student.load_state_dict(_under(_STUDENT, tensors))
        if self.peer is not None:
            self.peer.load_state_dict(_under(_PEER, tensors))
        if self.ema is not None:
            self.ema.load_state_dict(_under(_EMA, tensors))
        self.criterion.load_state_dict(_under(_CRITERION, tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(_OPTIMIZER, tensors).items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        for parameter, slots in self.optimizer.state.items():
            for name, value in slots.items():
                if value.shape == parameter.shape:  # a checkpoint's is contiguous; a fused step walks memory as it lies
                    slots[name] = torch.empty_like(parameter).copy_(value)
        _set_rng(tensors)
        self.rng = _rng()
        self.step, self.seconds = meta["step"], meta["seconds"]
        self.history = [Report(**report) for report in meta["history"]]


def student_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The student's weights, as it is scored, out of a checkpoint's tensors."""
    return _under(_EMA, tensors) or _under(_STUDENT, tensors)


def criterion_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the losses have learnt, such as projectors."""
    return _under(_CRITERION, tensors)


def peer_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the other student; none where there was no other."""
    return _under(_PEER, tensors)


def _build(config: TrialConfig, name: str, num_classes: int, channels: int) -> SegModel:
    weights: dict[str, Any] = {"pretrained": config.pretrained, "encoder_weights": config.encoder_weights}
    return build(name, num_classes=num_classes, channels=channels, **weights)


def _peer(config: TrialConfig, num_classes: int, channels: int) -> SegModel:
    """Seeded as when it is trained alone; but two students of one kind would stay the same for ever."""
    if config.teacher != config.student:
        torch.manual_seed(config.seed)
    return _build(config, config.teacher, num_classes, channels)


def _groups(
    config: TrialConfig, student: SegModel, peer: SegModel | None, criterion: Criterion
) -> list[dict[str, Any]]:
    """A group a network, with its learning rate at step 0 as `initial_lr`."""
    theirs = criterion.peer_parameters()
    known = {id(parameter) for parameter in theirs}
    rest = [parameter for parameter in criterion.parameters() if id(parameter) not in known]
    groups = [{"params": [*student.parameters(), *rest], "initial_lr": config.lr}]
    if peer is not None:
        groups.append({"params": [*peer.parameters(), *theirs], "initial_lr": config.peer_lr or config.lr})
    return groups


def _optimizer(config: TrialConfig, groups: list[dict[str, Any]], device: torch.device) -> torch.optim.Optimizer:
    fused = device.type == "cuda" if config.fused_optimizer is None else config.fused_optimizer
    shared: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": fused or None}
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, **shared)
    sgd = torch.optim.SGD(groups, momentum=config.momentum, **shared)
    if fused and config.momentum:  # some moments without the others are refused; from 0 the first step is the same
        for parameter in itertools.chain.from_iterable(group["params"] for group in sgd.param_groups):
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def _rng() -> dict[str, Tensor]:
    states = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        states["rng.cuda"] = torch.cuda.get_rng_state()  # the host's count, not the device's: no wait
    if torch.backends.mps.is_available():
        states["rng.mps"] = torch.mps.get_rng_state()
    return states


def _set_rng(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["rng.cpu"])
    if "rng.cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["rng.cuda"])
    if "rng.mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["rng.mps"])


def _prefixed(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in module.state_dict().items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
