"""The teacher cache: what a frozen teacher says of a fixed bank of views, computed once and kept on disk in fp16.

Another protocol than fresh crops (`views`), so off unless asked for. A folder belongs to one teacher, data set and
bank. In it are the entries (`entries.py`) of the logits and of each tap that some method has read, by view: image *
views + view. Whichever trial meets an image first fills in all its views, for all trials and sweeps.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32
from torch import Tensor

from trainables import own
from trainables.config import TrialConfig, digest
from trainables.data.bank import bank_images, bank_views
from trainables.data.dataset import SegDataset
from trainables.data.transforms import normalize, to_stride
from trainables.device import memory_format, pick_device, send
from trainables.errors import ConfigError, Interrupted
from trainables.guidance.entries import Entries, Shape, entry_bytes, num_written
from trainables.kept.cache import default_cache
from trainables.models.build import is_own
from trainables.models.segmodel import Features, SegModel

VIEWS_A_FORWARD = 8
"""Fixed, since rounding depends on it, and what is stored must not depend on which trial came first."""
_LARGEST = float(np.finfo(np.float16).max)  # 65504
_FORMAT = 1  # part of the folder's name: to be raised where the files, or the views of a bank, become others
_LOGITS = "logits"
_BANK = (
    *("views", "crop_height", "crop_width", "scale_min", "scale_max", "flip_horizontal", "flip_vertical"),
    "color_jitter",
)


class Layout(NamedTuple):
    """What a cache holds once it is full. Known before anything is computed.

    Attributes:
        shapes: of one entry of each output, by its name: channels, height, width.
    """

    num_images: int
    views: int
    shapes: dict[str, Shape]

    @property
    def num_entries(self) -> int:
        return self.num_images * self.views

    def size(self) -> int:
        """Bytes of all files, as they are listed; on disk, what is not yet written takes no room."""
        return sum(self.num_entries * entry_bytes(shape) for shape in self.shapes.values())

    def missing(self, folder: Path) -> dict[Path, int]:
        """Bytes that are still to be written there, by output."""
        return {
            folder / name: (self.num_entries - num_written(folder / name)) * entry_bytes(shape)
            for name, shape in self.shapes.items()
        }


def layout(config: TrialConfig, *, teacher: SegModel, num_images: int, num_classes: int) -> Layout:
    """At the networks' own strides: the logits, and the tap where the method reads one.

    Args:
        teacher: its weights do not matter.
        num_images: see `bank.bank_images`.
    """
    assert config.views is not None

    def shape(channels: int, stride: int) -> Shape:
        height, width = config.padded_crop
        return channels, height // stride, width // stride

    shapes = {_LOGITS: shape(num_classes, teacher.stride)}
    if config.reads("projector_tap"):
        shapes[config.projector_tap] = shape(*teacher.taps[config.projector_tap])
    return Layout(num_images, config.views, shapes)


def cache_size(config: TrialConfig, *, teacher: SegModel, num_images: int, num_classes: int) -> int:
    """Bytes of a full cache; arguments as for `layout`."""
    return layout(config, teacher=teacher, num_images=num_images, num_classes=num_classes).size()


def cache_folder(config: TrialConfig, *, teacher: SegModel, dataset: SegDataset, cache: Path | None = None) -> Path:
    """Named by what determines the entries: the teacher's weights and code, the data, the bank and the precision.

    Seconds for a large teacher: all its weights are hashed.
    """
    device = pick_device(config).type
    content = {
        "format": [_FORMAT, VIEWS_A_FORWARD],
        "teacher": [config.teacher, _weights_digest(teacher)],
        "code": own.fingerprint(config.teacher) if is_own(config.teacher) else None,
        **({"classes": repr(teacher.table)} if getattr(teacher, "table", None) is not None else {}),
        "data": dataset.digest(),
        "bank": {name: getattr(config, name) for name in _BANK},
        **({"unlabelled": True} if config.num_unlabelled else {}),
        "device": [device, config.amp] if device == "cuda" else [device, config.num_threads],
    }
    name = re.sub(r"[^\w.-]+", "-", config.teacher)[-80:]
    return _root(cache) / f"{name}-{digest(content)}"


def describe(
    config: TrialConfig, *, teacher: SegModel, dataset: SegDataset, others: dict[Path, int], cache: Path | None = None
) -> str:
    """One sentence on what the cache is and will take, to be said before a sweep starts.

    Args:
        teacher: as it will teach; one whose weights are not there yet counts as one of which nothing is written.
        others: bytes still to be written for the sweep's other caches, by output; this one's are added.
        cache: as for `TeacherCache`.

    Raises:
        Interrupted: less is free than is still to be written for all of them.
    """
    num_images = bank_images(dataset, config)
    full = layout(config, teacher=teacher, num_images=num_images, num_classes=dataset.num_classes)
    folder = cache_folder(config, teacher=teacher, dataset=dataset, cache=cache)
    own_missing = full.missing(folder)
    others |= own_missing
    _check_room(config, sum(others.values()), folder)
    size, missing, free = full.size(), sum(own_missing.values()), _free(folder)
    written = "" if missing == size else f", of which {_size(size - missing)} are there,"
    return (
        f"teacher cache of {config.teacher}: {num_images} images x {full.views} views, {_size(size)}{written} under "
        f"{folder.parent} ({_size(free)} free); another protocol: fixed views"
    )


class Hits(NamedTuple):
    """Crops that were asked for, and those among them that were there."""

    found: int = 0
    asked: int = 0

    def plus(self, found: int, asked: int) -> Hits:
        return Hits(self.found + found, self.asked + asked)

    def since(self, earlier: Hits) -> Hits:
        return Hits(self.found - earlier.found, self.asked - earlier.asked)

    @property
    def rate(self) -> float | None:
        return self.found / self.asked if self.asked else None


class KeptTaps(dict[str, Tensor]):
    """Taps by name. Asked for another than those that are kept, it says so.

    Raises:
        ConfigError: from `taps[name]`.
    """

    def __missing__(self, name: str) -> Tensor:
        kept = ", ".join(map(repr, self)) or "none"
        raise ConfigError(
            f"The method reads the teacher's tap {name!r}, but of its taps the teacher cache keeps only what "
            f"projector_tap names, here {kept}. Set teacher_cache to false."
        )


class TeacherCache:
    """Answers for the teacher, by entry. What it has not, it asks for once: all views of the image.

    The first answer to an entry is read from the file too, so it and all later ones, in this trial or another, are
    the same bit for bit. Processes that compute one image at once write the same bytes. Entries that are whole are
    never written again.

    Attributes:
        folder: where the files are.
        hits: since it was opened.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        teacher: SegModel,
        dataset: SegDataset,
        ask: Callable[[Float32[Tensor, "views channels H W"]], Features],
        cache: Path | None = None,
    ) -> None:
        """Open the folder, or make it; no entry is computed yet.

        Args:
            teacher: frozen; its weights name the folder.
            ask: the teacher's forward, in the trial's precision.
            cache: the folder in which caches are; none: the user's.

        Raises:
            Interrupted: less is free than is still to be written, or the folder cannot be written.
        """
        num_images = bank_images(dataset, config)
        full = layout(config, teacher=teacher, num_images=num_images, num_classes=dataset.num_classes)
        self.folder = cache_folder(config, teacher=teacher, dataset=dataset, cache=cache)
        _check_room(config, sum(full.missing(self.folder).values()), self.folder)
        self._outputs = {
            name: Entries(self.folder / name, shape, full.num_entries) for name, shape in full.shapes.items()
        }
        self._config, self._dataset, self._ask = config, dataset, ask
        self._views = full.views
        self._device = pick_device(config)
        self.hits = Hits()

    def __call__(self, entries: Sequence[int]) -> Features:
        """The teacher's features of a batch, rounded to fp16, given in fp32; taps: only those kept.

        Raises:
            DataError: an image that is missing here cannot be read.
            Interrupted: the disk is full.
        """
        missing = [entry for entry in entries if not all(kept.has(entry) for kept in self._outputs.values())]
        self.hits = self.hits.plus(len(entries) - len(missing), len(entries))
        for image in dict.fromkeys(entry // self._views for entry in missing):
            self._compute(image)
        maps = {name: self._on_device(kept.read(entries, self._device)) for name, kept in self._outputs.items()}
        return Features(maps.pop(_LOGITS), KeptTaps(maps))

    def _on_device(self, maps: Float16[Tensor, "batch channels h w"]) -> Float32[Tensor, "batch channels h w"]:
        there = send(maps, self._device)
        return there.to(torch.float32, memory_format=memory_format(self._config, self._device))

    def _compute(self, image: int) -> None:
        """Store what is missing of an image."""
        views = bank_views(self._dataset, self._config, image)
        for first in range(0, self._views, VIEWS_A_FORWARD):
            images = views[first : first + VIEWS_A_FORWARD].to(self._device)
            pixels = to_stride(normalize(images, self._dataset.bands))
            said = self._ask(pixels.to(memory_format=memory_format(self._config, self._device)))
            for name, kept in self._outputs.items():
                maps = said.logits if name == _LOGITS else said.taps[name]
                kept.add(image * self._views + first, _rounded(maps))


def _rounded(maps: Float[Tensor, "views channels h w"]) -> Float16[np.ndarray, "views channels h w"]:
    """On the host in fp16; what it cannot hold, infinities too, is -65504 or 65504. NaN stays."""
    return maps.float().clamp(-_LARGEST, _LARGEST).to(torch.float16).cpu().contiguous().numpy()


def _weights_digest(model: SegModel) -> str:
    hashed = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return hashed.hexdigest()


def _root(cache: Path | None) -> Path:
    return (cache or default_cache()) / "teacher-cache"


def _check_room(config: TrialConfig, missing: int, folder: Path) -> None:
    if missing > (free := _free(folder)):
        raise Interrupted(
            f"The teacher cache of {config.teacher} needs {_size(missing)} more under {folder.parent}, where "
            f"{_size(free)} are free. Free space, lower views, or set teacher_cache to false."
        )


def _free(folder: Path) -> int:
    """Bytes free to this user on the disk where a folder is, or will be."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.3f} MiB"
