"""A few training steps on made-up images: how long they take and what they hold, before a sweep decides on either."""

from __future__ import annotations

import gc
import math
import statistics
import time
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.feed import Batch
from trainables.data.transforms import normalize
from trainables.device import memory_bytes, memory_format, pick_device, place, synchronize
from trainables.guidance.guide import Guide
from trainables.loop import losses, parts
from trainables.losses.find import find_method
from trainables.models.build import build
from trainables.models.segmodel import Features, SegModel
from trainables.sources import is_ready
from trainables.state import TrialState
from trainables.teachers import freeze, load_ready

_WARM_UP, _TIMED = 2, 3  # steps
_CPU_SIDE, _CPU_BATCH = 128, 2  # most that is tried on a CPU; time and activations are in proportion to the pixels
_RESERVE = 0.8  # share of a device's memory that is given out: allocators round up, evaluation takes larger images


class StepTime(NamedTuple):
    """Attributes:
    seconds: of a step at the trial's crop and batch; data loading and evaluation are not in it.
    guide_seconds: those of it that the frozen teacher takes, which a group shares.
    scaled: times this, since a smaller step was timed; 1: the step itself was.
    """

    seconds: float
    guide_seconds: float
    scaled: float

    def shared_by(self, students: int) -> float:
        """Seconds of a step of one of so many students of a group."""
        return self.seconds - self.guide_seconds * (1 - 1 / students)


class Footprint(NamedTuple):
    """Bytes that a group holds: `each` for a student's weights and optimiser, `shared` for what is there once: the
    teacher, and the gradients and activations of the one student that is at its step.
    """

    each: int
    shared: int


def step_time(config: TrialConfig, *, dataset: SegDataset) -> StepTime:
    """Median time of a step of this trial: both networks, the losses, backward and the optimiser. Eager: compiling
    takes longer than a dry run should. Of several processes one's, without what they exchange.

    Raises:
        ModelError: a network that cannot be built.
    """
    steps = _Rehearsal(config, dataset)
    taken = [steps.step() for _ in range(_WARM_UP + _TIMED)][_WARM_UP:]
    seconds, guided = (steps.scaled * statistics.median(times) for times in zip(*taken, strict=True))
    return StepTime(seconds, guided, steps.scaled)


def step_gmac(config: TrialConfig, *, dataset: SegDataset) -> float:
    """1e9 multiply-accumulates of a step of this trial: the convolutions and matrix products of the frozen teacher, and
    three times those of what is trained (student, projectors) and of the criterion, for a backward is two forwards.
    All else of a criterion costs time alone.

    The forwards are counted in one that is run; on a CPU a smaller one, scaled by pixels, which is less than the truth
    for attention over pixels.

    Deviation: PyTorch counts backwards too, but those of grouped convolutions several times too high (2.13 for 0.54).

    Raises:
        ModelError: a network that cannot be built.
    """
    steps = _Rehearsal(config, dataset)
    return steps.scaled * steps.gmac()


def footprint(config: TrialConfig, *, dataset: SegDataset) -> Footprint:
    """Measured on CUDA, at a step that samples the terms' gradients, which holds the most; elsewhere added up: weights,
    moments, gradients, and what a forward of one part of a batch keeps, scaled by pixels. Of several processes one's.
    """
    gc.collect()  # of another kind's rehearsal
    others = torch.cuda.memory_allocated() if pick_device(config).type == "cuda" else 0
    steps = _Rehearsal(config, dataset)
    if steps.device.type != "cuda":
        kept = steps.activations()
        steps.step()
        each, gradients = _nbytes(*steps.state.tensors().values()), _nbytes(*steps.state.student.parameters())
        return Footprint(each, gradients + int(steps.scaled_part * kept) + steps.guide_bytes)
    for _ in range(_WARM_UP):
        steps.step()
    torch.cuda.reset_peak_memory_stats()
    steps.step(sample=True)
    each = _nbytes(*steps.state.tensors().values())
    return Footprint(each, max(0, torch.cuda.max_memory_allocated() - others - each))


