"""Frozen teachers: trained once per (model, data, recipe, seed), cached by content hash, or the user's own weights."""

from __future__ import annotations

import hashlib
import math
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from trainables import own
from trainables.bands import RGB
from trainables.config import TrialConfig, digest
from trainables.data.dataset import SegDataset
from trainables.device import KINDS, pick_device, place
from trainables.errors import TeacherError
from trainables.kept import atomic, checkpoint
from trainables.kept.cache import CACHE, default_cache
from trainables.loop import train
from trainables.models import given
from trainables.models.build import build, is_own
from trainables.models.ready import load as ready
from trainables.models.segmodel import SegModel
from trainables.parallel import train_together
from trainables.sources import is_ready
from trainables.state import student_weights


def load_teacher(config: TrialConfig, *, dataset: SegDataset, cache: Path | None = None) -> SegModel:
    """The trial's teacher, trained first if the cache does not hold it, frozen.

    Frozen: eval mode (BatchNorm statistics stand still, dropout is off) and no parameter requires a gradient.

    Raises:
        TeacherError: the user's checkpoint does not fit the network; or one that is good already cannot be had, or has
            no class of the data set's.
    """
    if is_ready(config.teacher):
        found = load_ready(config, dataset=dataset)
        place(found, config, pick_device(config))
        return found
    return opened(config, ensure_teacher(config, dataset=dataset, cache=cache), dataset=dataset)


def opened(config: TrialConfig, path: Path, *, dataset: SegDataset) -> SegModel:
    """The trial's teacher with the weights of this file, frozen."""
    tensors = given.read(path)
    teacher = build(config.teacher, num_classes=dataset.num_classes, channels=dataset.bands.channels)
    _load_weights(teacher, tensors, path, config.teacher)
    place(teacher, config, pick_device(config))
    return freeze(teacher)


def load_ready(config: TrialConfig, *, dataset: SegDataset) -> SegModel:
    """A teacher that is good already, frozen, on the CPU (see `sources.py`)."""
    return ready.load(
        config.teacher,
        classes=dataset.classes,
        bands=dataset.bands,
        wanted=config.teacher_classes,
        synonyms=config.teacher_synonyms,
    )


def freeze(model: SegModel) -> SegModel:
    return model.eval().requires_grad_(False)


def ensure_teacher(config: TrialConfig, *, dataset: SegDataset, cache: Path | None = None) -> Path:
    """Path of the teacher's weights; trains them if they are not there.

    What is there is only looked at, so a cache that cannot be written will do. Of several processes that ask at once,
    one trains and the others wait for its lock. An interrupted training goes on from its last checkpoint.

    Raises:
        TeacherError: the user's checkpoint does not exist, or what was trained has no score.
        Interrupted: the cache cannot be written.
    """
    if config.teacher_checkpoint is not None:
        path = Path(config.teacher_checkpoint).expanduser()
        if not path.is_file():
            raise TeacherError(
                f"teacher_checkpoint {str(path)!r} is no file. Give a .safetensors or .pth file of {config.teacher!r}."
            )
        return path
    path = cached_path(config, dataset=dataset, cache=cache)
    if _is_there(path):
        return path
    with _locked(path.with_suffix(".lock")):
        if not _is_there(path):
            recipe = config.teacher_config()
            weights, miou = _trained(recipe, dataset, path.parent / "training")
            refuse_unscored(config.teacher, miou, dataset)
            meta = {"model": config.teacher, "miou": miou, "data": dataset.digest()}
            meta |= {} if dataset.bands == RGB else {"bands": dataset.bands.record}
            checkpoint.write(path, weights, {**meta, "config": recipe.model_dump(mode="json")})
    return path


def _trained(recipe: TrialConfig, dataset: SegDataset, directory: Path) -> tuple[dict[str, Tensor], float]:
    """The weights, and their mIoU."""
    if recipe.processes == 1:
        state = train(recipe, dataset=dataset, directory=directory)
        return state.weights(), state.history[-1].miou
    miou = train_together(recipe, directory=directory).miou
    found = checkpoint.latest(directory, digest=recipe.digest())
    assert found is not None
    return student_weights(found[0]), miou


def _is_there(path: Path) -> bool:
    """Raises:
    Interrupted: it cannot be told; a folder that is closed to this user, say.
    """
    with atomic.interrupting(_named(path.parent)), suppress(FileNotFoundError):
        return stat.S_ISREG(path.stat().st_mode)
    return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with atomic.interrupting(_named(path.parent)):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _named(folder: Path) -> str:
    return f"{folder}, in {CACHE}'s folder,"


def refuse_unscored(name: str, miou: float, dataset: SegDataset) -> None:
    """A teacher without a score says nothing of the data, and every trial would pay for it.

    Raises:
        TeacherError: its mIoU is no number.
    """
    if math.isnan(miou):
        raise TeacherError(
            f"The teacher {name!r} has no mIoU on the validation split of {dataset.root}: no pixel there is labelled. "
            "`heteroakd data check` says why."
        )


def cached_path(
    config: TrialConfig, *, dataset: SegDataset, cache: Path | None = None, device: str | None = None
) -> Path:
    """Where the cache holds, or will hold, this trial's teacher: named by what determines its weights.

    Args:
        device: the kind on which it is trained; none: that of this process.
    """
    recipe = config.teacher_config()
    content = recipe.digest(without=("data", "device", "num_workers", "eval_every", "on_corrupt"))
    code = [own.fingerprint(config.teacher)] if is_own(config.teacher) else []
    key = digest([content, dataset.digest(), device or pick_device(recipe).type, *code])
    name = config.teacher.replace(":", "-")
    return (cache or default_cache()) / f"{name}-{key}" / "teacher.safetensors"


def kept_path(config: TrialConfig, *, dataset: SegDataset, cache: Path | None = None) -> Path | None:
    """What the cache holds of this trial's teacher, whatever kind of device trained it; this process's own first."""
    paths = (cached_path(config, dataset=dataset, cache=cache, device=kind) for kind in (None, *KINDS))
    return next((path for path in paths if path.is_file()), None)


def weights_hash(config: TrialConfig, *, dataset: SegDataset, cache: Path | None = None) -> str | None:
    """SHA-256 of the file that taught a trial, or a digest of several, for its record; None where the cache no longer
    has it.
    """
    if is_ready(config.teacher):
        return digest(ready.origin(config.teacher).files)
    own = config.teacher_checkpoint
    path = Path(own).expanduser() if own is not None else kept_path(config, dataset=dataset, cache=cache)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else None


def _load_weights(model: SegModel, tensors: dict[str, Tensor], path: Path, name: str) -> None:
    """Strictly, but for the names that a wrapper gives (`given.named`)."""
    try:
        model.load_state_dict(given.named(tensors, model.state_dict()))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise TeacherError(f"{path} does not hold the weights of {name!r} for this data set: {reason}") from None
