"""What a running sweep shows: trials by state, best so far, time left."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune import Callback
from rich.console import Console

from explorer.launch.boards import Shown, board
from explorer.search import belief, further
from explorer.search.arms import Arm
from explorer.search.compute import trained
from explorer.search.pauses import paused
from explorer.search.plan import Role
from explorer.storage import storages

_REFRESH_S = 0.5
_COUNTED = ("running", "paused", "complete", "pruned", "failed")
_WORDS = {TrialState.PRUNED: "pruned", TrialState.FAIL: "failed", TrialState.COMPLETE: "complete"}
_HEADS = ("best mIoU (%)", "of trial", "luckiest")
_NETWORKS = ("pair", "teacher", "student")


class Progress(Callback):
    """A live table on a terminal or in a notebook, a line per finished trial elsewhere. Reads the storage."""

    def __init__(self, arms: dict[Role, Arm], console: Console) -> None:
        self._arms = arms
        waits = any(arm.pauses.first for arm in arms.values())
        self._counted = tuple(word for word in _COUNTED if waits or word != "paused")
        self._console = console
        self._board = board(console)
        self._started = time.monotonic()
        self._drawn = 0.0
        self._further = 0, math.nan
        self._believed: tuple[int, belief.Believed | None] = (0, None)
        self._done_before = self._share_done()
        self._said = {(role, trial.number, _news(trial)) for role, trial in self._trials()}

    def __enter__(self) -> Progress:
        if self._board:
            self._board.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._draw()
        if self._board:
            self._board.stop()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._drawn >= _REFRESH_S:
            self._draw()

    def __getstate__(self) -> dict[str, object]:
        """Tune pickles its callbacks; a terminal cannot be, and that copy is never used."""
        return {}

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        with suppress(*storages.failures()):  # the bridge meets it too, and says so
            self._show()

    def _show(self) -> None:
        if self._board:
            self._board.show(self._shown())
            return
        for role, trial in self._trials():
            said = role, trial.number, _news(trial)
            if said[-1] and said not in self._said:
                self._said.add(said)
                self._console.print(
                    f"{role} {trial.number}: {_outcome(trial, self._arms[role])}; {self._time_left()}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )

    def _shown(self) -> Shown:
        rows = []
        for role, arm in self._arms.items():
            trials = arm.trials()
            states = [_state(trial) for trial in trials]
            counts = [str(states.count(word)) for word in self._counted]
            rows.append((role, str(arm.num_trials), *counts, *self._best(role, trials)))
        return Shown(("", "trials", *self._counted, *_HEADS), rows, self._time_left(), self._share_done())

    def _best(self, role: Role, trials: list[optuna.trial.FrozenTrial]) -> tuple[str, str, str]:
        """What the best config of the search is believed to have over seeds and its trial, beside the luckiest one; of
        students alone, which are compared as they are, the best trial. Looked for when a trial has ended.
        """
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if not complete:
            return "-", "-", "-"
        luckiest = max(complete, key=_miou)
        own = f"{100 * _miou(luckiest):.2f} ({luckiest.number})"
        if role == "search" and self._believed[0] != len(complete):
            self._believed = len(complete), belief.believed(self._arms[role].study.get_trials(deepcopy=False))
        found = self._believed[1]
        if role != "search" or found is None:
            return f"{100 * _miou(luckiest):.2f}", str(luckiest.number), "-"
        best = max(complete, key=found.mean)
        half = f" ± {164.5 * found.sd(best):.2f}" if found.belief.freedom else ""
        return f"{100 * found.mean(best):.2f}{half}", str(best.number), own

    def _time_left(self) -> str:
        elapsed = time.monotonic() - self._started
        done = self._share_done() - self._done_before
        left = elapsed * (1 - self._done_before - done) / done if done > 0 else None
        told = f"about {_clock(left)} left" if left is not None else "time left unknown"
        return f"{_clock(elapsed)} elapsed, {told}{self._ahead()}"

    def _ahead(self) -> str:
        """What more trials of the search would bring; looked for when one has ended."""
        if "search" not in self._arms:
            return ""
        known = self._arms["search"].known()
        if self._further[0] != (ended := sum(trial.state.is_finished() for trial in known)):
            self._further = ended, further.expected(known)
        points = 100 * self._further[1]
        return (
            "" if math.isnan(points) else f"; another {further.AHEAD} trials are expected to bring {points:.2f} points"
        )

    def _share_done(self) -> float:
        """Share of all trials, each counted by its steps: a pruned trial is done, a running one in part."""
        total = sum(arm.num_trials for arm in self._arms.values())
        return sum(_progress(trial) for _, trial in self._trials()) / total

    def _trials(self) -> list[tuple[Role, optuna.trial.FrozenTrial]]:
        return [(role, trial) for role, arm in self._arms.items() for trial in arm.trials()]


def _news(trial: optuna.trial.FrozenTrial) -> str:
    """What is said of a trial once: that it has ended, or that it waits at a step."""
    wait = f"paused at {trial.last_step}" if paused(trial) else ""
    return "ended" if trial.state.is_finished() else wait


def _state(trial: optuna.trial.FrozenTrial) -> str:
    if trial.state == TrialState.RUNNING:
        return "paused" if paused(trial) else "running"
    return _WORDS.get(trial.state, "waiting")


def _progress(trial: optuna.trial.FrozenTrial) -> float:
    if trial.state.is_finished():
        return 1.0
    return max(trial.intermediate_values, default=0) / trial.user_attrs.get("budget", 1)


def _outcome(trial: optuna.trial.FrozenTrial, arm: Arm) -> str:
    what = " ".join(_told_apart(trial, arm))
    if trial.state == TrialState.FAIL:
        return f"{what} failed: {trial.user_attrs.get('reason', 'interrupted')}"
    if wait := paused(trial):
        return f"{what} paused at {100 * _miou(trial):.2f} % after {trained(trial)} steps ({wait.rstrip('.')})"
    if trial.state == TrialState.PRUNED:
        because = trial.user_attrs.get("reason")
        told = f" ({str(because).rstrip('.')})" if because else ""
        return f"{what} pruned at {100 * _miou(trial):.2f} % after {trained(trial)} steps{told}"
    return f"{what} mIoU {100 * _miou(trial):.2f} %"


def _told_apart(trial: optuna.trial.FrozenTrial, arm: Arm) -> Iterator[str]:
    """What a reader knows a trial by: its networks, then what it chose where trials choose; if they choose nothing,
    the numbers that they were given.
    """
    told = trial.user_attrs
    yield str(told.get("pair", told.get("student", "")))
    dimensions = arm.space.dimensions
    chosen = [name for name, known in dimensions.items() if len(getattr(known, "choices", ())) > 1]
    yield from (_shown(name, trial.params[name]) for name in chosen if name in trial.params and name not in _NETWORKS)
    if arm.role == "confirmed" and "method" in told:
        yield str(told["method"])
    if (len(arm.spec.seeds) > 1 or arm.role == "confirmed") and "seed" in told:
        yield f"seed {told['seed']}"
    if not chosen:
        yield from (_shown(name, value) for name, value in trial.params.items())


def _shown(name: str, value: Any) -> str:
    if name == "method":
        return str(value)
    return f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"


def _miou(trial: optuna.trial.FrozenTrial) -> float:
    return trial.intermediate_values[trial.last_step] if trial.last_step is not None else 0.0


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
