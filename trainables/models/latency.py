"""How long a network takes for one image, on this machine."""

from __future__ import annotations

import statistics
import time

import torch

from trainables.config import TrialConfig
from trainables.device import autocast, memory_format, pick_device, place, synchronize
from trainables.models.segmodel import SegModel

_WARM_UP, _TIMED = 5, 20  # forward passes


@torch.no_grad()
def latency_ms(model: SegModel, config: TrialConfig) -> float:
    """Median milliseconds of a forward pass of one crop-sized image, on the trial's device and threads."""
    device = pick_device(config)
    torch.set_num_threads(config.num_threads)
    place(model, config, device)
    model.eval()
    image = torch.rand(1, model.channels, *config.padded_crop, device=device)
    image = image.to(memory_format=memory_format(config, device))
    taken = []
    for _ in range(_WARM_UP + _TIMED):
        started = time.perf_counter()
        with autocast(config, device):
            model(image)
        synchronize(device)
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken[_WARM_UP:])
