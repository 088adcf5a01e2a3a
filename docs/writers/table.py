"""Every block that a page may show: its name in a marker, where it comes from, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from writers import study, trial, verbs


@dataclass(frozen=True)
class Block:
    """What a marker names: files of benchmarks/ whose contents `render` takes, in this order; or code that it reads."""

    render: Callable[..., str]
    sources: tuple[str, ...] = ()
    code: str = ""

    @property
    def label(self) -> str:
        """The source as markers write it."""
        return self.code or f"benchmarks/{self.sources[0] if len(self.sources) == 1 else '*.json'}"


_CLI, _CONFIG, _STUDY = "explorer/cli/app.py", "trainables/config.py", "explorer/study.py"

BLOCKS: dict[str, Block] = {
    "verbs": Block(verbs.verbs, code=_CLI),
    "verbs_index": Block(verbs.index, code=_CLI),
    "trial_recipe": Block(trial.recipe, code=_CONFIG),
    "trial_what": Block(trial.what, code=_CONFIG),
    "trial_methods": Block(trial.methods, code=_CONFIG),
    "trial_speed": Block(trial.speed, code=_CONFIG),
    **{f"study_{name}": Block(partial(study.section, name), code=_STUDY) for name in study.SECTIONS},
}
