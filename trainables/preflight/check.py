"""Everything a trial could stumble over, tried once in the driver before any worker starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify, verify_folds, verify_unlabelled
from trainables.data.dataset import SegDataset
from trainables.data.folds import parts_of
from trainables.data.loader import check_jitter
from trainables.errors import ModelError
from trainables.guidance.cache import describe
from trainables.kept.cache import check_cache
from trainables.losses.find import find_method, make_criterion
from trainables.models.build import build
from trainables.models.cost import Cost, cost
from trainables.models.latency import latency_ms
from trainables.models.licences import licences
from trainables.models.ready.load import origin
from trainables.models.segmodel import SegModel
from trainables.models.taps import check_tap
from trainables.preflight.cells import too_small
from trainables.sources import is_ready
from trainables.teachers import cached_path, load_ready, load_teacher


class Preflight(NamedTuple):
    """The data set's content hash, what each network of the trials costs at the training crop, what else a user should
    know before they start, and the hashes of the files of teachers that are good already.
    """

    data_digest: str
    costs: dict[str, dict[str, float]]
    notes: list[str]
    files: Mapping[str, dict[str, str]] = MappingProxyType({})


def preflight(configs: Iterable[TrialConfig], *, timed: bool = False) -> Preflight:
    """Open and verify the data, build every network and every pair's criterion.

    Args:
        configs: one of each kind of trial (method, teacher, student, tap), all on one data set.
        timed: measure each network's latency here too.

    Raises:
        DataError, ModelError, TeacherError: what the first trial would have failed with.
        ConfigError: colours are to be jittered in images without; a teacher is to be trained, or to answer from a
            cache, and the cache cannot be written.
        Interrupted: the disk has no room for the teacher cache.
    """
    configs = list(configs)
    dataset = open_dataset(configs[0].data)
    known = [*verify(dataset), *verify_folds(dataset, configs[0])]
    if any(_fills_cache(config, dataset) for config in configs):
        check_cache()
    built: dict[str, SegModel] = {}
    notes: dict[tuple[str, str], str] = {}
    small: dict[str, str] = {}
    classes: dict[str, str] = {}
    to_write: dict[Path, int] = {}
    if wanting := next((config for config in configs if config.num_unlabelled), None):
        verify_unlabelled(dataset, wanting)
    for config in configs:
        _check_crops(config, dataset)
        for name in (config.student, config.teacher) if config.reads("teacher") else (config.student,):
            if name not in built and is_ready(name):
                built[name] = load_ready(config, dataset=dataset)
                classes |= _said(name, built[name])
            elif name not in built:
                local = _weights(config, name)
                of: dict[str, Any] = {"num_classes": dataset.num_classes, "channels": dataset.bands.channels}
                built[name] = build(name, **of, encoder_weights=local)
        _check_pair(config, built, dataset)
        small |= too_small(config, built, dataset)
        if config.is_taught and config.teacher_checkpoint is not None:
            load_teacher(config, dataset=dataset)
        cached = (config.teacher, config.projector_tap if config.reads("projector_tap") else "")
        if config.reads("teacher_cache") and config.teacher_cache and cached not in notes:
            teacher = _teacher(config, built, dataset)
            notes[cached] = describe(config, teacher=teacher, dataset=dataset, others=to_write)
    times = {name: latency_ms(model, configs[0]) for name, model in built.items()} if timed else {}
    costs = {name: _cost(name, model, configs[0])._asdict() for name, model in built.items()}
    return Preflight(
        dataset.digest(),
        {name: found | ({"latency_ms": times[name]} if timed else {}) for name, found in costs.items()},
        [*known, *classes.values(), *notes.values(), *small.values()],
        {name: origin(name).files for name in built if is_ready(name)},
    )


def _check_crops(config: TrialConfig, dataset: SegDataset) -> None:
    check_jitter(config, dataset)
    if config.trains_teacher:
        check_jitter(config.teacher_recipe, dataset)


def _fills_cache(config: TrialConfig, dataset: SegDataset) -> bool:
    """Whether it writes what others read: a teacher that is not there yet, or what a teacher says."""
    if config.reads("teacher_cache") and config.teacher_cache:
        return True
    return config.trains_teacher and not all(
        cached_path(config, dataset=one).exists() for one in parts_of(dataset, config)
    )


def _weights(config: TrialConfig, name: str) -> str | None:
    """Where the trial will read this network's encoder from; a hub is not asked."""
    if name == config.student or not config.is_taught:
        return config.encoder_weights
    return config.teacher_recipe.encoder_weights if config.reads("teacher_recipe") else None


def _teacher(config: TrialConfig, built: dict[str, SegModel], dataset: SegDataset) -> SegModel:
    """As it will teach, if its weights are there already."""
    known = not config.trains_teacher or cached_path(config, dataset=dataset).exists()
    return load_teacher(config, dataset=dataset) if known else built[config.teacher]


def _said(name: str, model: SegModel) -> dict[str, str]:
    """How a ready teacher's classes are matched, where they are not simply the data set's, and its licence."""
    licence = f"licence of {name}: code {licences(name).code}, weights {origin(name).licence}"
    table = getattr(model, "table", None)
    if table is None or table.is_identity:
        return {name: licence}
    lines = "\n  ".join(table.lines())
    left = [table.ours[number] for number in range(len(table.ours)) if number not in table.covered]
    out = f"\nLeft out of every term on logits, since no class of {name} is it: {', '.join(left)}." if left else ""
    return {name: f"{licence}\nclasses of {name}:\n  {lines}{out}"}


def _check_pair(config: TrialConfig, built: dict[str, SegModel], dataset: SegDataset) -> None:
    """A method refuses two networks that it cannot compare when it is built."""
    method = find_method(config.method)
    student, teacher = built[config.student], built[config.teacher] if config.reads("teacher") else None
    if teacher is not None and config.reads("projector_tap"):
        check_tap(config, student=student, teacher=teacher)
    make_criterion(
        config,
        student=student,
        teacher=teacher if method.needs_teacher or method.needs_peer else None,
        num_classes=dataset.num_classes,
        ignore_index=dataset.ignore_index,
    )


def _cost(name: str, model: SegModel, config: TrialConfig) -> Cost:
    """Also the proof that the network takes the training crop; some encoders want multiples of more than 32."""
    try:
        height, width = config.padded_crop
        return cost(model, height=height, width=width, real=is_ready(name))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name!r} takes no {config.crop_height}x{config.crop_width} crop: {reason}") from None
