"""Equal compute in virtual time: who gets how many steps, how the storage keys them, what a kill leaves."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState

from explorer.launch import budgets
from explorer.launch.means import Means
from explorer.search import compute
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.compute import STEP_COSTS, Compute
from explorer.search.simulator import simulate
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.errors import StudyError
from trainables.loop import set_lr

STEPS, EVERY = 60, 10  # of the student alone: six reports
COSTS = {"task": 1.0, "kd": 1.5, "cwd": 2.0, "heteroakd": 25.0}
OWN = {"task": 60, "kd": 42, "cwd": 30, "heteroakd": 6}  # 10 / 1.5 = 7 a report, 10 / 2 = 5, and at least 1
THERE = Means({"cpu": 1.0, "gpu": 0.0}, 1)


def spec(**values):
    defaults = {
        "space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}, "method": ["kd", "cwd", "heteroakd"]},
        "base": {"steps": STEPS, "eval_every": EVERY, "warmup_steps": 20, "with_kd": True},
        "num_trials": 18,
        "baseline_trials": 1,
        "budget": "seconds",
        "pruner": "median",
        "sampler": "random",
        "grace_period": 20,
    }
    return StudySpec.parse({**defaults, **values})


@pytest.fixture
def measured(monkeypatch):
    """What Ray would run: a step's seconds by method; the calls."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    calls = []

    def results(function, named, **_):
        ((name, call),) = named
        calls.append(call)
        yield name, {key: COSTS[values["method"]] for key, values in call["configs"].items()}

    monkeypatch.setattr(budgets.tasks, "results", results)
    return calls


def curve(config):
    """A tenth of mIoU more with each share of the trial's own budget, from what lambda_kd gives."""
    start = 0.3 * math.exp(-(math.log10(config.get("lambda_kd", 0.3) / 0.3) ** 2))
    every = config["eval_every"]
    return [(step, start + 0.1 * (step / config["steps"])) for step in range(every, config["steps"] + 1, every)]


def run(tmp_path, study, *, workers=1, said=lambda _: None):
    arms = open_arms(study, tmp_path, data_digest="d")
    budgets.settle(arms, THERE, say=said)
    bridge = Bridge(arms.values(), grace=study.grace(STEPS))
    events = simulate(bridge, curve, workers=workers, step_cost=lambda config: COSTS[config["method"]])
    return arms, events


