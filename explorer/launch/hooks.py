"""A hook of the user's own: told of every report and end, in the driver. What it raises is kept and harms nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from explorer.launch.loggers_backends import StandIn, first_line
from explorer.launch.told import Told
from trainables import own
from trainables.errors import StudyError, unknown

METHODS = ("on_report", "on_trial_end", "on_sweep_end")
FILE = "hook.jsonl"
_SWEEP = "sweep"  # no trial has this name


class HookLog:
    """`hook.jsonl` in the study's folder says what it was told, so that the next driver goes on from there."""

    name = "The hook"

    def __init__(self, reference: str, directory: Path, *, say: Callable[[str], None]) -> None:
        """Raises:
        StudyError: see `load`.
        """
        self._hook = load(reference)
        self._reference = reference
        self._directory = directory
        self._say = say
        self._told = Told(directory / FILE)

    def begin(self, trial: StandIn) -> int | None:
        return self._told.last(trial.name)

    def add(self, trial: StandIn, step: int, metrics: Mapping[str, float]) -> None:
        self._call("on_report", _facts(trial), step, dict(metrics))
        self._told.reach(trial.name, step)

    def end(self, trial: StandIn, state: TrialState, reason: str) -> None:
        self._call("on_trial_end", _facts(trial), state.name, reason)
        self._told.reach(trial.name, None)

    def close(self, *, whole: bool) -> None:
        if whole and self._told.last(_SWEEP) is not None:
            self._call("on_sweep_end", self._directory)
            self._told.reach(_SWEEP, None)

    def _call(self, method: str, *arguments: Any) -> None:
        act = getattr(self._hook, method, None)
        if act is None:
            return
        try:
            act(*arguments)
        except (Exception, SystemExit) as error:
            sentence = f"{self._reference}.{method} raised {type(error).__name__}: {first_line(error)}."
            if sentence not in self._told.raised:
                self._told.note(sentence)
                self._say(f"{sentence} The sweep goes on; {FILE} keeps this.")


def load(reference: str) -> Any:
    """The hook, made without arguments.

    Raises:
        StudyError: no such class, it cannot be made, or it has another or no method that is called here.
    """
    made = own.load(reference, wanted="a class", accepts=inspect.isclass, error=StudyError)
    if wrong := [name for name in dir(made) if name.startswith("on_") and name not in METHODS]:
        raise StudyError(unknown(f"method of the hook {reference!r}", wrong[0], METHODS))
    if not any(hasattr(made, name) for name in METHODS):
        raise StudyError(f"The hook {reference!r} has none of {', '.join(METHODS)}. Define the ones that you need.")
    with own.in_words(reference, "when it was made", StudyError):
        return made()


def _facts(trial: StandIn) -> dict[str, Any]:
    return {"name": trial.name, **trial.config}
