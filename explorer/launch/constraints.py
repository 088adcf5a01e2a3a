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


def check_latency(spec: StudySpec) -> None:
    """Raises:
    StudyError: `latency` lacks a student, holds no milliseconds, or nothing reads it.
    """
    if spec.latency is None:
        return
    if not asks_latency(spec):
        raise StudyError("latency is given, but latency_ms is no objective and no constraint. Add it, or remove it.")
    if not isinstance(spec.latency, dict):
        raise StudyError(f"latency still names files, {spec.latency!r}. Start the sweep by `heteroakd sweep`.")
    for student in _students(spec):
        if student not in spec.latency:
            raise StudyError(
                f"latency has no milliseconds of the student {student!r}, only of {', '.join(sorted(spec.latency))}. "
                "Measure it with `heteroakd bench` on the device, or leave it out of the space."
            )
        if not spec.latency[student] > 0:
            raise StudyError(f"latency of {student!r} must be > 0 ms, got {spec.latency[student]:g}.")


def asks_latency(spec: StudySpec) -> bool:
    return "latency_ms" in spec.constraints or "latency_ms" in spec.objectives


def known(spec: StudySpec, costs: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Costs by model, with the latencies that the spec was given."""
    given = spec.latency if isinstance(spec.latency, dict) else {}
    return {name: {**cost, **({"latency_ms": given[name]} if name in given else {})} for name, cost in costs.items()}


def _students(spec: StudySpec) -> tuple[str, ...]:
    return spec.search_space.students(spec.trial_base)


def _breaks(spec: StudySpec, cost: Mapping[str, Any]) -> str:
    over = [(name, cost[name], most) for name, most in spec.constraints.items() if cost[name] > most]
    return ", ".join(f"has {name} {value:.3g}, more than {most:g}" for name, value, most in over)
