"""How long a training step takes, measured on this machine with made-up images."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import torch

from trainables.config import TrialConfig
from trainables.device import pick_device, place
from trainables.loop import losses
from trainables.losses.find import find_method
from trainables.models.build import build
from trainables.models.segmodel import SegModel
from trainables.state import TrialState
from trainables.teachers import freeze

_WARM_UP, _TIMED = 2, 3  # steps
_CPU_SIDE, _CPU_BATCH = 128, 2  # most that is timed on a CPU; a step's time is in proportion to its pixels


class StepTime(NamedTuple):
    """Attributes:
    seconds: of a step at the trial's crop and batch; data loading and evaluation are not in it.
    scaled: times this, since a smaller step was timed; 1: the step itself was.
    """

    seconds: float
    scaled: float


def step_time(config: TrialConfig, *, num_classes: int, ignore_index: int) -> StepTime:
    """Median time of a step of this trial: both networks, the losses, backward and the optimiser.

    Raises:
        ModelError: a network that cannot be built.
    """
    device = pick_device(config)
    torch.set_num_threads(config.num_threads)
    timed = config.model_copy(update={"pretrained": False, "encoder_weights": None} | _smaller(config, device))
    teacher = _teacher(timed, num_classes, device)
    state = TrialState.start(timed, teacher=teacher, num_classes=num_classes, ignore_index=ignore_index, device=device)
    shape = (timed.batch_size, timed.crop_height, timed.crop_width)
    images = torch.randint(256, (shape[0], 3, *shape[1:]), dtype=torch.uint8)
    labels = torch.randint(num_classes, shape)
    taken = []
    for _ in range(_WARM_UP + _TIMED):
        started = time.perf_counter()
        _, total, _ = losses(timed, state, teacher, images, labels, device, sample=False)
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()
        state.optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    scaled = _pixels(config) / _pixels(timed)
    return StepTime(scaled * statistics.median(taken[_WARM_UP:]), scaled)


def _teacher(config: TrialConfig, num_classes: int, device: torch.device) -> SegModel | None:
    """Untrained: what it says takes no longer to say."""
    if not find_method(config.method).needs_teacher:
        return None
    teacher = build(config.teacher, num_classes=num_classes)
    place(teacher, device)
    return freeze(teacher)


def _smaller(config: TrialConfig, device: torch.device) -> dict[str, int]:
    if device.type == "cuda":
        return {}
    return {
        "batch_size": min(config.batch_size, _CPU_BATCH),
        "crop_height": min(config.crop_height, _CPU_SIDE),
        "crop_width": min(config.crop_width, _CPU_SIDE),
    }


def _pixels(config: TrialConfig) -> int:
    return config.batch_size * config.crop_height * config.crop_width
