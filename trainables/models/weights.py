"""ImageNet weights of an encoder from a local file, for machines without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.models import adapt_input_conv, load_state_dict
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


def adapted(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """An encoder's weights for images of other channels, as timm and segmentation-models-pytorch make them: those of
    the first convolution are summed for one channel, else repeated and scaled by 3 / channels. What fits stays.

    Args:
        own: of the encoder that is to be filled.
    """

    def one(name: str, value: Tensor) -> Tensor:
        wanted = own[name].shape if name in own else value.shape
        reads_rgb = value.ndim == 4 and value.shape[1] == 3 and value.shape[:1] == wanted[:1]
        return adapt_input_conv(channels, value) if reads_rgb and value.shape != wanted else value

    return {name: one(name, value) for name, value in tensors.items()}


def overlay(encoder: str, tensors: dict[str, Tensor], channels: int) -> dict[str, Any]:
    """What timm is told of local weights; weights of as many channels as the images have are taken as they are.

    Raises:
        ValueError: they are of another number, neither that nor 3.
    """
    known: Any = timm.get_pretrained_cfg(encoder.removeprefix("tu-"), allow_unregistered=True)
    first = getattr(known, "first_conv", None)
    weight = tensors.get(f"{first}.weight") if isinstance(first, str) else None
    if weight is None or weight.ndim != 4 or weight.shape[1] == 3 or channels == 3:
        return {"state_dict": tensors}
    if weight.shape[1] != channels:
        raise ValueError(f"the weights are of {weight.shape[1]} channels, but the images have {channels}.")
    return {"state_dict": tensors, "first_conv": None}


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
