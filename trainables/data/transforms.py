"""One random view of a training image and its label together: scale, crop, flips, colour jitter, padding.

torchvision's functional transforms rather than albumentations: already required here, and maintained.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, float32, int64
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from trainables.config import Recipe

MEAN = (0.485, 0.456, 0.406)  # ImageNet, of RGB in [0, 1]
STD = (0.229, 0.224, 0.225)
PAD_COLOUR = [round(255 * mean) for mean in MEAN]  # normalises to about 0


class Axis(NamedTuple):
    """Along one side, in pixels: source[start : start + length] is resized to `size`, then padded to the crop."""

    start: int
    length: int
    size: int


def augment(
    image: UInt8[Tensor, "3 height width"],
    label: UInt8[Tensor, "height width"],
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    ignore_index: int,
) -> tuple[UInt8[Tensor, "3 crop_height crop_width"], Int64[Tensor, "crop_height crop_width"]]:
    """Scale by s ~ uniform[scale_min, scale_max], pad at the bottom and right where smaller than the crop, crop
    uniformly, flip.

    Only the source window behind the crop is resized; it is whole pixels, so the scale along a side is s to within
    half a source pixel in the window's length. Images are bilinear with antialiasing, labels nearest (no id appears
    that was not there). Padding is the ImageNet mean colour and `ignore_index`; flips turn the padding too. The
    results may share memory with the inputs.

    Eight numbers are drawn from `rng` whatever the recipe: two recipes that differ in jitter alone see the same crops.
    """
    scale, top, left, flip_horizontal, flip_vertical, *jitter = rng.random(8)
    s = recipe.scale_min + scale * (recipe.scale_max - recipe.scale_min)
    rows = choose_axis(label.shape[0], recipe.crop_height, s, top)
    columns = choose_axis(label.shape[1], recipe.crop_width, s, left)
    image = _resize(image, rows, columns, InterpolationMode.BILINEAR)
    image = _jitter(image, recipe.color_jitter, jitter)
    label = _resize(label[None], rows, columns, InterpolationMode.NEAREST_EXACT)  # NEAREST is off by half a pixel
    margin = [0, 0, recipe.crop_width - columns.size, recipe.crop_height - rows.size]
    image, label = F.pad(image, margin, fill=PAD_COLOUR), F.pad(label, margin, fill=ignore_index)
    if flip_horizontal < recipe.flip_horizontal:
        image, label = F.horizontal_flip(image), F.horizontal_flip(label)
    if flip_vertical < recipe.flip_vertical:
        image, label = F.vertical_flip(image), F.vertical_flip(label)
    return image, label[0].to(int64)


def choose_axis(length: int, crop: int, scale: float, where: float) -> Axis:
    """The source window behind a crop along one side.

    Args:
        length: of the source, pixels.
        crop: of the result, pixels.
        scale: result pixels for each source pixel.
        where: in [0, 1), chooses among the windows that fit.
    """
    window = round(crop / scale)
    if window > length:
        return Axis(0, length, min(crop, max(1, round(length * scale))))
    return Axis(int(where * (length - window + 1)), window, crop)


def _resize(planes: Tensor, rows: Axis, columns: Axis, interpolation: InterpolationMode) -> Tensor:
    window = F.crop(planes, rows.start, columns.start, rows.length, columns.length)
    return F.resize(window, [rows.size, columns.size], interpolation=interpolation, antialias=True)


def _jitter(image: Tensor, strength: float, draws: list[float]) -> Tensor:
    """Brightness, contrast and saturation, in this order, each times a factor uniform in 1 -+ strength."""
    if strength == 0:
        return image
    for adjust, draw in zip((F.adjust_brightness, F.adjust_contrast, F.adjust_saturation), draws, strict=True):
        image = adjust(image, 1 + strength * (2 * draw - 1))
    return image


def normalize(images: UInt8[Tensor, "batch 3 height width"]) -> Float32[Tensor, "batch 3 height width"]:
    """(RGB/255 - mean) / std with ImageNet's numbers, on the images' device and without waiting for it: constants go
    in as numbers of the kernels, not as tensors to be copied there."""
    scaled = images.to(float32)  # always a copy: the input is uint8
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        scaled[:, channel].mul_(1 / (255 * std)).sub_(mean / std)
    return scaled
