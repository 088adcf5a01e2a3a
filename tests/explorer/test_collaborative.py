"""A collaborative study from its storage and logs to frames and bundle; no Ray: trials are told by hand."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from optuna.trial import TrialState
from safetensors import safe_open

from explorer.bundle.export import export
from explorer.launch.sweep import kinds
from explorer.results.trials import load_frames
from explorer.search.arms import open_arms, trial_directory
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.errors import StudyError
from trainables.run import run
from trainables.scoring.metrics import Score

CNN, SMALL = "fpn:tu-test_resnet", "segformer:tu-test_efficientnet"


@pytest.fixture
def study(tiny_data, tmp_path):
    """Opens a study of one collaborative trial and both its students alone; returns its spec and arms."""

    def make(**base):
        crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2}
        fields = {"method": "collaborative", "teacher": CNN, "student": SMALL, "region_size": 8, "steps": 2}
        spec = StudySpec.parse(
            {
                "name": "both",
                "space": {"lambda_pixel": {"low": 0.01, "high": 10.0, "log": True}},
                "base": {**crop, **fields, "data": str(tiny_data), "eval_every": 1, "device": "cpu", **base},
                "num_trials": 1,
            }
        )
        spec.save(tmp_path)
        return spec, open_arms(spec, tmp_path, data_digest=open_dataset(str(tiny_data)).digest(), new=True)

    return make


def told(arm, values, state=TrialState.COMPLETE, **facts):
    """Run a trial of an arm to its end: mIoU by step, and facts."""
    trial, config = arm.ask()
    for step, value in enumerate(values, start=1):
        arm.report(trial, value, step)
    arm.tell(trial, state, miou=values[-1] if state == TrialState.COMPLETE else None, facts=facts)
    return trial, config


def write_log(directory, number, text):
    folder = directory / trial_directory("search", number)
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text(text)


def line(step, **terms):
    return json.dumps({"step": step, "miou": 0.1, "terms": terms}) + "\n"


def test_both_students_are_trained_alone_and_no_teacher_is(study):
    spec, arms = study()
    alone = [told(arms["baseline"], [0.1, 0.2])[1] for _ in range(arms["baseline"].num_trials)]
    assert {config.student for config in alone} == {CNN, SMALL}
    assert {config.method for config in alone} == {"task"}
    found = list(kinds(spec))
    assert [(c.method, c.student) for c in found] == [("collaborative", SMALL), ("task", SMALL), ("task", CNN)]
    assert not any(config.reads("teacher_checkpoint") for config in found)


def test_each_student_gains_over_itself_alone(study, tmp_path):
    _, arms = study()
    level = {CNN: 0.30, SMALL: 0.20}
    for _ in range(arms["baseline"].num_trials):
        trial, config = arms["baseline"].ask()
        arms["baseline"].report(trial, level[config.student], 2)
        arms["baseline"].tell(trial, TrialState.COMPLETE, miou=level[config.student])
    told(arms["search"], [0.1, 0.25], peer_miou=0.28, skipped=["b.png", "a.png"])
    frames = load_frames(tmp_path)
    (row,) = frames.trials_of("search").to_dict("records")
    assert row["gain"] == pytest.approx(0.05)
    assert row["peer_miou"] == 0.28
    assert row["peer_gain"] == pytest.approx(-0.02)
    assert frames.trials_of("baseline")[["peer_miou", "peer_gain", "baseline", "gain"]].isna().all(axis=None)
    assert frames.summary["damaged files passed over"] == "2, such as a.png"


def test_a_pruned_trials_other_student_has_no_gain(study, tmp_path):
    _, arms = study()
    for _ in range(arms["baseline"].num_trials):
        told(arms["baseline"], [0.1, 0.2])
    told(arms["search"], [0.1], TrialState.PRUNED, peer_miou=0.28)
    (row,) = load_frames(tmp_path).trials_of("search").to_dict("records")
    assert row["peer_miou"] == 0.28
    assert math.isnan(row["peer_gain"])


def test_who_taught_whom_is_read_from_the_log(study, tmp_path):
    _, arms = study()
    told(arms["search"], [0.1, 0.2])
    shares = line(1, regions_to_student=0.75, pixels_to_student=0.5) + line(2, pixels_to_student=0.25)
    write_log(tmp_path, 0, shares + line(3, pixels_to_student=0.9))  # step 3 is not in the storage yet
    rows = load_frames(tmp_path).taught.to_dict("records")
    assert [(row["role"], row["number"], row["step"]) for row in rows] == [("search", 0, 1), ("search", 0, 2)]
    assert rows[0]["regions_to_student"] == 0.75
    assert math.isnan(rows[1]["regions_to_student"])
    assert [row["pixels_to_student"] for row in rows] == [0.5, 0.25]


@pytest.mark.parametrize(
    "text", ["", "no json\n", "[1]\n", '{"step": 1}\n', '{"step": 1, "terms": {"pixels_to_student": "x"}}\n', "\udcff"]
)
def test_a_log_that_is_something_else_adds_nothing(study, tmp_path, text):
    _, arms = study()
    told(arms["search"], [0.1, 0.2])
    folder = tmp_path / trial_directory("search", 0)
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    assert load_frames(tmp_path).taught.empty


def test_a_trial_without_a_log_adds_nothing(study, tmp_path):
    _, arms = study()
    told(arms["search"], [0.1, 0.2])
    assert load_frames(tmp_path).taught.empty


def test_logs_of_trials_that_the_storage_does_not_know_are_not_read(study, tmp_path):
    study()
    write_log(tmp_path, 0, line(1, pixels_to_student=0.5))
    assert load_frames(tmp_path).taught.empty


@pytest.fixture
def finished(study, tmp_path):
    """A real trial of two steps, told with what it found; (folder, its last report)."""
    _, arms = study()
    for _ in range(arms["baseline"].num_trials):
        told(arms["baseline"], [0.1, 0.2])
    trial, config = arms["search"].ask()
    last = run(config, directory=tmp_path / trial_directory("search", trial.number))
    arms["search"].report(trial, last.miou, last.step)
    facts = {"peer_miou": last.peer_miou, "device": "cpu"}
    arms["search"].tell(trial, TrialState.COMPLETE, miou=last.miou, facts=facts)
    return tmp_path, last


def test_the_bundle_holds_both_students_scored_on_both_splits(finished, tmp_path):
    directory, last = finished
    out = tmp_path / "best"
    metrics = export(directory, out, graphs=False)
    assert metrics["gain"] == pytest.approx(last.miou - 0.2)
    peer = metrics["peer"]
    assert peer["model"] == CNN
    assert peer["miou"] == pytest.approx(last.peer_miou)
    assert peer["baseline_miou"] == pytest.approx(0.2)
    assert peer["gain"] == pytest.approx(last.peer_miou - 0.2)
    assert peer["splits"]["val"]["miou"] == pytest.approx(last.peer_miou, abs=1e-6)
    assert set(peer["splits"]) == set(metrics["splits"]) == {"val", "test"}
    assert json.loads((out / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    sizes = {}
    for name in ("student", "peer"):
        with safe_open(out / f"{name}.safetensors", framework="pt") as weights:
            sizes[name] = sum(weights.get_tensor(key).numel() for key in weights.keys())  # noqa: SIM118
    assert sizes["peer"] > 2e6 > sizes["student"]
    assert TrialConfig.parse(yaml.safe_load((out / "best.yaml").read_text())).method == "collaborative"
    assert json.loads((out / "provenance.json").read_text())["teacher"] is None


def test_an_other_student_that_scores_otherwise_is_not_exported(finished, tmp_path, monkeypatch):
    from explorer.bundle import export as module

    good = module.evaluate_weights

    def wrong(config, *args):
        return Score(0.0, None, None, [0.0, 0.0, 0.0]) if config.student == CNN else good(config, *args)

    monkeypatch.setattr(module, "evaluate_weights", wrong)
    with pytest.raises(StudyError, match=f"weights of '{CNN}' in trial 0 score mIoU 0.0"):
        export(finished[0], tmp_path / "best", graphs=False)
    assert not (tmp_path / "best").exists()
