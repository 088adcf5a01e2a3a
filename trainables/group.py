"""Many students of one teacher in one process: one stream of crops, one forward of the teacher for each batch.

A student here takes the very steps that it takes alone (`loop.Learner`), with its own optimiser, random states,
checkpoints and end, so its result is the same, on the CPU bit for bit. Students that stand at the same step learn
together, from one report to the next. One that is new begins at step 0, as alone; the others wait at their reports
until it has come as far, or they are in the majority, or have waited for long enough.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from trainables.compiled import begin_step
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.feed import Batch, feed
from trainables.errors import HeteroakdError
from trainables.guidance.cache import Hits
from trainables.guidance.guide import Guide
from trainables.kept.store import Store
from trainables.loop import Learner
from trainables.losses.find import find_method
from trainables.models.segmodel import SegModel
from trainables.state import Report


class Member(NamedTuple):
    """A trial of a group; `name` tells it from the others, `directory` is where it keeps what it has learnt."""

    name: str
    config: TrialConfig
    directory: Path | Store


class Answer(NamedTuple):
    """To a report: whether that trial ends here, and which others are to be taken in."""

    stop: bool = False
    join: tuple[Member, ...] = ()


PATIENCE = 4
"""Turns that a student waits while others go first; so few that none starves, and they still meet."""
Name = TypeVar("Name")
Item = TypeVar("Item")
Outcome = Report | HeteroakdError
"""An evaluation; or why the trial has ended, which the others do not notice."""
Tell = Callable[[str, Outcome, float], Answer]
"""Takes a member's name, its outcome, and the seconds that this took: an equal share of what was done for all."""


def train_group(
    members: Iterable[Member], *, dataset: SegDataset, teacher: SegModel | None, tell: Tell, cache: Path | None = None
) -> None:
    """Train them and those that join, until every one has reached its budget, was stopped or failed.

    Args:
        members: of one `TrialConfig.shared_digest`, as those that join must be.
        teacher: frozen; None where no method needs one.
        tell: called after each evaluation, when the checkpoint is on disk; a resumed member tells its history first.
        cache: folder that the teacher cache is in, if they ask for one; none: the user's.
    """
    dataset.take_skipped()  # an earlier trial's, in a reused process
    group = _Group(dataset, teacher, tell, cache)
    group.admit(members)
    while group.learners:
        group.advance()


