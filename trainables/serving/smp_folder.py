"""A trained student as segmentation-models-pytorch holds it: a folder that its own `from_pretrained` opens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Real
from torch import Tensor

from trainables.bands import RGB, Bands
from trainables.config import TrialConfig
from trainables.data.transforms import normalize, to_stride
from trainables.errors import ModelError
from trainables.kept import atomic
from trainables.models.build import library_model
from trainables.models.segmodel import SegModel
from trainables.scoring.evaluate import predict

PREPARED = "preprocessor_config.json"
FILES = ("config.json", "model.safetensors", PREPARED)
_WITHIN = 1e-4  # of the largest logit


class Agreement(NamedTuple):
    """How the folder, opened again, compares with the network on whole images.

    Attributes:
        max_abs_diff: of the logits at their own stride.
        pixels: share with the same class at the image's size. It may be below 1 where the network upsamples its logits:
            the library aligns corners, evaluation here does not unless `align_corners` says so.
        num_images: that were tried.
    """

    max_abs_diff: float
    pixels: float
    num_images: int


@atomic.outside_a_sweep()
def write(
    student: SegModel,
    config: TrialConfig,
    images: Sequence[Real[Tensor, "channels height width"]],
    out: Path,
    *,
    classes: Sequence[str],
    bands: Bands = RGB,
) -> Agreement:
    """Write FILES, open them again and compare.

    Args:
        student: the network of `config.student`, on the CPU; set to eval mode.
        images: at least one, as stored.
        out: the folder.
        classes: names, in the order of their ids.
        bands: of the images.

    Raises:
        ModelError: the library has no such network, or what it opens says otherwise.
        Interrupted: the disk is full.
    """
    import segmentation_models_pytorch as smp

    whole = library_model(config.student, num_classes=len(classes), channels=bands.channels)
    whole.load_state_dict(as_smp(student.state_dict()))
    out.mkdir(parents=True, exist_ok=True)
    whole.save_pretrained(out)
    atomic.write_text(out / PREPARED, json.dumps(prepared(bands, classes), indent=2) + "\n")
    return _compared(student.eval(), smp.from_pretrained(str(out)).eval(), config, images, bands)


def as_smp(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a SegModel by the library's names: the head is the first part of its segmentation head."""
    head = "head."
    return {
        f"segmentation_head.0.{name.removeprefix(head)}" if name.startswith(head) else name: tensor
        for name, tensor in tensors.items()
    }


def prepared(bands: Bands, classes: Sequence[str]) -> dict[str, Any]:
    """How images are prepared, in the words of the hub's image processors, and what the classes are called."""
    return {
        "do_rescale": True,
        "rescale_factor": 1 / bands.scale,
        "do_normalize": True,
        "image_mean": [*bands.mean],
        "image_std": [*bands.std],
        "do_resize": False,
        "do_pad": True,
        "size_divisor": 32,
        "id2label": {str(number): name for number, name in enumerate(classes)},
    }


@torch.no_grad()
def _compared(ours: SegModel, theirs: Any, config: TrialConfig, images: Sequence[Tensor], bands: Bands) -> Agreement:
    """Raises:
    ModelError: the logits are not the same.
    """
    whole = config.model_copy(update={"eval_mode": "whole", "device": "cpu"})
    most, same, total = 0.0, 0, 0
    for image in images:
        height, width = image.shape[-2:]
        pixels = to_stride(normalize(image[None], bands))
        expected = ours(pixels).logits
        found = theirs.segmentation_head[0](theirs.decoder(theirs.encoder(pixels)))
        most = max(most, float((found - expected).abs().max()))
        if not most <= _WITHIN * float(expected.abs().max()):
            raise ModelError(
                f"{config.student!r} as segmentation-models-pytorch opens it has logits that differ by {most:.1e}. "
                "Leave --hub out."
            )
        ids = theirs(pixels)[..., :height, :width].argmax(dim=1)
        same += int((ids == predict(ours, image[None], whole, bands).argmax(dim=1)).sum())
        total += height * width
    return Agreement(most, same / total, len(images))