def students_that_fit(found: list[Footprint], device: torch.device, *, share: float, most: int) -> int:
    """Students of a group, 1 to `most`, in the worst case of what was found.

    Args:
        share: of the device's memory, that a group may take; above 1 counts as 1.
    """
    room = _RESERVE * min(share, 1.0) * memory_bytes(device) - max(one.shared for one in found)
    return max(1, min(most, int(room // max(one.each for one in found))))


class _Rehearsal:
    """Attributes:
    scaled: the pixels of a process's step for each of a smaller step here.
    scaled_part: those of one part of it (`accumulate`) for each of the smaller step's.
    """

    def __init__(self, config: TrialConfig, dataset: SegDataset) -> None:
        num_classes = dataset.num_classes
        self.device = device = pick_device(config)
        torch.set_num_threads(config.num_threads)
        fixed = {"pretrained": False, "encoder_weights": None, "compile": "off"}  # a CUDA graph's memory is not seen
        fixed |= {"feature_share": None}  # with all terms a step takes the most
        own = config.model_copy(update={"batch_size": config.batch_size // config.processes, "processes": 1})
        tried = own.model_copy(update=fixed | _smaller(own, device))
        self.scaled = _pixels(own) / _pixels(tried)
        self.scaled_part = self.scaled * tried.accumulate / own.accumulate
        teacher = _teacher(tried, dataset, device)
        self._guide = None if teacher is None else Guide(teacher, tried)
        copies = 2 if tried.fold_teacher else 1  # the teacher, and the folded one
        self.guide_bytes = 0 if teacher is None else copies * _nbytes(*teacher.state_dict().values())
        self._config = tried
        bands = dataset.bands
        self.state = TrialState.start(
            tried,
            teacher=teacher,
            num_classes=num_classes,
            ignore_index=dataset.ignore_index,
            device=device,
            channels=bands.channels,
        )
        shape = (tried.batch_size, *tried.padded_crop)
        images = torch.randint(256, (shape[0], bands.channels, *shape[1:]), dtype=torch.uint8, device=device)
        pixels = normalize(images, bands).to(memory_format=memory_format(tried, device))
        labels = torch.randint(num_classes, shape, device=device)
        if tried.num_unlabelled:
            labels[: tried.num_unlabelled] = dataset.ignore_index
        real = torch.ones_like(labels, dtype=torch.bool) if tried.sees_unlabelled else None
        self._batch = Batch(pixels, labels, real=real)

    def step(self, *, sample: bool = False) -> tuple[float, float]:
        """Seconds of a step, and of the teacher's part in it.

        Args:
            sample: each term's share of the gradient too, as before a report.
        """
        started = self._now()
        guide = self._guided()
        guided = self._now()
        for part, said in parts(self._batch, guide, self._config.accumulate):
            (self._total(part, said, sample=sample) / self._config.accumulate).backward()
        self.state.optimizer.step()
        self.state.optimizer.zero_grad(set_to_none=True)
        return self._now() - started, guided - started if self._guide else 0.0

    def gmac(self) -> float:
        """1e9 multiply-accumulates of a step here."""
        self.step()  # the first one also folds the teacher
        with FlopCounterMode(display=False) as frozen:
            guide = self._guided()
        with FlopCounterMode(display=False) as trained:
            for part, said in parts(self._batch, guide, self._config.accumulate):
                self._total(part, said)
        return (frozen.get_total_flops() + 3 * trained.get_total_flops()) / 2e9

    def activations(self) -> int:
        """Bytes that a forward keeps for its backward, each storage once; weights are not among them."""
        known = {_storage(tensor) for network in self._modules() for tensor in network.state_dict().values()}
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            if (storage := _storage(tensor)) not in known:
                kept[storage] = tensor.untyped_storage().nbytes()
            return tensor

        with saved_tensors_hooks(note, lambda tensor: tensor):
            total = self._total(self._batch, self._guided())
        del total
        return sum(kept.values())

    def _modules(self) -> list[nn.Module]:
        return [*self.state.networks, self.state.criterion]

    def _guided(self) -> Features | None:
        return self._guide(self._batch) if self._guide else None

    def _total(self, batch: Batch, guide: Features | None, *, sample: bool = False) -> Tensor:
        return losses(self._config, self.state, batch, guide, sample=sample)[1]

    def _now(self) -> float:
        synchronize(self.device)
        return time.perf_counter()


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _nbytes(*tensors: Tensor) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _teacher(config: TrialConfig, dataset: SegDataset, device: torch.device) -> SegModel | None:
    """Untrained, if it is one of ours: what it says takes no longer to say."""
    if not find_method(config.method).needs_teacher:
        return None
    if is_ready(config.teacher):
        teacher = load_ready(config, dataset=dataset)
    else:
        teacher = build(config.teacher, num_classes=dataset.num_classes, channels=dataset.bands.channels)
    place(teacher, config, device)
    return freeze(teacher)


def _smaller(config: TrialConfig, device: torch.device) -> dict[str, Any]:
    """Never of one image: a BatchNorm after global pooling takes none, unless other processes have more."""
    if device.type == "cuda":
        return {"batch_size": max(config.batch_size, 2 * config.accumulate)}
    return {
        "batch_size": max(2, min(config.batch_size // config.accumulate, _CPU_BATCH)),
        "accumulate": 1,
        "crop_height": min(config.crop_height, _CPU_SIDE),
        "crop_width": min(config.crop_width, _CPU_SIDE),
    }


def _pixels(config: TrialConfig) -> int:
    return config.batch_size * math.prod(config.padded_crop)
