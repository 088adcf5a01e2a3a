"""torch.compile for a trial's networks, so that eager and compiled trials are the same trial to within rounding."""

from __future__ import annotations

import importlib.util
import os
import shutil

import torch

from trainables.config import TrialConfig
from trainables.device import pick_device
from trainables.errors import ConfigError
from trainables.models.segmodel import SegModel

_MOST_VARIANTS = 64  # networks x shapes in one process; dynamo's own 8 would send the ninth back to eager
_GRAPHS = ("reduce-overhead", "max-autotune")  # the modes that record CUDA graphs


def compile_network(network: SegModel, config: TrialConfig) -> None:
    """Have calls of the network compiled, in `config.compile`'s mode; weights, their names and `forward` stay.

    The first call of each shape and mode (training or not) takes from seconds to minutes; networks of one architecture
    share what was compiled, and a second process finds it in inductor's cache on disk. Call `network.forward(...)`
    where shapes vary: it stays eager. Dropout draws what it draws in eager mode. A weight that
    no term depends on has a gradient of 0 instead of none, so weight decay moves it.

    Raises:
        ConfigError: there is nothing here to compile with.
    """
    if config.compile == "off":
        return
    _check_compiler(config)
    from torch._dynamo import config as dynamo  # seconds to import, which trials without it need not wait for
    from torch._functorch import config as functorch
    from torch._inductor import list_mode_options

    dynamo.cache_size_limit = max(dynamo.cache_size_limit, _MOST_VARIANTS)
    if hasattr(functorch, "donated_buffer"):
        functorch.donated_buffer = False  # else a graph could not be kept for each term's share of the gradient
    options = {**list_mode_options(config.compile), "fallback_random": True}  # eager's generator
    network.compile(dynamic=False, options=options)


def begin_step(config: TrialConfig) -> None:
    """Before a batch's first network: what CUDA graphs gave for the last batch may now be overwritten, not earlier.

    Without it the student's graph would take the memory that the teacher's answer is in.
    """
    if config.compile in _GRAPHS:
        torch.compiler.cudagraph_mark_step_begin()


def _check_compiler(config: TrialConfig) -> None:
    device = pick_device(config).type
    if device == "mps":
        raise ConfigError(f"compile is {config.compile!r}, but on device 'mps' it must be off. Set off, or device cpu.")
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        wanted, found = "Triton", None
    elif device == "cuda":  # Triton compiles what launches its kernels
        wanted = os.environ.get("CC", "gcc")
        found = shutil.which(wanted) or ("CC" not in os.environ and shutil.which("clang"))
    else:
        wanted = os.environ.get("CXX", "g++")
        found = shutil.which(wanted)
    if not found:
        raise ConfigError(f"compile is {config.compile!r}, but {wanted} is not found here. Install it, or set off.")
