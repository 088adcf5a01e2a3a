"""One random view of a training image and its label together: scale, crop, flips, colour jitter, padding.

In three steps, since they need not happen in one place: `draw` says what the view is, `cut` takes the pixels behind it,
`finish` makes the crop of them, on whatever device they are by then.

torchvision's functional transforms rather than albumentations: already required here, and maintained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Real, Shaped, UInt8
from torch import Size, Tensor, float32
from torch.nn.functional import pad
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from trainables.bands import RGB, Bands
from trainables.recipe import STRIDE, Recipe

PAD_COLOUR = RGB.fill  # normalises to about 0


class Axis(NamedTuple):
    """Along one side, in pixels: source[start : start + length] is resized to `size`, then padded to the crop."""

    start: int
    length: int
    size: int


class Draw(NamedTuple):
    """What was drawn for a view.

    Attributes:
        jitter: factors of brightness, contrast and saturation; none: they stay.
    """

    rows: Axis
    columns: Axis
    flip_horizontal: bool
    flip_vertical: bool
    jitter: tuple[float, ...]


class Cut(NamedTuple):
    """The source window behind a view, and what is to be made of it."""

    image: Real[Tensor, "channels height width"]
    ids: UInt8[Tensor, "height width"]
    drawn: Draw


def augment(
    image: Real[Tensor, "channels height width"],
    ids: UInt8[Tensor, "height width"],
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    pad_id: int,
    bands: Bands = RGB,
) -> tuple[Real[Tensor, "channels crop_height crop_width"], UInt8[Tensor, "crop_height crop_width"]]:
    """Scale by s ~ uniform[scale_min, scale_max], pad at the bottom and right where smaller than the crop, crop
    uniformly, flip. The results may share memory with the inputs.
    """
    return finish(cut(image, ids, draw(ids.shape, recipe, rng)), recipe, pad_id=pad_id, bands=bands)


def draw(size: Size, recipe: Recipe, rng: np.random.Generator) -> Draw:
    """A view of an image of this height and width.

    Only the source window behind the crop will be resized; it is whole pixels, so the scale along a side is s to within
    half a source pixel in the window's length.

    Eight numbers are drawn from `rng` whatever the recipe: two recipes that differ in jitter alone see the same crops.
    """
    scale, top, left, flip_horizontal, flip_vertical, *jitter = rng.random(8).tolist()
    s = recipe.scale_min + scale * (recipe.scale_max - recipe.scale_min)
    return Draw(
        choose_axis(size[0], recipe.crop_height, s, top),
        choose_axis(size[1], recipe.crop_width, s, left),
        flip_horizontal < recipe.flip_horizontal,
        flip_vertical < recipe.flip_vertical,
        tuple(1 + recipe.color_jitter * (2 * one - 1) for one in jitter) if recipe.color_jitter else (),
    )


def cut(image: Real[Tensor, "channels height width"], ids: UInt8[Tensor, "height width"], drawn: Draw) -> Cut:
    """The window, without a copy."""
    rows, columns = (slice(axis.start, axis.start + axis.length) for axis in (drawn.rows, drawn.columns))
    return Cut(image[:, rows, columns], ids[rows, columns], drawn)


def finish(
    taken: Cut, recipe: Recipe, *, pad_id: int, bands: Bands = RGB
) -> tuple[Real[Tensor, "channels crop_height crop_width"], UInt8[Tensor, "crop_height crop_width"]]:
    """Resize, jitter, flip and pad, on the window's device and without waiting for it.

    Images are bilinear with antialiasing, labels nearest (no id appears that was not there). Padding is the bands' mean
    (of RGB ImageNet's mean colour) and `pad_id`; flips turn the padding too. CUDA rounds a resized value otherwise than
    the CPU now and then, by 1/255; jitter may widen that by its factors.
    """
    drawn = taken.drawn
    image = _jitter(_resize(taken.image, drawn, InterpolationMode.BILINEAR), drawn.jitter)
    ids = _resize(taken.ids[None], drawn, InterpolationMode.NEAREST_EXACT)  # NEAREST is off by half a pixel
    return _placed(image, drawn, recipe, bands.fill), _placed(ids, drawn, recipe, [pad_id])[0]


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


def _resize(planes: Tensor, drawn: Draw, interpolation: InterpolationMode) -> Tensor:
    return F.resize(planes, [drawn.rows.size, drawn.columns.size], interpolation=interpolation, antialias=True)


def _jitter(image: Tensor, factors: Sequence[float]) -> Tensor:
    """Brightness, contrast and saturation, in this order."""
    for adjust, factor in zip((F.adjust_brightness, F.adjust_contrast, F.adjust_saturation), factors, strict=False):
        image = adjust(image, factor)
    return image


def _placed(planes: Tensor, drawn: Draw, recipe: Recipe, colour: Sequence[int | float]) -> Tensor:
    """Flipped, in the corner of the crop that is the flipped upper left one; `colour` elsewhere."""
    turned = [axis for axis, turns in ((1, drawn.flip_vertical), (2, drawn.flip_horizontal)) if turns]
    flipped = planes.flip(turned) if turned else planes
    height, width = recipe.crop_height, recipe.crop_width
    if planes.shape[1:] == (height, width):
        return flipped
    crop = planes.new_empty(len(colour), height, width)
    for plane, value in zip(crop, colour, strict=True):
        plane.fill_(value)  # F.pad makes a tensor of the colour, and CUDA waits for its copy
    rows = _corner(drawn.rows.size, height, drawn.flip_vertical)
    crop[:, rows, _corner(drawn.columns.size, width, drawn.flip_horizontal)] = flipped
    return crop


def _corner(size: int, crop: int, turned: bool) -> slice:
    return slice(crop - size, crop) if turned else slice(0, size)


def to_stride(
    planes: Shaped[Tensor, "*batch height width"], value: int = 0
) -> Shaped[Tensor, "*batch padded_height padded_width"]:
    """Padded below and right to sides that are multiples of STRIDE; the same tensor where they are."""
    height, width = planes.shape[-2:]
    margin = (0, -width % STRIDE, 0, -height % STRIDE)
    return pad(planes, margin, value=value) if any(margin) else planes


def normalize(
    images: Real[Tensor, "batch channels height width"], bands: Bands = RGB
) -> Float32[Tensor, "batch channels height width"]:
    """(value / scale - mean) / std, of RGB (RGB/255 - mean) / std with ImageNet's numbers, on the images' device and
    without waiting for it: constants go in as numbers of the kernels, not as tensors to be copied there."""
    assert images.shape[1] == len(bands.mean), f"{images.shape[1]} channels, but {len(bands.mean)} are known"
    scaled = images.to(float32, copy=True)
    for channel, (mean, std) in enumerate(zip(bands.mean, bands.std, strict=True)):
        scaled[:, channel].mul_(1 / (bands.scale * std)).sub_(mean / std)
    return scaled
