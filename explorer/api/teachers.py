"""What a teacher that is good already can teach, before a sweep depends on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.api.given import trial_config
from explorer.api.redacted import redacted
from trainables.errors import ConfigError, TeacherError

if TYPE_CHECKING:
    import pandas as pd

    from trainables.preflight.look import Facts


@dataclass(frozen=True)
class TeacherCheck:
    """What was found; shown as text.

    Attributes:
        facts: all of it, see `trainables/preflight/look.py`.
    """

    facts: Facts

    @property
    def sound(self) -> bool:
        """Whether it does better on val than always saying the commonest class; a backbone has no say."""
        return not self.facts.is_worse_than_guessing

    @property
    def miou(self) -> float:
        """On val, one forward an image, in [0, 1]; NaN for a backbone."""
        return float(self.facts.scores["whole"]["miou"]) if self.facts.logits else float("nan")

    def iou(self) -> pd.DataFrame:
        """IoU by class in [0, 1]; a column for whole images and one for windows of the crop's size."""
        import pandas as pd

        found = {mode: pd.Series(scores["iou"], dtype=float) for mode, scores in self.facts.scores.items()}
        return pd.DataFrame(found, index=pd.Index(self.facts.classes, name="class"))

    def __str__(self) -> str:
        return "\n".join(_lines(self.facts))

    __repr__ = __str__


@redacted()
def check_teacher(
    name: str,
    *,
    data: str | os.PathLike[str] = "earth",
    classes: str | Mapping[str, Any] | None = None,
    synonyms: Mapping[str, Sequence[str]] | None = None,
    **fields: Any,
) -> TeacherCheck:
    """Score a teacher that is good already on a data set's val: minutes at most, and seconds again afterwards.

    Args:
        name: such as hf:REPO_OR_FOLDER, torchvision:NAME or file:PATH@NETWORK; docs/teachers.md lists all.
        data: a name, NAME:PATH, or a folder with dataset.yaml.
        classes: how its classes are matched: "order", "name", or the data set's class -> one or several of its own.
        synonyms: further names of the data set's classes.
        **fields: of TrialConfig, such as device="cuda", crop_height=512, teacher_checkpoint=PATH for a network of ours.

    Raises:
        HeteroakdError: it cannot be had, its classes do not fit, or it is one that a sweep trains.
    """
    from trainables.data.catalogue import open_dataset
    from trainables.preflight.look import look

    values = {"teacher_classes": classes, "teacher_synonyms": synonyms or {}, **fields}
    clash = {"teacher", "data", "method"} & fields.keys()
    if clash:
        raise ConfigError(f"{min(clash)} is said by check_teacher itself. Leave it out.")
    config = trial_config({"method": "kd", "teacher": name, "data": os.fspath(data), **values})
    if config.trains_teacher:
        raise TeacherError(
            f"{name!r} is trained by the sweep that needs it. Name one that is good already (hf:, smp:, torchvision:, "
            "timm:, file:, ready:), or give its teacher_checkpoint."
        )
    return TeacherCheck(look(config, open_dataset(config.data)))


def _lines(facts: Facts) -> Iterator[str]:
    yield f"{facts.teacher} on val of {facts.data}"
    if facts.match:
        yield "classes of the data set, and those of the teacher that speak for them:"
        yield from (f"  {line}" for line in facts.match)
    if facts.logits:
        yield from _scores(facts)
    else:
        yield "It gives features and no logits: there is no mIoU, and methods that read logits refuse it."
    memory = f"{facts.weights_mib:.0f} MiB of weights"
    memory += f", at most {facts.peak_mib:.0f} MiB in all" if facts.peak_mib is not None else ""
    yield (
        f"cost: {facts.parameters_millions:.1f} million parameters, {facts.forward_ms:.1f} ms a forward of one crop on "
        f"{facts.device}, {memory}"
    )
    yield f"licence of the weights: {facts.licence}"
    if facts.commit:
        yield f"revision: {facts.commit}"


def _scores(facts: Facts) -> Iterator[str]:
    modes = list(facts.scores)
    width = max(len(name) for name in (*facts.classes, "mIoU (%)"))
    yield f"{'IoU (%)'.ljust(width)}" + "".join(f"{mode:>8}" for mode in modes)
    for name in facts.classes:
        yield name.ljust(width) + "".join(f"{_percent(facts.scores[mode]['iou'][name]):>8}" for mode in modes)
    yield "mIoU (%)".ljust(width) + "".join(f"{_percent(facts.scores[mode]['miou']):>8}" for mode in modes)
    against = "WORSE than" if facts.is_worse_than_guessing else "against"
    yield f"{against} {_percent(facts.majority)} % of always saying the commonest class"
    found = facts.calibration
    warmer = found["temperature"]
    sure = "too sure of itself" if warmer > 1.05 else "not sure enough" if warmer < 0.95 else "as sure as it is right"
    yield (
        f"calibration: error {_percent(found['error'])} % over {found['num_pixels']:,} pixels; {sure}, best "
        f"temperature {warmer:.2f} (error there {_percent(found['error_there'])} %)"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:.2f}"
