"""What a confirmation runs: the best configs of the search and their students alone, each on the same fresh seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, NamedTuple

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from explorer.results import confirmed_runs
from explorer.results.verdict import seen
from explorer.search import belief, warm
from explorer.search.arms import Arm, study_name
from explorer.search.compute import COST, RELATIVE, STEPS
from explorer.search.plan import Plan, Role
from explorer.storage import storages
from explorer.study import StudySpec
from search_spaces.pairs import pair_name
from search_spaces.space import SearchSpace
from trainables.config import TrialConfig
from trainables.errors import StudyError

FIRST_FRESH = 1000
"""Fresh seeds count from here: away from those that one lists in a spec, so that more of those stay fresh too."""


class Candidate(NamedTuple):
    """A config of the sweep, whatever its seed.

    Attributes:
        key: content hash of what a trial of it reads, but the seed.
        config: of its best trial.
        miou: mean over its complete trials.
        role: the arm they are of.
        sources: their numbers, the best one first.
        compute: {steps, cost_per_step, relative_cost} under equal compute.
        budget: steps of the student alone that cost as much.
    """

    key: str
    config: TrialConfig
    miou: float
    role: Role
    sources: list[int]
    compute: dict[str, Any]
    budget: int


class Wanted(NamedTuple):
    part: Literal["finalist", "alone"]
    candidate: Candidate
    seed: int


@dataclass(frozen=True)
class Request:
    """Attributes:
    finalists: the configs believed best, best first.
    alone: the matched student alone, by student; students without one are left out.
    seeds: fresh ones.
    """

    finalists: list[Candidate]
    alone: dict[str, Candidate]
    seeds: list[int]

    def runs(self) -> list[Wanted]:
        """Seed by seed, so that a confirmation that is stopped early has whole pairs, and groups have one seed."""
        own = {candidate.key for candidate in self.finalists}
        parts: list[tuple[Literal["finalist", "alone"], Candidate]] = [("finalist", one) for one in self.finalists]
        parts += [("alone", one) for one in self.alone.values() if one.key not in own]
        return [Wanted(part, candidate, seed) for seed, (part, candidate) in itertools.product(self.seeds, parts)]


class Reruns(Arm):
    """An arm whose trials were all decided before it starts; the study holds them, those not begun as waiting ones."""

    def ask(self) -> tuple[optuna.Trial, TrialConfig]:
        """The next one in line."""
        trial = self.study.ask()
        return trial, TrialConfig.parse(trial.user_attrs["config"])


def request(spec: StudySpec, studies: dict[Role, optuna.Study], *, top: int, num_seeds: int) -> Request:
    """The `top` configs by what they are believed to have over seeds, and the best config of each of their
    students alone: of the arm of the students alone, which is tuned with as many trials, or of the search, if `task` is
    one of its methods. Of a collaborative finalist the other student counts too.

    Raises:
        StudyError: no trial of the search is complete.
    """
    search, baseline = (_candidates(role, warm.own(studies[role])) for role in ("search", "baseline"))
    if not search:
        raise StudyError(
            "No trial of the search is complete yet, so there is nothing to confirm. `heteroakd resume` it."
        )
    plain = [one for one in (*baseline, *search) if one.config.method == "task"]
    finalists = _by_belief(search, studies["search"])[:top]
    alone: dict[str, Candidate] = {}
    for finalist in finalists:
        for student in _networks(finalist.config):
            matched = [one for one in plain if one.config.student == student and one.budget == finalist.budget]
            if matched:
                alone[student] = max(matched, key=lambda one: one.miou)
    used = seen(spec, studies["search"])
    fresh = (seed for seed in itertools.count(FIRST_FRESH) if seed not in used)
    return Request(finalists, alone, list(itertools.islice(fresh, num_seeds)))


def open_arm(spec: StudySpec, studies: dict[Role, optuna.Study], asked: Request, *, top: int, split: str) -> Reruns:
    """The study of the runs, with those added that it lacks: a config never has two results on one seed.

    Raises:
        StudyError: the storage holds a study of that name which another sweep made.
    """
    storage = studies["search"]._storage
    name = study_name(spec, "confirmed")
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    study.sampler, study.pruner = RandomSampler(seed=0), NopPruner()  # nothing is proposed, and nothing pruned
    if "identity" not in study.user_attrs:
        study.set_user_attr("identity", {"owner": spec.owner})
    elif confirmed_runs.owner_of(study) != spec.owner:
        raise StudyError(f"The storage holds a study {name!r} of another sweep. Choose another name for one of them.")
    with storages.one_sync(storage):
        _note(study, asked, top=top, split=split)
        _enqueue(study, asked)
    config = asked.finalists[0].config
    every = len(study.get_trials(deepcopy=False))
    plan = Plan("confirmed", SearchSpace({}), config.model_dump(mode="json"), every, points=[])
    return Reruns(plan, study, spec)


def asked_before(spec: StudySpec, studies: dict[Role, optuna.Study]) -> dict[str, Any]:
    """The last request: top, seeds and split; empty if there was none."""
    study = confirmed_runs.open_confirmed(spec, studies["search"]._storage)
    known = study.user_attrs.get(confirmed_runs.ASKED) if study is not None else None
    return known if isinstance(known, dict) else {}


def _candidates(role: Role, trials: Iterable[FrozenTrial]) -> list[Candidate]:
    """The configs of the complete trials, the best mean first; of equals, the one that was tried first.

    Without folds: a run of a confirmation is one student, trained on the data set's own split, which can be shipped.
    """
    groups: dict[str, list[tuple[FrozenTrial, TrialConfig]]] = {}
    for trial in trials:
        if trial.state == TrialState.COMPLETE and "config" in trial.user_attrs:  # else: an earlier study's
            config = TrialConfig.parse(trial.user_attrs["config"]).model_copy(update={"folds": None})
            groups.setdefault(config.digest(without=("seed",)), []).append((trial, config))
    found = [_candidate(role, key, group) for key, group in groups.items()]
    return sorted(found, key=lambda one: -one.miou)


def _by_belief(candidates: list[Candidate], search: optuna.Study) -> list[Candidate]:
    """The config believed best first, as everywhere else."""
    trials = search.get_trials(deepcopy=False)
    found = belief.believed(trials)
    assert found is not None  # candidates are complete
    of = {trial.number: trial for trial in trials}
    return sorted(candidates, key=lambda one: -found.mean(of[one.sources[0]]))


def _candidate(role: Role, key: str, group: list[tuple[FrozenTrial, TrialConfig]]) -> Candidate:
    group = sorted(group, key=lambda pair: -pair[0].values[0])
    miou = fmean(trial.values[0] for trial, _ in group)
    told, config = group[0][0].user_attrs, group[0][1]
    compute = {name: told[name] for name in (STEPS, COST, RELATIVE) if name in told}
    numbers = [trial.number for trial, _ in group]
    return Candidate(key, config, miou, role, numbers, compute, told.get("budget", config.steps))


def _networks(config: TrialConfig) -> tuple[str, ...]:
    """Those that gains are measured of."""
    return (config.student, config.teacher) if config.method == "collaborative" else (config.student,)


def _note(study: optuna.Study, asked: Request, *, top: int, split: str) -> None:
    """What is compared with what. Earlier requests' configs stay: to leave one out now would be to choose twice."""
    known = study.user_attrs
    finalists = {one.key: one.sources for one in asked.finalists}
    alone = {student: one.key for student, one in asked.alone.items()}
    request = {"top": top, "seeds": len(asked.seeds), "split": split}
    for name, values in ((confirmed_runs.FINALISTS, finalists), (confirmed_runs.ALONE, alone)):
        study.set_user_attr(name, {**known.get(name, {}), **values})
    study.set_user_attr(confirmed_runs.ASKED, request)


def _enqueue(study: optuna.Study, asked: Request) -> None:
    """What is there stays; a run that failed is tried again."""
    kept = [trial.user_attrs for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
    there = {(told.get(confirmed_runs.KEY), told.get("seed")) for told in kept}
    for wanted in asked.runs():
        if (wanted.candidate.key, wanted.seed) not in there:
            study.enqueue_trial({}, user_attrs=_attributes(wanted))


def _attributes(wanted: Wanted) -> dict[str, Any]:
    """As a trial of a sweep has them, and where it comes from."""
    candidate = wanted.candidate
    config = candidate.config.model_copy(update={"seed": wanted.seed})
    paired = {"teacher": config.teacher, "pair": pair_name(config.teacher, config.student)}
    return {
        confirmed_runs.KEY: candidate.key,
        confirmed_runs.PART: wanted.part,
        confirmed_runs.SOURCES: candidate.sources,
        "source_role": candidate.role,
        "student": config.student,
        "method": config.method,
        "seed": config.seed,
        "budget": candidate.budget,
        **candidate.compute,
        **(paired if config.reads("teacher") else {}),
        "config": config.model_dump(mode="json"),
    }
