"""One trial from its config alone: data, teacher, loop. No Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.loop import train
from trainables.losses import LOSSES
from trainables.state import Report
from trainables.teachers import load_teacher


def run(config: TrialConfig, *, directory: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Train to the budget, or on from the checkpoint in `directory`; the teacher comes from the cache or is trained.

    Args:
        say: told each evaluation as a line of text.

    Returns:
        The last evaluation.

    Raises:
        HeteroakdError: wrong data, networks or checkpoint, or a loss that is not finite.
    """
    dataset = open_dataset(config.data)
    verify(dataset)
    teacher = load_teacher(config, dataset=dataset) if LOSSES[config.method].needs_teacher else None

    def tell(found: Report) -> None:
        terms = ", ".join(f"{name} {value:.4f}" for name, value in found.terms.items())
        say(f"step {found.step}/{config.steps}: mIoU {100 * found.miou:.2f} %, {terms}, {found.seconds:.0f} s")

    return train(config, dataset=dataset, teacher=teacher, directory=directory, report=tell).history[-1]
