"""Constraints on what a student may cost. Its cost is known before it is trained, so none is trained to break one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from explorer.study import StudySpec
from search_spaces.pairs import resolve_pair
from trainables.errors import StudyError


def within(spec: StudySpec, costs: Mapping[str, Mapping[str, Any]]) -> tuple[StudySpec, dict[str, str]]:
    """The spec without the students (and pairs) that cost too much, and why each was left out.

    Args:
        costs: of every network, by model name.

    Raises:
        StudyError: no student is left.
    """
    why = {student: reason for student in _students(spec) if (reason := _breaks(spec, costs[student]))}
    if not why:
        return spec, {}
    space = dict(spec.space)
    for name, student in (("pair", lambda pair: resolve_pair(str(pair)).student.model), ("student", str)):
        if name in space:
            space[name] = [choice for choice in space[name] if student(choice) not in why]
    if len(why) == len(_students(spec)):
        raise StudyError(f"No student keeps the constraints: {'; '.join(f'{s} {r}' for s, r in why.items())}.")
    kept = [point for point in spec.enqueue if all(point[n] in space[n] for n in ("pair", "student") if n in point)]
    return spec.model_copy(update={"space": space, "enqueue": kept}), why


def _students(spec: StudySpec) -> tuple[str, ...]:
    return spec.search_space.students(spec.trial_base)


def _breaks(spec: StudySpec, cost: Mapping[str, Any]) -> str:
    over = [(name, cost[name], most) for name, most in spec.constraints.items() if cost[name] > most]
    return ", ".join(f"has {name} {value:.3g}, more than {most:g}" for name, value, most in over)