def test_a_trial_has_the_steps_that_cost_what_the_student_alone_costs(tmp_path, measured):
    arms, _ = run(tmp_path, spec(pruner="none"))
    for trial in (*arms["search"].trials(), *arms["baseline"].trials()):
        method, config = trial.user_attrs["method"], trial.user_attrs["config"]
        assert (config["steps"], trial.user_attrs["steps"]) == (OWN[method], OWN[method])
        assert config["warmup_steps"] == round(20 * OWN[method] / STEPS)
        assert trial.user_attrs["budget"] == STEPS
        assert trial.user_attrs["cost_per_step"] == COSTS[method]
        assert trial.user_attrs["relative_cost"] == COSTS[method]
        assert sorted(trial.intermediate_values) == [10, 20, 30, 40, 50, 60]  # equal shares of what each may cost
        assert trial.intermediate_values[30] == pytest.approx(dict(curve(config))[OWN[method] // 2])
        assert trial.state == TrialState.COMPLETE


def test_a_pruner_compares_trials_that_have_cost_the_same(tmp_path, measured):
    """The median of other trials at the same share, whatever their steps: recomputed from what was known."""
    study = spec(pruner_options={"n_startup_trials": 1}, num_trials=24)
    arms, events = run(tmp_path, study)
    known, stopped, methods = [], 0, set()
    for trial in arms["search"].trials():
        values = sorted(trial.intermediate_values.items())
        for step, _ in values:
            if step < 20 or step == STEPS or not known:
                continue
            best = max(value for at, value in values if at <= step)
            falls = best < np.median([other[step] for other in known])
            assert falls == (trial.state == TrialState.PRUNED and step == trial.last_step)
            stopped += falls
            methods |= {trial.user_attrs["method"]} if falls else set()
        if trial.state == TrialState.COMPLETE:
            known.append(trial.intermediate_values)
    assert stopped > 5
    assert len(methods) == 3
    costs = [event.time for event in events if event.step == OWN[event.config["method"]]]
    assert costs == sorted(costs)


PRUNERS = {
    "hyperband": {},
    "successivehalving": {},
    "asha": {},
    "percentile": {},
    "evidence": {"probability": 0.3},
}


@pytest.mark.parametrize("pruner", PRUNERS)
def test_rungs_grace_and_verdicts_are_those_of_a_study_whose_steps_cost_the_same(tmp_path, measured, pruner):
    """Curves depend on the share of the budget alone: so must rungs, verdicts, and what is proposed after them."""
    more = {"pruner": pruner, "pruner_options": PRUNERS[pruner], "num_trials": 18, "seeds": [0, 1]}
    more |= {"sampler": "belief", "num_trials": 24} if pruner == "evidence" else {}
    found = {}
    for budget in ("steps", "seconds"):
        (tmp_path / budget).mkdir()
        arms, _ = run(tmp_path / budget, spec(**more, budget=budget))
        found[budget] = arms["search"].trials()
    for one, other in zip(*found.values(), strict=True):
        assert (one.state, one.params, one.values) == (other.state, other.params, other.values)
        assert one.intermediate_values == other.intermediate_values
        assert one.system_attrs == other.system_attrs  # successive halving notes its rungs there
    pruned = [trial for trial in found["seconds"] if trial.state == TrialState.PRUNED]
    assert len(pruned) > 1
    assert min(trial.last_step for trial in pruned) >= 20  # the grace, which is 2, 10 or 14 steps of their own


def test_the_learning_rate_comes_down_over_the_trials_own_steps():
    study, made = spec(), Compute("gmac", (), {"method kd, teacher t, student s": 2.0}, {"s": 1.0})
    values = {"method": "kd", "teacher": "t", "student": "s", "lambda_kd": 1.0}
    config = made.fitted(TrialConfig.model_construct(**{**study.trial_base, **values, "poly_power": 0.5}))
    assert (config.steps, config.warmup_steps) == (30, 10)
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.4, "initial_lr": 0.4}])
    for step, lr in ((4, 0.4 * 5 / 10 * math.sqrt(26 / 30)), (24, 0.4 * math.sqrt(6 / 30))):
        set_lr(optimizer, config, step)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(lr)


def test_warming_up_ends_before_a_trial_of_few_steps_does():
    """57 of 60 steps are 5.7 of 6, and a trial may not warm up for all its steps."""
    made = Compute("gmac", (), {"method task, student fpn:tu-pvt_v2_b0": 25.0}, {"fpn:tu-pvt_v2_b0": 1.0})
    study = spec(base={"steps": STEPS, "eval_every": EVERY, "warmup_steps": 57})
    fitted = made.fitted(study.search_space.config({"method": "task"}, study.trial_base))
    assert (fitted.steps, fitted.warmup_steps) == (6, 5)
    assert TrialConfig.parse(fitted.model_dump(mode="json")) == fitted


def test_what_was_measured_is_never_measured_again(tmp_path, measured):
    said = []
    arms, _ = run(tmp_path, spec(num_trials=6), said=said.append)
    told = arms["search"].study.user_attrs[STEP_COSTS]
    assert arms["baseline"].study.user_attrs[STEP_COSTS] == told
    assert told["alone"] == {"fpn:tu-pvt_v2_b0": 1.0}
    run(tmp_path, spec(num_trials=8))
    assert len(measured) == 1
    assert len(measured[0]["configs"]) == 4
    (line,) = (line for line in said if line.startswith("method heteroakd"))
    assert line.endswith(
        "25 s a step, 25.00 times the student alone's: 6 steps, 250 % of the compute, since steps are whole"
    )


class Killed(BaseException):
    pass


