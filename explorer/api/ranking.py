"""Which teacher for my student, before anything is distilled."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from explorer.api.given import trial_config
from explorer.api.redacted import redacted
from trainables.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from trainables.config import TrialConfig


@redacted()
def rank_teachers(
    student: str,
    *,
    data: str | os.PathLike[str] = "earth",
    teachers: Sequence[str] | None = None,
    steps: int = 100,
    say: Callable[[str], None] = print,
    **fields: Any,
) -> pd.DataFrame:
    """Rank teachers by cheap evidence from val: what they know that the student, trained briefly alone, does not.

    A teacher that is not good already is trained by its `teacher_recipe`, if the cache lacks it. What was found is kept
    in the cache as JSON, so that a second call, or one with another teacher, takes little.

    Args:
        student: a network's name, such as mbv3s or segformer:mit_b0.
        data: a name, NAME:PATH, or a folder with dataset.yaml.
        teachers: names such as r101, hf:REPO or file:PATH; none: those of the known pairs of this student.
        steps: of the student's brief training.
        say: told before each network is looked at.
        **fields: of TrialConfig, such as teacher_recipe={"steps": 800}, crop_height=512, projector_tap="decoder".

    Returns:
        One row a teacher, the best first: rank, teacher, family, and the fields of `Evidence`
        (`trainables/preflight/evidence.py`), shares and mIoU in [0, 1]. `score` orders the rows: the mIoU that the
        student would have if each error of its were mended at which the teacher is right, minus the mIoU it has. It is
        a measure of val and of what the student lacks early on, no forecast of a gain.

    Raises:
        HeteroakdError: no known pair has this student and no teacher is named, or a network or the data cannot be had.
    """
    import pandas as pd

    from search_spaces.pairs import family
    from trainables.data.catalogue import open_dataset
    from trainables.data.check import verify
    from trainables.preflight.evidence import evidence

    configs = _configs(student, os.fspath(data), teachers, steps, fields)
    dataset = open_dataset(configs[0].data)
    for note in verify(dataset):
        say(note)
    say(f"student {configs[0].student}, alone: {steps} steps, or from the cache")
    rows = []
    for config in configs:
        trained = f": {config.teacher_recipe.steps} steps, or from the cache" if config.trains_teacher else ""
        say(f"teacher {config.teacher}{trained}")
        found = evidence(config, dataset, steps=steps)
        rows.append({"teacher": config.teacher, "family": family(config.teacher), **asdict(found)})
    table = pd.DataFrame(rows).sort_values("score", ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "rank", range(1, len(table) + 1))
    return table


def _configs(
    student: str, data: str, teachers: Sequence[str] | None, steps: int, fields: dict[str, Any]
) -> list[TrialConfig]:
    """A trial for each teacher.

    Raises:
        ConfigError: no teacher is known or named, or a wrong field.
    """
    from search_spaces.pairs import PAIRS, network_model

    if clash := {"teacher", "method", "folds"} & fields.keys():
        raise ConfigError(f"{min(clash)} is said by the ranking itself. Leave it out.")
    if steps < 1:
        raise ConfigError(f"steps must be >= 1, got {steps}.")
    model = network_model(student)
    known = [pair.teacher.model for pair in PAIRS.values() if pair.student.model == model]
    named = known if teachers is None else [network_model(name) for name in teachers]
    if not named:
        raise ConfigError(f"No known pair has the student {student!r}. Name teachers for it: --teachers r101,hf:REPO.")
    values = {"method": "kd", "student": model, "data": data, **fields}
    return [trial_config({**values, "teacher": teacher}) for teacher in dict.fromkeys(named)]
