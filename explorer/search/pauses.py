"""Pauses: a sweep's first trials wait at a third and at two thirds of their steps; the best half of them go on.

While proposals are hardly better than random ones, most trials are not worth their steps, and too few are whole to say
which (`evidence.py`). So the first ones of a search stop at each rung, at the first report that gets there. A paused
trial is RUNNING in the storage, has an attribute `paused_at`, and holds nothing but its checkpoint. Who goes on is a
function of the study's trials alone, so a resumed sweep decides what the uninterrupted one would have:

    as soon as it is among the best half of those that came there    it goes on
    when all of the first have come    so does the middle one of an odd number; the others end, PRUNED
    when the sweep asks for no more before that    all end, save that where nothing is whole the best one goes on

Only trials of the same student are compared, as by every pruner (`views.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from explorer.search.reasons import last, percent
from explorer.search.repeats import REPEATS

PAUSED_AT = "paused_at"
"""Trial attribute: {"step": where, "because": why}; with "on", why it goes on, once it does. One write each."""
RUNGS = 3  # at 1 / RUNGS, 2 / RUNGS, ... of a trial's steps


class Verdict(NamedTuple):
    """Of a trial that waits: it goes on, or ends; why."""

    trial: FrozenTrial
    goes_on: bool
    because: str


@dataclass(frozen=True)
class Pauses:
    """Attributes:
    first: so many of the search's trials pause; 0: none.
    num_warm: trials before the first.
    num_whole: once so many trials of a student are whole, the pruner judges its trials, and none pauses.
    """

    first: int
    num_warm: int = 0
    num_whole: int = 8

    def due(self, trial: FrozenTrial, step: int, known: Sequence[FrozenTrial] = ()) -> str | None:
        """Why a running trial pauses with its report at a step; None: it does not, or has done so there.

        Args:
            known: every trial of the study, those of an earlier one included.
        """
        if not self.govern(trial, known) or trial.user_attrs.get(PAUSED_AT, {}).get("step") == step:
            return None
        before = max((one for one in trial.intermediate_values if one < step), default=0)
        budget = trial.user_attrs["budget"]
        rung = next((rung for rung in reversed(range(1, RUNGS)) if before * RUNGS < rung * budget <= step * RUNGS), 0)
        if not rung:
            return None
        have = f"Paused at step {step} of {budget} with {percent(trial.intermediate_values[step])}"
        return f"{have}: the first {self.first} trials wait for each other there, and the best half of them go on."

    def govern(self, trial: FrozenTrial, known: Sequence[FrozenTrial]) -> bool:
        """Whether a trial pauses at the rungs, instead of being stopped by a pruner that knows too little yet.

        Args:
            known: as for `due`.
        """
        student = trial.user_attrs.get("student")
        whole = (one for one in known if one.state == TrialState.COMPLETE and one.user_attrs.get("student") == student)
        return self.takes_part(trial) and sum(1 for _ in whole) < self.num_whole

    def verdicts(self, trials: Sequence[FrozenTrial], *, all_asked: bool, limit: str | None = None) -> list[Verdict]:
        """Of those that wait and need wait no longer.

        Args:
            trials: of the search, in any state.
            all_asked: whether none of the first is still to come.
            limit: why the sweep asks for no more trials, if it does not.
        """
        first = [trial for trial in trials if self.takes_part(trial)]
        if not any(map(is_paused, first)):
            return []
        found = list[Verdict]()
        for student in dict.fromkeys(trial.user_attrs.get("student") for trial in first):
            peers = [trial for trial in first if trial.user_attrs.get("student") == student]
            if limit is not None:
                every = [trial for trial in trials if trial.user_attrs.get("student") == student]
                found += _at_the_end([trial for trial in peers if is_paused(trial)], every, limit)
                continue
            for rung in range(1, RUNGS):
                found += _at(peers, rung, all_asked=all_asked)
        return found

    def takes_part(self, trial: FrozenTrial) -> bool:
        """Whether it is one of the first, and no probe or repeat, which are trained whole."""
        told = trial.user_attrs
        return trial.number - self.num_warm < self.first and not told.get("probe") and REPEATS not in told


def is_paused(trial: FrozenTrial) -> bool:
    """Whether it waits: it runs nowhere, though the storage has it as RUNNING."""
    told = trial.user_attrs.get(PAUSED_AT, {})
    waits = bool(told) and "on" not in told and told["step"] == trial.last_step
    return waits and trial.state == TrialState.RUNNING


def turn(trial: FrozenTrial) -> int:
    """Of trials that are to run, those that are to go on from a pause come last, in the order of their numbers: like
    the verdicts, a function of the study's trials, whichever driver stands them in line.
    """
    told = trial.user_attrs.get(PAUSED_AT, {})
    return trial.number + 1 if "on" in told and told["step"] == trial.last_step else 0


def _at(peers: Sequence[FrozenTrial], rung: int, *, all_asked: bool) -> Iterator[Verdict]:
    """At one rung."""
    came = {trial.number: step for trial in peers if (step := _came(trial, rung)) is not None}
    coming = any(trial.state == TrialState.RUNNING and trial.number not in came for trial in peers)
    closed = all_asked and not coming
    half = (len(came) + closed) // 2
    there = [trial for trial in peers if trial.number in came]
    there.sort(key=lambda trial: (-trial.intermediate_values[came[trial.number]], trial.number))
    words = f"the best {half} of {len(came)} trials of this student {'' if closed else 'so far '}there"
    for place, trial in enumerate(there):
        waits = is_paused(trial) and trial.last_step == came[trial.number]
        if waits and (place < half or closed):
            goes_on = place < half
            yield Verdict(trial, goes_on, f"its {percent(last(trial))} is {'' if goes_on else 'not '}among {words}")


def _at_the_end(waiting: Sequence[FrozenTrial], peers: Sequence[FrozenTrial], limit: str) -> Iterator[Verdict]:
    """When the sweep asks for no more: what is whole is what the search has, so that something must be."""
    if any(trial.state == TrialState.COMPLETE for trial in peers):
        yield from (Verdict(trial, False, f"the sweep asks for no more: {limit.rstrip('.')}") for trial in waiting)
    elif waiting and sum(trial.state == TrialState.RUNNING for trial in peers) == len(waiting):
        best = max(waiting, key=lambda trial: (trial.last_step, last(trial), -trial.number))
        yield Verdict(best, True, "the sweep asks for no more, nothing is whole, and it has come furthest")


def _came(trial: FrozenTrial, rung: int) -> int | None:
    """The step with which it came to a rung."""
    budget = trial.user_attrs.get("budget", 0)
    return min((step for step in trial.intermediate_values if step * RUNGS >= rung * budget), default=None)


def paused(trial: FrozenTrial) -> str:
    """Where and why it waits, as a sentence; empty for one that does not."""
    return str(trial.user_attrs[PAUSED_AT]["because"]) if is_paused(trial) else ""
