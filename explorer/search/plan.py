"""What the arms of a sweep are to try: their roles, spaces, bases and first points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from optuna.distributions import CategoricalDistribution

from explorer.study import StudySpec
from search_spaces.space import SearchSpace

Role = Literal["baseline", "search", "confirmed"]
ROLES: tuple[Role, ...] = ("baseline", "search")
"""A sweep's, in this order: gains can be shown as soon as trials finish."""


@dataclass(frozen=True)
class Plan:
    """What an arm is to try: `points` (partial params) first, `num_probes` at random, the rest as the sampler says."""

    role: Role
    space: SearchSpace
    base: dict[str, Any]
    num_trials: int
    points: list[dict[str, Any]]
    num_probes: int = 0

    def probes(self, num_points: int) -> list[int]:
        """Which trials, in the order they are asked for, are probes: spread evenly behind the points."""
        free = self.num_trials - num_points
        quota = min(self.num_probes, max(free, 0))
        return [num_points + place for place in range(free) if (place + 1) * quota // free > place * quota // free]


def plans(spec: StudySpec) -> dict[Role, Plan]:
    """Both arms' plans; the students alone in turn, so that each gets as many trials. Where they may take unlabelled
    images, each ratio of a list has its round of students and seeds, before the sampler chooses.
    """
    alone, alone_base, num_baselines = spec.baseline()
    students = alone.students(alone_base)
    points: list[dict[str, Any]] = [{"student": students[n % len(students)]} for n in range(num_baselines)]
    whole = len(students) * len(spec.seeds)
    for n, ratio in enumerate(each for each in _ratios(alone) for _ in range(whole)):
        if n < num_baselines:
            points[n]["unlabelled_ratio"] = ratio
    return {
        "baseline": Plan("baseline", alone, alone_base, num_baselines, points),
        "search": Plan(
            "search", spec.search_space, spec.trial_base, spec.num_trials, spec.points, num_probes=spec.num_probes
        ),
    }


def _ratios(alone: SearchSpace) -> tuple[Any, ...]:
    """The choices of unlabelled_ratio; none for a range, or where it is not searched."""
    found = alone.dimensions.get("unlabelled_ratio")
    return tuple(found.choices) if isinstance(found, CategoricalDistribution) else ()
