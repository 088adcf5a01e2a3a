"""Which form of loss_proj and loss_hakd is computed: term by term, in one pass, or by a Triton kernel."""

from __future__ import annotations

import functools
import importlib.util
import os

import torch

from trainables.config import TrialConfig
from trainables.errors import ConfigError

MOST_CLASSES = 1024
"""A Triton program holds all classes of a pixel; beyond this `auto` takes the lean form."""


def pick_kernel(config: TrialConfig, *, num_classes: int, device: torch.device) -> str:
    """plain, lean or triton; `auto` is triton on CUDA where it is installed and works, else lean.

    KEM over space is always plain: its softmax needs every pixel's error before it has the first weight.

    Raises:
        ConfigError: as `check_kernel`.
    """
    if config.kem and config.kem_axis == "space":
        return "plain"
    if config.hakd_kernel != "auto":
        check_kernel(config, device.type)
        return config.hakd_kernel
    fits = device.type == "cuda" and num_classes <= MOST_CLASSES
    return "triton" if fits and has_triton() and _triton_works(device) else "lean"


def check_kernel(config: TrialConfig, device_type: str) -> None:
    """Refuse triton where it cannot run.

    Args:
        device_type: auto is taken for a GPU.

    Raises:
        ConfigError: it is not installed, or there is no CUDA (unless Triton interprets).
    """
    if config.hakd_kernel != "triton":
        return
    if not has_triton():
        raise ConfigError("hakd_kernel is 'triton', but the package triton is not installed here. Use auto or lean.")
    without = {"cpu": "a CPU", "mps": "an Apple GPU"}.get(device_type)
    if without and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError(f"hakd_kernel is 'triton', but the device is {without}. Use auto or lean.")


@functools.cache
def has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _triton_works(device: torch.device) -> bool:
    from trainables.losses.triton_hakd import works  # not above: it is optional, and takes a second

    return works(device)
