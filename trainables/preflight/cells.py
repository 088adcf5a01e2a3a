"""Whether a training crop is large enough for its network's normalisation to hold for whole images."""

from __future__ import annotations

from collections.abc import Iterable

from torch.nn.modules.batchnorm import _BatchNorm

from trainables.config import TrialConfig
from trainables.data import banded
from trainables.data.dataset import SegDataset
from trainables.models.build import build
from trainables.models.segmodel import SegModel
from trainables.recipe import STRIDE
from trainables.sources import is_ready

LEAST = 4
"""Cells a side of the deepest map. Of fewer, most are at the border, and means over a crop, which BatchNorm and
squeeze-and-excite take, are of other content than those over a whole image. Measured on `earth` (images of 128 pixels)
with FPN-MobileNetV3-S: 19 % mIoU after 800 steps on crops of 64, 42 % after 400 on crops of 128."""
_LOOKED_AT = 8  # images


def too_small(config: TrialConfig, built: dict[str, SegModel], dataset: SegDataset) -> dict[str, str]:
    """By network, a sentence on its training crops, where they are too small for what it is scored on.

    None under `eval_mode: slide`, whose windows are of the crop's size; for a network without BatchNorm; and where no
    image is larger than the crop.
    """
    if config.eval_mode == "slide":
        return {}
    crops = {config.student: (config.crop_height, config.crop_width)}
    if config.trains_teacher:
        recipe = config.teacher_recipe
        crops = {config.teacher: (recipe.crop_height, recipe.crop_width), **crops}
    elif config.reads("teacher") and not config.is_taught:
        crops[config.teacher] = crops[config.student]  # trained along
    found = {name: (_sentence(name, built[name], crop), crop) for name, crop in crops.items()}
    return {name: text for name, (text, crop) in found.items() if text and _exceed(dataset, crop)}


def notes(configs: Iterable[TrialConfig], dataset: SegDataset) -> list[str]:
    """The sentences on all networks of these trials, which are built for it, each once.

    Raises:
        ModelError: a network that cannot be built.
    """
    built: dict[str, SegModel] = {}
    found: dict[str, str] = {}
    for config in configs:
        for name in (config.student, config.teacher) if config.reads("teacher") else (config.student,):
            if name not in built and not is_ready(name):
                built[name] = build(name, num_classes=dataset.num_classes, channels=dataset.bands.channels)
        found |= too_small(config, built, dataset)
    return [*found.values()]


def _sentence(name: str, model: SegModel, crop: tuple[int, int]) -> str:
    stride = max((tap.stride for tap in model.taps.values()), default=STRIDE)
    if min(crop) >= LEAST * stride or not _normalises(model.modules()):
        return ""
    rows, columns = (-(-side // stride) for side in crop)
    return (
        f"{name} has {rows}x{columns} cells at its deepest on a crop of {crop[0]}x{crop[1]}: its BatchNorm and "
        f"squeeze-and-excite statistics will not hold for whole images, so scores will be too low. Take crops of "
        f"{LEAST * stride}x{LEAST * stride} or more (crop_height, crop_width), or set eval_mode to slide."
    )


def _normalises(modules: Iterable[object]) -> bool:
    return any(isinstance(module, _BatchNorm) for module in modules)


def _exceed(dataset: SegDataset, crop: tuple[int, int]) -> bool:
    """Whether one of the first images of the validation split is larger."""
    sizes = (banded.header(sample.image, dataset.bands).size for sample in dataset.samples("val")[:_LOOKED_AT])
    return any(height > crop[0] or width > crop[1] for height, width in sizes)
