"""From a name to a frozen teacher that speaks of the data set's classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trainables import own
from trainables.bands import RGB, Bands
from trainables.errors import TeacherError, unknown
from trainables.models.licences import licences
from trainables.models.own import build_own
from trainables.models.ready import files, hf, hub, libraries
from trainables.models.ready.classes import ClassTable, match
from trainables.models.ready.foreign import Foreign
from trainables.models.ready.wrapper import Wrapped
from trainables.models.segmodel import SegModel
from trainables.sources import Source, parse


class Origin(NamedTuple):
    """Where a teacher is from, for its record.

    Attributes:
        files: SHA-256 by file name.
        commit: of the hub, where it is from there.
        licence: of the weights, as their source states it; "unknown" where it states none.
    """

    files: dict[str, str]
    commit: str | None
    licence: str


def load(
    name: str,
    *,
    classes: Sequence[str],
    bands: Bands = RGB,
    wanted: str | Mapping[str, Any] | None = None,
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> SegModel:
    """The network in eval mode, without gradients, on the CPU.

    Args:
        name: for which `sources.is_ready` holds.
        classes, bands: the data set's.
        wanted, synonyms: how its classes are matched with them, see `classes.match`.

    Raises:
        TeacherError, CheckpointError, ModelError, MissingExtra: it cannot be had, or its classes or channels do not
            fit.
    """
    source = parse(name)
    if source.kind == "ready":
        made = build_own(source.place, num_classes=len(classes), channels=bands.channels)
        return made.eval().requires_grad_(False)
    network = _foreign(source, name)
    if network.channels != bands.channels:
        raise TeacherError(
            f"{name!r} takes images of {network.channels} channels, but the data set has {bands.channels}. Name a "
            "teacher that is trained on it, such as deeplabv3:resnet18, or one of as many channels."
        )
    table: ClassTable | None = None
    if network.num_classes:
        table = match(classes, network.names, wanted, synonyms or {}, num_theirs=network.num_classes, teacher=name)
    plain = table is not None and table.is_identity and _is_asked_as_it_is(network, bands)
    if isinstance(network, libraries.Ours) and plain:
        return network.model.eval().requires_grad_(False)
    try:
        return Wrapped(network, table, bands).eval().requires_grad_(False)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TeacherError(f"{name!r} cannot be asked about an image of 64x64: {reason}") from None


def _is_asked_as_it_is(network: Foreign, bands: Bands) -> bool:
    """Whether its images are prepared as the data set's are."""
    pixels = network.pixels
    return pixels is None or ((*pixels.mean,), (*pixels.std,), pixels.scale) == (bands.mean, bands.std, 255.0)


def origin(name: str) -> Origin:
    """What its record says; hashes all its files.

    Raises:
        TeacherError: as `load`.
    """
    source = parse(name)
    if source.kind == "ready":
        found = own.load(source.place, wanted="a network", accepts=callable, error=TeacherError)
        return Origin(hub.hashes(Path(inspect.getfile(found))), None, "unknown")
    if source.kind == "torchvision":
        network = libraries.build_torchvision(source.place)
        place = libraries.torchvision_file(source.place)
        return Origin(hub.hashes(place) if place.is_file() else {}, None, network.licence)
    path = _path(source, name)
    if path is None:
        return Origin({}, None, licences(name).weights)
    return Origin(hub.hashes(path), hub.commit(path), hub.licence(path if path.is_dir() else path.parent))


def shipped(kind: str) -> Path:
    """The weights of a teacher that comes with the embedded data.

    Raises:
        TeacherError: there is no such one.
    """
    known = {path.stem: path for path in sorted((Path(__file__).parent / "earth").glob("*.safetensors"))}
    if kind not in known:
        raise TeacherError(unknown("teacher of earth", kind, known))
    return known[kind]


def _path(source: Source, name: str) -> Path | None:
    if source.kind in ("hf", "smp"):
        return hub.folder_of(source.place, source.detail, name)
    if source.kind == "earth":
        return shipped(source.place)
    path = Path(source.place).expanduser()
    return path if source.kind == "file" or path.is_dir() else None


def _foreign(source: Source, name: str) -> Foreign:
    if source.kind == "torchvision":
        return libraries.load_torchvision(source.place)
    if source.kind == "timm":
        return libraries.load_timm(source.place)
    path = _path(source, name)
    assert path is not None
    if source.kind in ("file", "earth"):
        return files.load(path, source.detail, name)
    return hf.load(path, name) if source.kind == "hf" else libraries.load_smp(path, name)