class _Group:
    def __init__(self, dataset: SegDataset, teacher: SegModel | None, tell: Tell, cache: Path | None) -> None:
        self.learners: dict[str, Learner] = {}
        self._dataset = dataset
        self._teacher = teacher
        self._guide: Guide | None = None
        self._hits: dict[str, Hits] = {}
        self._waited: dict[str, int] = {}
        self._tell = tell
        self._cache = cache
        self._stream = _Stream(dataset)

    def admit(self, members: Iterable[Member]) -> None:
        arriving = deque(members)
        while arriving:
            arriving += self._begin(arriving.popleft())

    def _begin(self, member: Member) -> Iterable[Member]:
        """Take one in, unless it has ended; those that join because of what it tells."""
        config = member.config
        teacher = self._teacher if find_method(config.method).needs_teacher else None
        try:
            learner = Learner(config, dataset=self._dataset, teacher=teacher, directory=member.directory)
        except HeteroakdError as error:
            return self._tell(member.name, error, 0.0).join
        if teacher is not None and self._guide is None:
            self._guide = Guide(teacher, config, dataset=self._dataset, cache=self._cache)
        joining: list[Member] = []
        for earlier in learner.state.history:
            answer = self._tell(member.name, earlier, 0.0)
            joining += answer.join
            if answer.stop:
                return joining
        if learner.state.step < config.steps:
            self.learners[member.name] = learner
        return joining

    def advance(self) -> None:
        """Take a set of students that stand at one step to their next report."""
        cohort = next_cohort(self.learners, step=lambda learner: learner.state.step, waited=self._waited)
        self._waited = {name: 0 if name in cohort else self._waited.get(name, 0) + 1 for name in self.learners}
        began, size, hits = time.perf_counter(), len(cohort), self._guide.hits if self._guide else Hits()
        failed = self._learn(cohort)
        share = (time.perf_counter() - began) / size
        new = self._guide.hits.since(hits) if self._guide else hits
        skipped = self._dataset.take_skipped()
        joining: list[Member] = []
        for name, error in failed.items():
            joining += self._end(name, self._tell(name, error, share))
        for name, learner in cohort.items():
            learner.state.seconds += share
            learner.skipped += skipped
            self._hits[name] = self._hits.get(name, Hits()).plus(*new)
            joining += self._report(name, learner, share)
        self.admit(joining)

    def _learn(self, cohort: dict[str, Learner]) -> dict[str, HeteroakdError]:
        """Steps up to the next report; those that fail leave the cohort, and are given back with the reason."""
        failed: dict[str, HeteroakdError] = {}
        first = next(iter(cohort.values()))
        try:
            for batch in self._stream.leg(first):
                failed |= self._step(cohort, batch)
                if not cohort:
                    break
        except HeteroakdError as error:  # a damaged image: each would have met it alone
            failed |= dict.fromkeys(cohort, error)
            cohort.clear()
        return failed

    def _step(self, cohort: dict[str, Learner], batch: Batch) -> dict[str, HeteroakdError]:
        failed: dict[str, HeteroakdError] = {}
        begin_step(next(iter(cohort.values())).config)
        guide = self._guide(batch) if self._guide else None
        for name, learner in cohort.items():
            try:
                learner.step(batch, guide if learner.state.criterion.needs_teacher else None)
            except HeteroakdError as error:
                failed[name] = error
        for name in failed:
            del cohort[name]
        return failed

    def _report(self, name: str, learner: Learner, share: float) -> Iterable[Member]:
        began = time.perf_counter()
        found: Outcome
        try:
            found = learner.assess(hits=self._hits[name])
        except HeteroakdError as error:
            found = error
        answer = self._tell(name, found, share + time.perf_counter() - began)
        if isinstance(found, Report) and not answer.stop and learner.state.step < learner.config.steps:
            return answer.join
        return self._end(name, answer)

    def _end(self, name: str, answer: Answer) -> Iterable[Member]:
        del self.learners[name]
        self._hits.pop(name, None)
        return answer.join


class _Stream:
    """Batches from any step on; where the last leg ended, the loader and its processes go on."""

    def __init__(self, dataset: SegDataset) -> None:
        self._dataset = dataset
        self._batches: Iterator[Batch] = iter(())
        self._at: int | None = None

    def leg(self, learner: Learner) -> Iterator[Batch]:
        """From where a learner stands to its next report."""
        start, end = learner.state.step, learner.due_step
        if self._at != start:
            self._batches = feed(self._dataset, learner.config, device=learner.device, start_step=start)
        self._at = None  # until the leg is over: an error leaves no loader that could go on
        for _ in range(start, end):
            yield next(self._batches)
        self._at = end


def next_cohort(
    standing: Mapping[Name, Item], *, step: Callable[[Item], int], waited: Mapping[Name, int]
) -> dict[Name, Item]:
    """Who goes next: of the sets that stand at one step the one that has waited longest, if for PATIENCE turns; else
    the largest; of equally many, those behind.

    Args:
        waited: turns since each last had one; 0 for those not in it.
    """
    cohorts: dict[int, dict[Name, Item]] = defaultdict(dict)
    for name, one in standing.items():
        cohorts[step(one)][name] = one

    def claim(at: int) -> tuple[int, int, int]:
        longest = max(waited.get(name, 0) for name in cohorts[at])
        return longest if longest >= PATIENCE else 0, len(cohorts[at]), -at

    return cohorts[max(cohorts, key=claim)]
