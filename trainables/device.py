"""Where a trial computes, and in which precision."""

from __future__ import annotations

import platform

import torch
from torch import nn

from trainables.config import TrialConfig
from trainables.errors import ConfigError


def pick_device(config: TrialConfig) -> torch.device:
    """The config's device.

    Raises:
        ConfigError: cuda is asked for and there is none.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', but PyTorch finds no CUDA device here. Use auto or cpu.")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def device_name(config: TrialConfig) -> str:
    """What it is called, for people."""
    if pick_device(config).type == "cuda":
        return torch.cuda.get_device_name()
    return f"this CPU ({config.num_threads} of its cores, {platform.machine()})"


def autocast(config: TrialConfig, device: torch.device) -> torch.autocast:
    """bf16 on CUDA if `amp`; off elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.amp and device.type == "cuda")


def memory_format(config: TrialConfig, device: torch.device) -> torch.memory_format:
    """channels_last as the config says; else on CUDA, where convolutions prefer it."""
    last = device.type == "cuda" if config.channels_last is None else config.channels_last
    return torch.channels_last if last else torch.contiguous_format


def place(module: nn.Module, config: TrialConfig, device: torch.device) -> None:
    """Move a module to the device, in its memory format."""
    module.to(device, memory_format=memory_format(config, device))  # type: ignore[call-overload]


def release() -> None:
    """Give memory that a finished trial's caching allocator holds back to its neighbours on a shared GPU."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
