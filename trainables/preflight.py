"""Everything a trial could stumble over, tried once in the driver before any worker starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.errors import ModelError
from trainables.models.build import build
from trainables.models.cost import Cost, cost
from trainables.models.latency import latency_ms
from trainables.models.segmodel import SegModel
from trainables.models.taps import check_tap
from trainables.teachers import load_teacher


class Preflight(NamedTuple):
    """The data set's content hash, and what each network of the trials costs at the training crop."""

    data_digest: str
    costs: dict[str, dict[str, float]]


def preflight(configs: Iterable[TrialConfig], *, timed: bool = False) -> Preflight:
    """Open and verify the data, build every network, compare every pair's taps.

    Args:
        configs: one of each kind of trial (teacher, student, tap), all on one data set.
        timed: measure each network's latency here too.

    Raises:
        DataError, ModelError, TeacherError: what the first trial would have failed with.
    """
    configs = list(configs)
    dataset = open_dataset(configs[0].data)
    verify(dataset)
    built: dict[str, SegModel] = {}
    for config in configs:
        for name in (config.student, config.teacher) if config.reads("teacher") else (config.student,):
            if name not in built:
                built[name] = build(name, num_classes=dataset.num_classes)
        if config.reads("projector_tap"):
            check_tap(config, student=built[config.student], teacher=built[config.teacher])
        if config.reads("teacher") and config.teacher_checkpoint is not None:
            load_teacher(config, dataset=dataset)
    times = {name: latency_ms(model, configs[0]) for name, model in built.items()} if timed else {}
    costs = {name: _cost(name, model, configs[0])._asdict() for name, model in built.items()}
    return Preflight(
        dataset.digest(),
        {name: found | ({"latency_ms": times[name]} if timed else {}) for name, found in costs.items()},
    )


def _cost(name: str, model: SegModel, config: TrialConfig) -> Cost:
    """Also the proof that the network takes the training crop; some encoders want multiples of more than 32."""
    try:
        return cost(model, height=config.crop_height, width=config.crop_width)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name!r} takes no {config.crop_height}x{config.crop_width} crop: {reason}") from None
