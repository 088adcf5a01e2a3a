"""Weights that a user has: as safetensors or torch's own files, under the names that wrappers give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from trainables.errors import CheckpointError, Interrupted
from trainables.kept import atomic, checkpoint

_PICKLED = (".pth", ".pt", ".bin", ".ckpt")
_WRAPPED = ("state_dict", "model_state_dict", "model")  # what training scripts and Lightning keep them under
_PREFIXES = ("module.", "model.", "_orig_mod.")  # of DataParallel, of Lightning, of torch.compile
_COUNTER = "num_batches_tracked"


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; a pickle is read by torch with `weights_only`, which runs nothing.

    Raises:
        CheckpointError: missing, torn, or something else than tensors.
        Interrupted: it is there and cannot be opened.
    """
    if path.suffix.lower() not in _PICKLED:
        return checkpoint.load(path)[0]
    try:
        with atomic.interrupting(path, missing=True), path.open("rb") as file:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Interrupted:
        raise
    except (
        AttributeError,
        EOFError,
        FileNotFoundError,
        LookupError,
        RuntimeError,
        UnpicklingError,
        ValueError,
    ) as error:
        raise CheckpointError(
            f"{path} cannot be read without running what it holds ({type(error).__name__}). Save the tensors alone: "
            "torch.save(model.state_dict(), FILE)."
        ) from None
    found = _unwrapped(found)
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise CheckpointError(f"{path} holds no weights. Save them so: torch.save(model.state_dict(), FILE).")
    return {str(name): value for name, value in found.items()}


def named(tensors: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under a network's own names, as far as only a wrapper tells them apart.

    A prefix of a wrapper that all of them have is left out where none is the network's own, and so is
    segmentation-models-pytorch's name of the head. BatchNorm's counters, which evaluation does not read, may be absent.

    Args:
        known: the network's own.
    """
    found = dict(tensors)
    while not found.keys() & known.keys() and (prefix := next((one for one in _PREFIXES if _all(found, one)), None)):
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    found = {name.replace("segmentation_head.0.", "head."): value for name, value in found.items()}
    counters = {name: value for name, value in known.items() if name.endswith(_COUNTER)}
    return counters | found


def _unwrapped(found: Any) -> Any:
    while isinstance(found, Mapping):
        inner = next((found[key] for key in _WRAPPED if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    return found


def _all(names: Mapping[str, Tensor], prefix: str) -> bool:
    return bool(names) and all(name.startswith(prefix) for name in names)
