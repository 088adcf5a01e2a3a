"""Under which licences a network comes, as each source states it. No advice: read the terms themselves."""

from __future__ import annotations

from typing import NamedTuple

import segmentation_models_pytorch as smp
import timm

from trainables.models.build import is_own
from trainables.sources import is_ready, parse

UNKNOWN = "unknown"
NVIDIA = "NVIDIA Source Code License, non-commercial"
_IMAGENET = "ImageNet: research and education only"
_TIMM_ENCODER = "MIT (segmentation-models-pytorch), Apache-2.0 (timm)"
_LIBRARIES = {
    "hf": "Apache-2.0 (transformers)",
    "smp": "MIT (segmentation-models-pytorch)",
    "torchvision": "BSD-3-Clause (torchvision)",
    "timm": "Apache-2.0 (timm)",
}


class Licences(NamedTuple):
    """Attributes:
    code: of the network's code.
    weights: of the encoder's published ImageNet weights, or of a ready teacher's.
    data: of what those were trained on.
    """

    code: str
    weights: str
    data: str


def licences(model: str) -> Licences:
    """By a network's name; the weights of a ready one are looked at only where they are named with their licence."""
    if is_ready(model):
        kind, place, _ = parse(model)
        if kind == "earth":
            return Licences(_TIMM_ENCODER, "Apache-2.0", "NASA Blue Marble and MODIS: free to reuse")
        weights = _by_timm(place) if kind == "timm" else UNKNOWN
        return Licences(_LIBRARIES.get(kind, UNKNOWN), weights, UNKNOWN)
    if is_own(model):
        return Licences(UNKNOWN, UNKNOWN, UNKNOWN)
    encoder = model.partition(":")[2]
    if encoder.startswith("tu-"):
        stated = _by_timm(encoder.removeprefix("tu-"))
        return Licences(_TIMM_ENCODER, stated, _IMAGENET)
    if encoder.startswith("mit_"):  # the header of segmentation-models-pytorch's mix_transformer.py
        return Licences(f"MIT (segmentation-models-pytorch); encoder: {NVIDIA}", NVIDIA, _IMAGENET)
    return Licences("MIT (segmentation-models-pytorch)", UNKNOWN, _IMAGENET)


def published_encoder(model: str) -> str | None:
    """The hub's repository of a network's ImageNet weights of the encoder; None where there is none."""
    if is_ready(model) or is_own(model):
        return None
    encoder = model.partition(":")[2]
    if encoder.startswith("tu-"):
        config = timm.get_pretrained_cfg(encoder.removeprefix("tu-"), allow_unregistered=True)
        return str(found) if (found := getattr(config, "hf_hub_id", None)) else None
    known = smp.encoders.encoders.get(encoder, {}).get("pretrained_settings", {}).get("imagenet", {})
    return known.get("repo_id")


def _by_timm(name: str) -> str:
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return str(getattr(config, "license", None) or UNKNOWN)
