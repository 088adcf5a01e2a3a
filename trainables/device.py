"""Where a trial computes, and in which precision. What differs between a CPU, CUDA and a Mac's GPU (mps) is asked here.

No machine of ours has an Apple GPU: what stands here for mps follows PyTorch's documentation and was never run on one.
"""

from __future__ import annotations

import os
import platform

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.errors import ConfigError

KINDS = ("cpu", "cuda", "mps")
_CALLED = {"cuda": "CUDA device", "mps": "Apple GPU"}


def pick_device(config: TrialConfig) -> torch.device:
    """The config's device; `auto` never means mps.

    Raises:
        ConfigError: cuda or mps is asked for and there is none.
    """
    if not is_here(config.device):
        raise ConfigError(
            f"device is {config.device!r}, but PyTorch finds no {_CALLED[config.device]} here. Use auto or cpu."
        )
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def is_here(device: str) -> bool:
    """Whether this machine has what a config's `device` names."""
    if device == "cuda":
        return torch.cuda.is_available()
    return device != "mps" or torch.backends.mps.is_available()


def device_name(config: TrialConfig) -> str:
    """What it is called, for people."""
    found = pick_device(config).type
    if found == "cuda":
        return torch.cuda.get_device_name()
    if found == "mps":
        return f"this Mac's GPU ({platform.machine()})"
    return f"this CPU ({config.num_threads} of its cores, {platform.machine()})"


def autocast(config: TrialConfig, device: torch.device) -> torch.autocast:
    """bf16 on CUDA if `amp`; off elsewhere, on mps too."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.amp and device.type == "cuda")


def memory_format(config: TrialConfig, device: torch.device) -> torch.memory_format:
    """channels_last as the config says; else on CUDA, where convolutions prefer it."""
    last = device.type == "cuda" if config.channels_last is None else config.channels_last
    return torch.channels_last if last else torch.contiguous_format


def place(module: nn.Module, config: TrialConfig, device: torch.device) -> None:
    """Move a module to the device, in its memory format."""
    module.to(device, memory_format=memory_format(config, device))  # type: ignore[call-overload]


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """To the device; on CUDA without waiting. To mps it waits: a source that is not pinned could be gone before."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def synchronize(device: torch.device) -> None:
    """Wait for all work that was given to it."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def memory_bytes(device: torch.device) -> int:
    """What trials may share: a GPU's memory, what Metal recommends of a Mac's, else the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info()[1])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def release() -> None:
    """Give memory that a finished trial's caching allocator holds back to its neighbours on a shared GPU."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