@pytest.mark.parametrize("seed", range(2))
def test_kills_leave_what_an_undisturbed_sweep_leaves(tmp_path, measured, seed):
    rng = np.random.default_rng(seed)
    study = spec(num_trials=12, pruner=["hyperband", "median"][seed])
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    expected, _ = run(tmp_path / "undisturbed", study)
    kills = 0
    while kills < 8:
        with pytest.MonkeyPatch.context() as patch:
            storage = type(open_arms(study, tmp_path / "killed", data_digest="d")["search"].study._storage)
            write, left = storage._write_log, [int(rng.integers(1, 50))]

            def counted(self, *arguments, write=write, left=left):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                write(self, *arguments)

            patch.setattr(storage, "_write_log", counted)
            try:
                run(tmp_path / "killed", study)
                break
            except Killed:
                kills += 1
    actual, _ = run(tmp_path / "killed", study)
    assert kills >= 5
    for role in ("search", "baseline"):
        assert recorded(actual[role]) == recorded(expected[role])


def recorded(arm):
    names = ("config", "steps", "cost_per_step", "relative_cost", "reason")
    return [
        (
            *(trial.state, trial.params, trial.values, trial.intermediate_values, trial.system_attrs),
            *(trial.user_attrs.get(name) for name in names),
        )
        for trial in arm.trials()
    ]


def test_without_a_budget_nothing_is_measured_and_nothing_is_added(tmp_path, measured):
    arms, _ = run(tmp_path, spec(budget="steps", num_trials=3))
    assert not measured
    assert STEP_COSTS not in arms["search"].study.user_attrs
    assert "budget" not in arms["search"].study.user_attrs["identity"]
    for trial in arms["search"].trials():
        assert trial.user_attrs["config"]["steps"] == STEPS
        assert not {"steps", "cost_per_step", "relative_cost"} & trial.user_attrs.keys()


def test_another_budget_is_refused_on_resume(tmp_path, measured):
    run(tmp_path, spec(budget="steps", num_trials=3))
    with pytest.raises(StudyError, match="another budget"):
        open_arms(spec(num_trials=3), tmp_path, data_digest="d")


def test_steps_that_cannot_be_shared_out_are_refused():
    compute.check(spec(budget="steps", base={"steps": 61, "eval_every": 10}))
    with pytest.raises(StudyError, match=r"steps is 61 and eval_every 10\. Take 70 steps\."):
        compute.check(spec(base={"steps": 61, "eval_every": 10}))


def test_every_kind_of_step_is_measured_once():
    """Depth and width of the projector are heteroakd's; a width is read where there is a second layer."""
    space = {
        "method": ["kd", "heteroakd"],
        "lambda_kd": {"low": 0.1, "high": 1.0},
        "projector_depth": {"low": 1, "high": 2},
        "projector_width": [32, 64],
        "lr": [0.001, 0.01],
    }
    names, found, alone = budgets.kinds(spec(space=space))
    assert set(names) == {"projector_depth", "projector_width"}
    methods = [config.method for config in found.values()]
    assert (methods.count("task"), methods.count("kd"), methods.count("heteroakd")) == (1, 1, 3)
    assert [config.method for config in alone.values()] == ["task"]


def test_too_many_kinds_are_refused():
    space = {"method": ["heteroakd"], "projector_depth": [2, 3], "projector_width": {"low": 8, "high": 135}}
    with pytest.raises(StudyError, match=r"more than 200 kinds .*projector_depth, projector_width"):
        budgets.kinds(spec(space=space))


def test_steps_of_the_storage_and_of_the_trial_are_told_apart():
    told = {"budget": 60, "steps": 42}
    assert [compute.shared_step(told, step) for step in (7, 42)] == [10, 60]
    assert [compute.own_step(told, step) for step in (10, 60)] == [7, 42]
    assert compute.shared_step({"budget": 60}, 7) == compute.own_step({"budget": 60}, 7) == 7


def test_a_cheaper_step_buys_more_steps():
    made = Compute("gmac", (), {"method task, student fpn:tu-pvt_v2_b0": 0.5}, {"fpn:tu-pvt_v2_b0": 1.0})
    study = spec()
    config = study.search_space.config({"method": "task"}, study.trial_base)
    assert made.fitted(config).steps == 120
    assert made.fitted(config).report_every == 20
