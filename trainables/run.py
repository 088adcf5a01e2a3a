"""One trial from its config alone: data, teacher, loop. No Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify, verify_folds
from trainables.data.dataset import SegDataset
from trainables.data.folds import parts_of
from trainables.device import release
from trainables.errors import ConfigError
from trainables.folds import train_folds
from trainables.group import Member, Tell, train_group
from trainables.kept.store import Store
from trainables.loop import train
from trainables.losses.find import find_method
from trainables.models.segmodel import SegModel
from trainables.parallel import train_together
from trainables.state import Report
from trainables.teachers import ensure_teacher, load_teacher


def run(config: TrialConfig, *, directory: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Check the data, then `run_trial`.

    Args:
        say: told what to know of the data first, then each evaluation, as lines of text.

    Raises:
        HeteroakdError: wrong data, networks or checkpoint, a loss that is not finite, or a full disk.
    """
    dataset = open_dataset(config.data)
    for note in [*verify(dataset), *verify_folds(dataset, config)]:
        say(note)

    def tell(found: Report) -> None:
        terms = ", ".join(f"{name} {value:.4f}" for name, value in found.terms.items())
        scores = f"mIoU {100 * found.miou:.2f} %"
        if found.fold_miou is not None:
            scores += f", the mean of {len(found.fold_miou)} folds"
        if found.miou_low is not None and found.miou_high is not None:
            scores += f" ({100 * found.miou_low:.2f} to {100 * found.miou_high:.2f} on other such images)"
        if found.peer_miou is not None:
            scores += f", of the other student {100 * found.peer_miou:.2f} %"
        say(f"step {found.step}/{config.steps}: {scores}, {terms}, {found.seconds:.0f} s")
        for name in found.skipped:
            say(f"skipped, since it cannot be read: {name}")

    return run_trial(config, dataset=dataset, directory=directory, report=tell)


def run_trial(
    config: TrialConfig,
    *,
    dataset: SegDataset,
    directory: Path | Store,
    report: Callable[[Report], None],
    cache: Path | None = None,
) -> Report:
    """Train to the budget, or on from the checkpoint in `directory`; the teacher comes from the cache or is trained.

    Under `folds`, a student on each fold; a teacher that is trained is trained on each fold, too.

    Args:
        dataset: opened and sound.
        report: see `loop.train`.
        cache: folder of the trained teachers and of what they said; none: the user's.

    Returns:
        The last evaluation.

    Raises:
        HeteroakdError: wrong networks or checkpoint, a loss that is not finite, a full disk, or one of several
            processes that died.
    """
    release()
    if config.folds is not None:
        return _run_folds(config, dataset=dataset, directory=directory, report=report, cache=cache)
    if config.processes > 1:
        if config.trains_teacher:  # here, so that its training has all processes; they then find it
            ensure_teacher(config, dataset=dataset, cache=cache)
        return train_together(config, directory=directory, report=report, cache=cache)
    needed = find_method(config.method).needs_teacher
    teacher = load_teacher(config, dataset=dataset, cache=cache) if needed else None
    state = train(config, dataset=dataset, teacher=teacher, directory=directory, report=report, cache=cache)
    return state.history[-1]


def _run_folds(
    config: TrialConfig,
    *,
    dataset: SegDataset,
    directory: Path | Store,
    report: Callable[[Report], None],
    cache: Path | None,
) -> Report:
    datasets = parts_of(dataset, config)
    teachers: list[SegModel | None] = [None] * len(datasets)
    if find_method(config.method).needs_teacher and config.trains_teacher:
        teachers = [load_teacher(config, dataset=one, cache=cache) for one in datasets]
    elif find_method(config.method).needs_teacher:
        teachers = [load_teacher(config, dataset=dataset, cache=cache)] * len(datasets)
    return train_folds(config, datasets=datasets, teachers=teachers, directory=directory, report=report)[-1]


def run_group(members: Sequence[Member], *, dataset: SegDataset, tell: Tell, cache: Path | None = None) -> None:
    """`group.train_group` with the teacher that all of them share, from the cache or trained.

    Raises:
        ConfigError: a member has folds; a trial of several folds runs alone.
        HeteroakdError: their teacher cannot be had. What is wrong with one member, `tell` is told.
    """
    release()
    config = members[0].config
    if config.folds is not None:
        raise ConfigError(
            f"folds is {config.folds}, but trials of several folds do not train in groups. Set group_size to 1."
        )
    teacher = load_teacher(config, dataset=dataset, cache=cache) if config.is_taught else None
    train_group(members, dataset=dataset, teacher=teacher, tell=tell, cache=cache)
