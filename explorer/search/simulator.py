"""A sweep in virtual time: the bridge, or any pair of searcher and scheduler, without Ray, training or waiting.

Workers are numbers, a step takes as long as its cost says, and results arrive in the order of virtual time. So a
pruner's decisions are deterministic, a thousand trials take a second, and a driver can be killed at any write.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

STOP, FINISHED = "STOP", "FINISHED"

Curve = Callable[[dict[str, Any]], Sequence[tuple[int, float]]]
"""A trial's config -> its (step, mIoU) at every evaluation, the last at the budget."""


class Search(Protocol):
    """What Ray Tune asks of searcher and scheduler together; `Bridge` is one."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None: ...

    def report(self, trial_id: str, result: dict[str, Any]) -> str: ...

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None: ...


@dataclass(frozen=True)
class Event:
    """A result that arrived.

    Attributes:
        time: virtual, in steps of one worker where every step costs 1.
        spent: steps of all trials until then.
        stopped: whether the trial ended with it.
    """

    time: float
    spent: int
    trial_id: str
    config: dict[str, Any]
    step: int
    miou: float
    stopped: bool


@dataclass(order=True)
class _Running:
    due: float
    order: int
    trial_id: str = field(compare=False)
    config: dict[str, Any] = field(compare=False)
    ahead: list[tuple[int, float]] = field(compare=False)
    step: int = field(compare=False, default=0)
    directory: Any = field(compare=False, default=None)


def simulate(
    search: Search,
    curve: Curve,
    *,
    workers: int = 1,
    step_cost: Callable[[dict[str, Any]], float] = lambda _: 1.0,
    until: Callable[[Event], bool] = lambda _: False,
) -> list[Event]:
    """Run until the search has nothing left to propose, or `until` says enough.

    Args:
        curve: what training would give. A trial that was stopped before its end and is suggested again, by its
            `directory`, goes on from there.
        workers: trials at a time.
        step_cost: virtual time of one step of a trial.
    """
    events: list[Event] = []
    running: list[_Running] = []
    left: dict[Any, _Running] = {}
    names = itertools.count()
    spent, now, order = 0, 0.0, itertools.count()
    while True:
        while len(running) < workers:
            trial_id = f"t{next(names)}"
            suggested = search.suggest(trial_id)
            if suggested is None or isinstance(suggested, str):
                break
            config = suggested["config"]
            directory = suggested.get("directory", trial_id)
            begun = _Running(now, 0, trial_id, config, list(curve(config)), directory=directory)
            if known := left.pop(directory, None):
                begun.ahead, begun.step = known.ahead, known.step
            heapq.heappush(running, _next(begun, step_cost, order))
        if not running:
            return events
        trial = heapq.heappop(running)
        now = trial.due
        before, (trial.step, miou) = trial.step, trial.ahead.pop(0)
        spent += trial.step - before
        decision = search.report(trial.trial_id, {"step": trial.step, "miou": miou})
        stopped = decision == STOP or not trial.ahead
        events.append(Event(now, spent, trial.trial_id, trial.config, trial.step, miou, stopped))
        if stopped:
            if trial.ahead:
                left[trial.directory] = trial
            search.on_trial_complete(trial.trial_id, {"step": trial.step, "miou": miou})
        else:
            heapq.heappush(running, _next(trial, step_cost, order))
        if until(events[-1]):
            return events


def _next(trial: _Running, step_cost: Callable[[dict[str, Any]], float], order: Any) -> _Running:
    """The trial with the time and place of its next result."""
    trial.due += (trial.ahead[0][0] - trial.step) * step_cost(trial.config)
    trial.order = next(order)
    return trial
