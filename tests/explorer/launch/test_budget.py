"""A sweep at equal compute: steps by hand, rungs and pruning at shares of them, and a resume."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from explorer.launch.sweep import resume, sweep
from explorer.results.trials import load_frames, load_studies
from explorer.search.compute import STEP_COSTS
from explorer.study import StudySpec

MINE = """
from trainables.contracts import tiny
from trainables.models.segmodel import SegModel

def small(num_classes: int) -> SegModel:
    return tiny.network(num_classes=num_classes)

def wide(num_classes: int) -> SegModel:
    return tiny.network(num_classes=num_classes, width=10)
"""
# multiply-accumulates of an image of 64x64 in 3 classes: 3x3 convolutions of stride 2 over 4, 5, 6, 7, 8 or 10, ... 14
# channels, then the second stage's 5 or 11 channels to 6 and those to 3 at 16x16
SMALL = 9 * (3 * 4 * 32**2 + 4 * 5 * 16**2 + 5 * 6 * 8**2 + 6 * 7 * 4**2 + 7 * 8 * 2**2) + (5 * 6 + 6 * 3) * 16**2
WIDE = 9 * (3 * 10 * 32**2 + 10 * 11 * 16**2 + 11 * 12 * 8**2 + 12 * 13 * 4**2 + 13 * 14 * 2**2) + 84 * 16**2
OWN = {"small": 9, "wide": 6}  # of 12 in three reports: 4 / (4 / 3) = 3 a report, and 4 / 2.13, which is rounded to 2


@pytest.fixture(scope="module")
def code(own_code):
    """A folder with the networks."""
    with own_code("mine_budget", MINE) as place:
        yield place


@pytest.fixture(scope="module")
def spec(tiny_data):
    crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2, "steps": 12}
    recipe = {**crop, "steps": 1, "warmup_steps": 0}
    more = {"method": "kd", "lr": 0.02, "eval_every": 4, "warmup_steps": 4, "device": "cpu", "teacher_recipe": recipe}
    return {
        "name": "equal",
        "space": {
            "pair": ["mine_budget:small>mine_budget:small", "mine_budget:wide>mine_budget:small"],
            "lambda_kd": {"low": 0.01, "high": 10.0, "log": True},
        },
        "base": {**crop, **more, "data": str(tiny_data)},
        "sampler": "random",
        "num_trials": 4,
        "budget": "gmac",
        "pruner": "successivehalving",
        "grace_period": 4,
        "reduction_factor": 2,
        "max_concurrent": 1,
    }


@pytest.fixture(scope="module")
def directory(without_ray, spec, code):
    """Four trials, then two more of the resumed study; and what was said at each."""
    place, said = code / "study", [Console(file=io.StringIO(), width=300) for _ in range(2)]
    with without_ray():
        assert sweep(StudySpec.parse(spec), place, console=said[0]) == 0
        StudySpec.of(place).model_copy(update={"num_trials": 6}).save(place)
        assert resume(place, console=said[1]) == 0
    return place, [one.file.getvalue() for one in said]


def trials(directory):
    """Every trial, and the model that taught it."""
    _, studies = load_studies(directory)
    told = [(trial, trial.user_attrs) for study in studies.values() for trial in study.get_trials()]
    return [(trial, known.get("teacher", "").rpartition(":")[2]) for trial, known in told]


def test_trials_have_the_steps_that_cost_what_the_student_alone_costs(directory):
    for trial, teacher in trials(directory[0]):
        told, config = trial.user_attrs, trial.user_attrs["config"]
        steps = OWN.get(teacher, 12)
        taught = {"small": SMALL, "wide": WIDE}.get(teacher, 0)
        assert (config["steps"], config["eval_every"], config["warmup_steps"]) == (steps, steps // 3, round(steps / 3))
        assert (told["steps"], told["budget"]) == (steps, 12)
        assert told["cost_per_step"] == pytest.approx(2 * (taught + 3 * SMALL) / 1e9)  # two images
        assert told["relative_cost"] == pytest.approx(1 + taught / (3 * SMALL))
    assert {teacher for _, teacher in trials(directory[0])} == {"", "small", "wide"}


def test_reports_rungs_and_pruning_are_at_equal_shares_of_them(directory):
    """Each trained for its own steps; the storage has them at 4, 8 and 12, and the first rung is at 4."""
    pruned = 0
    for trial, teacher in trials(directory[0]):
        every = OWN.get(teacher, 12) // 3
        log = directory[0] / f"trials/{'search' if teacher else 'baseline'}-{trial.number:05d}/log.jsonl"
        seen = {report["step"]: report["miou"] for report in map(json.loads, log.read_text().splitlines())}
        assert {4 * step // every: miou for step, miou in seen.items()} == trial.intermediate_values
        if teacher:
            assert trial.system_attrs["completed_rung_0"] == trial.intermediate_values[4]
        if trial.state.name == "PRUNED":
            pruned += 1
            own = trial.last_step // 4 * every
            at = f"at step {trial.last_step} of its student alone (its own {own}, at equal compute)"
            assert at in trial.user_attrs["reason"]
        else:
            assert sorted(trial.intermediate_values) == [4, 8, 12]
    assert pruned


def test_a_resumed_sweep_measures_nothing_again_and_keeps_the_steps(directory):
    place, (first, again) = directory
    assert "budget: measuring a step of 3 kinds of trials, in gmac" in first
    assert "teacher mine_budget:wide, student mine_budget:small: 0.00248 GMAC a step, 2.13 times" in first
    assert "measuring" not in again
    _, studies = load_studies(place)
    told = studies["search"].user_attrs[STEP_COSTS]
    assert told["unit"] == "gmac"
    assert len(studies["search"].get_trials()) == 6
    assert told == studies["baseline"].user_attrs[STEP_COSTS]


def test_gains_are_at_equal_compute_and_beside_them_at_equal_steps(directory):
    """The student alone at 9 or 6 of its 12 steps: between its reports at 8 and 12, or at 4 and 8. The wide teacher's
    trials had 6 % more than their share, so they are read where they had cost as much: before their last report.
    """
    frames = load_frames(directory[0])
    drawn = frames.curves.set_index(["role", "number", "step"])["miou"]
    alone = drawn["baseline", 0]
    for row in frames.trials_of("search", "COMPLETE").to_dict("records"):
        early = {9: alone[8] + (alone[12] - alone[8]) / 4, 6: (alone[4] + alone[8]) / 2}[row["steps"]]
        assert row["gain"] == row["miou"] - alone[12]
        assert row["gain_at_steps"] == pytest.approx(row["miou"] - early)
        over = 12 * (1 - 12 / (6 * (1 + WIDE / (3 * SMALL)))) if row["steps"] == 6 else 0.0
        own = drawn["search", row["number"]]
        assert row["gain_at_compute"] == pytest.approx(row["gain"] - (own[12] - own[8]) * over / 4)
    assert set(frames.gains["equal"]) == {"steps", "compute"}


def test_trials_of_a_group_keep_their_own_steps_and_results(without_ray, spec, code):
    """Two methods on one teacher's forward, whose steps cost differently: each as by itself."""
    pair = "mine_budget:small>mine_budget:small"
    space = {"method": ["kd", "heteroakd"], "lambda_kd": {"low": 0.01, "high": 10.0, "log": True}}
    base = {**spec["base"], "pair": pair, "projector_tap": "stage1", "projector_depth": 2}
    del base["method"]
    found = []
    for size in (1, 2):
        more = {"space": space, "base": base, "pruner": "none", "group_size": size, "balance": "method"}
        place = code / f"group{size}"
        with without_ray():
            assert sweep(StudySpec.parse({**spec, **more}), place, console=Console(file=io.StringIO())) == 0
        _, studies = load_studies(place)
        found.append(studies["search"].get_trials())
    assert len({trial.user_attrs["steps"] for trial in found[0]}) == 2
    for alone, grouped in zip(*found, strict=True):
        assert grouped.user_attrs["steps"] == alone.user_attrs["steps"]
        assert grouped.intermediate_values == alone.intermediate_values
        assert sorted(grouped.intermediate_values) == [4, 8, 12]
