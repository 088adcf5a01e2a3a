"""ImageNet weights of an encoder from a local file, for machines without a network."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.models import load_state_dict
from torch import Tensor

from trainables.errors import ModelError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def read_encoder(encoder: str, where: str) -> dict[str, Tensor]:
    """The tensors of an encoder; a pickle is read by torch with `weights_only`.

    Args:
        encoder: its name in segmentation-models-pytorch, or timm's with the prefix `tu-`.
        where: a file, or a folder that holds <encoder>.safetensors, .pth, .pt or .bin.

    Raises:
        ModelError: no such file, no weights in it, or (timm) weights of another network.
    """
    path = _file(encoder, Path(where).expanduser())
    try:
        tensors = load_state_dict(str(path))
    except (AttributeError, OSError, RuntimeError, SafetensorError, UnpicklingError, ValueError) as error:
        # AttributeError: no mapping; UnpicklingError: torch 2.6 says so where 2.13 says RuntimeError
        raise ModelError(f"{path} holds no weights: {' '.join(str(error).split())[:200]}") from None
    if encoder.startswith("tu-"):
        _check_timm(encoder, tensors, path)
    return tensors


def _file(encoder: str, path: Path) -> Path:
    if path.is_file():
        return path
    found = [file for suffix in SUFFIXES if (file := path / f"{encoder}{suffix}").is_file()]
    if not found:
        raise ModelError(
            f"encoder_weights {str(path)!r} is no file and holds no {encoder}{SUFFIXES[0]}. Give its weights, "
            f"or a folder with {encoder} and one of {', '.join(SUFFIXES)}."
        )
    return found[0]


def _check_timm(encoder: str, tensors: dict[str, Tensor], path: Path) -> None:
    """timm takes what fits and says nothing of the rest."""
    with torch.device("meta"):
        whole = timm.create_model(encoder.removeprefix("tu-"))
    known: Any = whole.pretrained_cfg
    heads = known.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    needed = (name for name in whole.state_dict() if not name.startswith(heads))
    if lacking := [name for name in needed if name not in tensors]:
        raise ModelError(
            f"{path} lacks {len(lacking)} tensors of {encoder!r}, such as {lacking[0]!r}. Give the state_dict of "
            f"timm.create_model({encoder.removeprefix('tu-')!r}, pretrained=True)."
        )
