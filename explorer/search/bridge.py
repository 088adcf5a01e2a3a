"""The bridge: one object proposes trials to Ray Tune and prunes them, over Optuna studies that hold the truth.

Tune sees two faces, `Bridge` (a Searcher) and `PruningFace` (a TrialScheduler). Both act on the same Optuna trials:

    suggest            study.ask, described as a whole before Tune hears of it
    a result arrives   the value is recorded, then the pruner is asked; the scheduler is the only hook that Tune shows
                       every result, the last and the stopping one included
    a worker dies      the trial goes back in line, as often as it makes progress, else `max_failures` times; what is
                       no fault of its own, such as a lost node, is not counted (`deaths.py`)
    a trial's end      told once: PRUNED, COMPLETE, or FAIL with its reason; a trial that was only interrupted stays
                       RUNNING in the storage and is adopted by the next driver

Nothing is restored from Tune's pickles: a resumed sweep is a new Tune run whose bridge first hands out the storage's
RUNNING trials, which go on from their own checkpoints. A retry is the same thing within one driver. Reports are
idempotent by step, so a trial may repeat itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from explorer.search import deaths
from explorer.search.arms import Arm, trial_directory
from explorer.search.compute import shared_step
from explorer.search.deaths import UNTOLD, Death, Fault
from explorer.search.limits import OCCUPIED, reached
from explorer.search.pauses import PAUSED_AT, Verdict, turn
from explorer.search.ray_state import RayState, State
from explorer.search.repeats import REPEATS
from explorer.search.tune_errors import death_of
from explorer.search.views import because
from explorer.storage import storages

METRIC, MODE = "miou", "max"
_FACTS = (
    *("iou", "seconds", "device", "peer_miou", "peer_iou", "teacher_hits"),
    *("miou_low", "miou_high", "fold_miou"),
)


class Asked(NamedTuple):
    """A trial that is to run."""

    arm: Arm
    trial: optuna.Trial

    @property
    def frozen(self) -> FrozenTrial:
        """As the storage has it now."""
        return self.arm.study._storage.get_trial(self.trial._trial_id)

    @property
    def steps(self) -> set[int]:
        """Those that the storage has a value for."""
        return set(self.frozen.intermediate_values)


@dataclass
class Live:
    """A trial between its suggestion and its end. Steps are the storage's (see `compute.py`).

    Attributes:
        known: its attributes when it began here.
        skipped: damaged files that it passed over, in order.
    """

    arm: Arm
    trial: optuna.Trial
    budget: int
    grace: int
    steps: set[int]
    occupied: float
    known: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)
    told: TrialState | None = None
    death: Death = UNTOLD

    @property
    def step(self) -> int:
        """The last step that was ever reported."""
        return max(self.steps, default=0)

    @property
    def must_end(self) -> bool:
        """Whether it is trained whole, whatever the pruner says."""
        known = self.trial.user_attrs
        return bool(known.get("probe")) or REPEATS in known

    @property
    def directory(self) -> str:
        return trial_directory(self.arm.role, self.trial.number)

    @property
    def params(self) -> dict[str, Any]:
        """What the trainable is given."""
        return {"config": self.trial.user_attrs["config"], "directory": self.directory}


class Bridge(Searcher):
    """The searcher's face, and the state of both.

    Attributes:
        interrupted: why the sweep must end although trials are left, such as a full disk; None while it need not.
    """

    def __init__(
        self,
        arms: Iterable[Arm],
        *,
        grace: int,
        max_failures: int = 0,
        gpus: float = 0.0,
        discard: Callable[[str], None] = lambda _: None,
        state: State | None = None,
    ) -> None:
        """Args:
        arms: in the order in which they are served.
        grace: steps before a trial may be pruned.
        max_failures: restarts of a trial whose worker dies again and again without a step of progress.
        gpus: what a trial holds, for `gpu_hours`.
        discard: removes the checkpoints of a trial's folder, which a pruned trial no longer needs.
        state: what Ray knows of an actor that is lost; none: that of the Ray that this process has joined.
        """
        super().__init__(metric=METRIC, mode=MODE)
        self._arms = tuple(arms)
        self._grace = grace
        self._max_failures = max_failures
        self._gpus = gpus
        self._discard = discard
        self._state = state or RayState()
        self._losses: dict[str, tuple[int, int]] = {}
        self._waiting = [Asked(arm, trial) for arm in self._arms for trial in arm.orphans()]
        self.live: dict[str, Live] = {}
        self.interrupted: str | None = None
        with self._interruptible():
            self._settle()

    def num_open(self) -> int:
        """Trials still to be run: the adopted ones and, unless a limit is reached, those not yet asked for."""
        return sum(arm.num_open() - (arm.remaining() if self.limit(arm) else 0) for arm in self._arms)

    def limit(self, arm: Arm) -> str | None:
        """The limit that ends this arm early; the students alone are what gains are measured against, so none does."""
        if arm.role == "baseline":
            return None
        trials = arm.trials()
        every = [trial for other in self._arms for trial in other.trials()]
        return reached(arm.spec, search=trials, every=every, known=arm.known(), gpus=self._gpus)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial's config for the trainable: one that waits to go on first, then a new one of the first arm
        that has any. None while a running trial may still come back; FINISHED when all have ended.
        """
        with self._interruptible():
            return self._next(trial_id)
        return Searcher.FINISHED

    def _next(self, trial_id: str) -> dict[str, Any] | str | None:
        if not self.interrupted and (found := self._pick()):
            self.live[trial_id] = live = self._begin(found, trial_id)
            return live.params
        coming_back = any(live.told is None for live in self.live.values())
        return None if coming_back and not self.interrupted else Searcher.FINISHED

    def _pick(self) -> Asked | None:
        self._settle()
        return self._waiting.pop(0) if self._waiting else self._ask(self._arms)

    def _ask(self, arms: Iterable[Arm]) -> Asked | None:
        arm = next((arm for arm in arms if arm.remaining() and not self.limit(arm)), None)
        return None if arm is None else Asked(arm, arm.ask()[0])

    def _settle(self) -> None:
        """Paused trials that may go on stand in line, and those that never will end; again while that decides more."""
        for arm in self._arms:
            while arm.pauses.first and (verdicts := arm.verdicts(self.limit(arm))):
                for verdict in verdicts:
                    self._carry_out(arm, verdict)
        self._waiting.sort(key=lambda asked: turn(asked.frozen))

    def _carry_out(self, arm: Arm, verdict: Verdict) -> None:
        trial = optuna.Trial(arm.study, verdict.trial._trial_id)
        paused = verdict.trial.user_attrs[PAUSED_AT]
        if verdict.goes_on:
            trial.set_user_attr(PAUSED_AT, {**paused, "on": verdict.because})
            self._waiting.append(Asked(arm, trial))
            return
        reason = f"Paused at step {paused['step']} and never went on: {verdict.because}."
        arm.tell(trial, TrialState.PRUNED, facts={"reason": reason})
        self._discard(trial_directory(arm.role, trial.number))

    def _begin(self, asked: Asked, trial_id: str) -> Live:
        arm, trial = asked
        trial.set_user_attr("ray_trial_id", trial_id)
        known = trial.user_attrs
        grace = min(self._grace, known["budget"])
        return Live(arm, trial, known["budget"], grace, asked.steps, known.get(OCCUPIED, 0.0), known)

    def report(self, trial_id: str, result: dict[str, Any]) -> str:
        """Record a result and decide; what the scheduler's face calls."""
        with self._interruptible():
            return self._record(self.live[trial_id], result)
        return TrialScheduler.STOP

    def _record(self, live: Live, result: dict[str, Any]) -> str:
        if live.told is not None:
            return TrialScheduler.STOP
        if reason := result.get("interrupted"):
            self.interrupted = reason
            return TrialScheduler.STOP  # untold, so resumable
        if reason := result.get("failed"):
            return self._tell(live, TrialState.FAIL, reason=reason)
        value, step = float(result[METRIC]), int(result["step"])
        if not math.isfinite(value):
            return self._tell(live, TrialState.FAIL, reason=f"mIoU is {value} at step {step}.")
        return self._judge(live, value, shared_step(live.known, step), result)

    def _judge(self, live: Live, value: float, step: int, result: dict[str, Any]) -> str:
        self._occupy(live, result)
        live.skipped |= dict.fromkeys(result.get("skipped", ()))
        latest = live.step
        if step not in live.steps or step == live.budget:
            live.arm.report(live.trial, value, step)
            live.steps.add(step)
        if step >= live.budget:
            return self._tell(live, TrialState.COMPLETE, miou=value, facts=result)
        if step < latest:
            return TrialScheduler.CONTINUE  # repeated after a restart; judged before
        if live.grace <= step and not live.must_end and live.arm.should_prune(live.trial):
            self._tell(live, TrialState.PRUNED, reason=because(live.arm.study, live.trial), facts=result)
            self._discard(live.directory)  # it never goes on
            return TrialScheduler.STOP
        if live.grace <= step and (wait := live.arm.pause(live.trial, step)) is not None:
            return self._pause(live, {"step": step, "because": wait}, self._facts(live, result))
        return TrialScheduler.STOP if self.interrupted else TrialScheduler.CONTINUE

    def _pause(self, live: Live, paused: dict[str, Any], facts: dict[str, Any]) -> str:
        """It ends for Ray, untold, as one that is interrupted does; what may be its last facts are kept first."""
        with storages.one_sync(live.arm.study._storage):
            for name, fact in {**facts, PAUSED_AT: paused}.items():
                live.trial.set_user_attr(name, fact)
        return TrialScheduler.STOP

    def note_death(self, trial_id: str, death: Death) -> None:
        """Remember why a worker died; judged when Tune gives the trial up."""
        self.live[trial_id].death = death

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tune's last word on a trial. Without an error and not yet told: interrupted, so it stays resumable."""
        live = self.live.pop(trial_id, None)
        if error and live is not None and live.told is None:
            with self._interruptible():
                self._died(live)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """A storage that is full or gone ends the sweep, not the trials: what it does not know did not happen."""
        try:
            yield
        except storages.failures() as error:
            self.interrupted = storages.lost(error)

    def _died(self, live: Live) -> None:
        """Back in line, unless it keeps dying at the same step."""
        fault = deaths.judge(live.death, self._state)
        if fault is not Fault.NODE and self._count(live, fault) > self._allowed(fault):
            fault = deaths.settle(live.death, self._state)
        if fault is Fault.TRIAL:
            count = self._count(live, fault)
            live.trial.set_user_attr("crashes", (count, live.step))
            if count > self._max_failures:
                again = f"crashed {count} times at step {live.step}: " if count > 1 else ""
                self._tell(live, TrialState.FAIL, reason=again + live.death.reason)
                return
        if fault is Fault.NOBODY:
            self._lost(live)
        self._again(live)

    def _count(self, live: Live, fault: Fault) -> int:
        """How often it has died so, this time included, without a step of progress."""
        crashes = live.trial.user_attrs.get("crashes", (0, 0))
        count, step = crashes if fault is Fault.TRIAL else self._losses.get(live.directory, (0, 0))
        return count + 1 if step == live.step else 1

    def _allowed(self, fault: Fault) -> int:
        return self._max_failures if fault is Fault.TRIAL else deaths.MOST

    def _lost(self, live: Live) -> None:
        """Not its fault. Again and again, something is out of order that the sweep cannot help: it ends, resumable."""
        count = self._count(live, Fault.NOBODY)
        self._losses[live.directory] = (count, live.step)
        if count > deaths.MOST:
            self.interrupted = (
                f"{live.directory} was lost {count} times at step {live.step} by no fault of its own "
                f"({live.death.reason.rstrip('.')}). Look at Ray and its machines, then resume."
            )

    def _again(self, live: Live) -> None:
        self._waiting.append(Asked(live.arm, optuna.Trial(live.arm.study, live.trial._trial_id)))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler's face has seen it."""

    def _occupy(self, live: Live, result: dict[str, Any]) -> None:
        live.occupied += float(result.get("occupied_s", result.get("time_this_iter_s", 0.0)))
        if live.arm.spec.gpu_hours is not None:
            live.trial.set_user_attr(OCCUPIED, live.occupied)

    def _tell(
        self,
        live: Live,
        state: TrialState,
        *,
        miou: float | None = None,
        reason: str | None = None,
        facts: dict[str, Any] | None = None,
    ) -> str:
        """End a trial in the storage."""
        told = self._facts(live, facts or {})
        if reason:
            told["reason"] = reason
        live.arm.tell(live.trial, state, miou=miou, facts=told)
        live.told = state
        return TrialScheduler.STOP

    def _facts(self, live: Live, result: dict[str, Any]) -> dict[str, Any]:
        """What is kept of a trial beside its values."""
        told: dict[str, Any] = {name: fact for name in _FACTS if (fact := result.get(name)) is not None}
        if live.skipped:
            told["skipped"] = list(live.skipped)
        return {**told, OCCUPIED: round(live.occupied, 3)}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the storage is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the storage is the truth."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher; there is nothing in that copy to go wrong with."""
        return {"_metric": self._metric, "_mode": self._mode}


class PruningFace(FIFOScheduler):
    """The scheduler's face: no state of its own; it finds the bridge through the controller."""

    _supports_buffered_results = False  # decisions must be immediate

    @property
    def metric(self) -> str:
        return METRIC

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return _bridge(tune_controller).report(trial.trial_id, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        _bridge(tune_controller).note_death(trial.trial_id, death_of(trial))


def _bridge(tune_controller: Any) -> Bridge:
    """Unwrap what Tune wraps around a searcher (SearchGenerator, ConcurrencyLimiter)."""
    searcher = tune_controller.search_alg
    while not isinstance(searcher, Bridge):
        searcher = searcher.searcher
    return searcher
