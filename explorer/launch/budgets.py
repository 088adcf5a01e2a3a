"""What a step of each kind of trial costs: measured once, where trials will run, before the first of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from explorer.launch import tasks
from explorer.launch.means import Means
from explorer.search import compute
from explorer.search.arms import Arm
from explorer.search.compute import STEP_COSTS, Compute, costly, kind, samples
from explorer.search.plan import Role, plans
from explorer.study import StudySpec
from search_spaces import dimension
from trainables import own
from trainables.config import TrialConfig
from trainables.tune import step_costs


def check(spec: StudySpec) -> None:
    """Refuse a budget whose steps cannot be shared out or measured.

    Raises:
        StudyError: one sentence.
    """
    if spec.budget != "steps":
        compute.check(spec)
        kinds(spec)


def settle(arms: dict[Role, Arm], there: Means, *, say: Callable[[str], None]) -> None:
    """See to it that the studies of a sweep know what its steps cost, where its budget is not steps.

    What the study of the search knows is not measured again, whatever machine it is resumed on.

    Raises:
        StudyError: there are too many kinds of steps, or measuring them fails again and again.
    """
    search = arms["search"]
    if search.spec.budget == "steps":
        return
    known = Compute.of(search.study) or _measured(search.spec, there, say)
    for arm in (search, *arms.values()):
        if STEP_COSTS not in arm.study.user_attrs:
            arm.study.set_user_attr(STEP_COSTS, known.record)


def kinds(spec: StudySpec) -> tuple[tuple[str, ...], dict[str, TrialConfig], dict[str, TrialConfig]]:
    """The fields that decide about a step's cost, a config of each kind of step, and that of each student alone.

    Raises:
        StudyError: there are too many kinds.
    """
    arms = plans(spec)
    spaces = [(plan.space, plan.base) for plan in arms.values()]
    networks = ("pair", "method", "teacher", "student")
    names = tuple(dict.fromkeys(n for space, _ in spaces for n in costly(space.dimensions) if n not in networks))
    alone = arms["baseline"]
    others = {name: dimension.values(known)[0] for name, known in alone.space.dimensions.items() if name in names}
    students = {
        student: alone.space.config({**others, "student": student}, alone.base)
        for student in alone.space.students(alone.base)
    }
    return names, samples(spaces, names), students


def shared_out(spec: StudySpec, costs: Mapping[str, float]) -> Compute:
    """What the trials of a study can afford where a step of each kind costs so much.

    Args:
        costs: by kind, see `kinds`; in the unit of the spec's budget.
    """
    names, _, students = kinds(spec)
    alone = {student: costs[kind(config, names)] for student, config in students.items()}
    return Compute(spec.budget, names, costs, alone)


def _measured(spec: StudySpec, there: Means, say: Callable[[str], None]) -> Compute:
    _, found, _ = kinds(spec)
    say(f"budget: measuring a step of {len(found)} kinds of trials, in {spec.budget}")
    values = {name: config.model_dump(mode="json") for name, config in found.items()}
    call: dict[str, Any] = {"configs": values, "unit": spec.budget, "code": own.folders()}
    costs: dict[str, float]
    ((_, costs),) = tasks.results(
        step_costs, [("costs", call)], **there._asdict(), max_failures=spec.max_failures, what="the steps'"
    )
    made = shared_out(spec, costs)
    for line in made.lines(found.values()):
        say(line)
    return made
