"""A whole sweep on real images, from the spec to the bundle, on two CPU cores."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml
from ray import tune
from rich.console import Console
from safetensors import safe_open
from typer.testing import CliRunner

from explorer.bundle.export import export
from explorer.cli.app import app
from explorer.launch.sweep import fit, open_bridge, resume, sole_driver, sweep
from explorer.results.trials import load_frames, load_studies
from explorer.search.arms import open_arms
from explorer.study import StudySpec
from search_spaces.pairs import PAIRS
from trainables.errors import StudyError

HEAR = "from explorer.cli.app import main; main()"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One teacher cache for all sweeps of the session."""
    path = tmp_path_factory.mktemp("cache")
    os.environ["HETEROAKD_CACHE"] = str(path)
    return path


@pytest.fixture(scope="session")
def finished(ray_local, tiny_spec, cache, tmp_path_factory):
    """(folder of a finished sweep, what it printed)."""
    directory = tmp_path_factory.mktemp("study") / "tiny"
    said = io.StringIO()
    left = sweep(StudySpec.parse(tiny_spec), directory, console=Console(file=said, width=200))
    assert left == 0
    return directory, said.getvalue()


def quiet():
    return Console(file=io.StringIO())


def heteroakd(*arguments, **options):
    command = [os.environ["WARM_PYTHON"], "-c", HEAR, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def test_every_trial_ended_and_every_value_is_recorded(finished):
    _, studies = load_studies(finished[0])
    search = studies["search"].get_trials()
    assert len(search) == 6
    assert {trial.state.name for trial in search} <= {"COMPLETE", "PRUNED"}
    assert sum(trial.state.name == "PRUNED" for trial in search) >= 1
    for trial in search:
        text = (finished[0] / f"trials/search-{trial.number:05d}/log.jsonl").read_text()
        log = [json.loads(line) for line in text.splitlines()]
        assert trial.intermediate_values == {report["step"]: report["miou"] for report in log}
    assert [trial.state.name for trial in studies["baseline"].get_trials()] == ["COMPLETE"]


def test_it_says_how_each_trial_ended(finished):
    assert finished[1].count("search ") == 6
    assert "teacher fpn:tu-test_resnet: mIoU" in finished[1]
    assert "left" in finished[1]


def test_pruned_trials_keep_their_log_and_drop_their_checkpoints(finished):
    _, studies = load_studies(finished[0])
    for trial in studies["search"].get_trials():
        folder = finished[0] / f"trials/search-{trial.number:05d}"
        assert bool(list(folder.glob("*.safetensors"))) == (trial.state.name == "COMPLETE")
    assert not (finished[0] / "tune").exists()


def test_gains_are_over_the_matched_student_alone(finished):
    frames = load_frames(finished[0])
    alone = frames.trials[frames.trials["role"] == "baseline"]["miou"].item()
    done = frames.trials_of("search", "COMPLETE")
    assert len(done) >= 1
    assert (done["gain"] == done["miou"] - alone).all()
    assert frames.trials_of("search", "PRUNED")["gain"].isna().all()
    assert set(frames.trials["parameters_millions"].round(2)) == {0.46}


def test_the_dashboard_is_one_page_of_the_study(finished, tmp_path):
    page = tmp_path / "page.html"
    assert CliRunner().invoke(app, ["dashboard", str(finished[0]), "--out", str(page)]).exit_code == 0
    assert "tu-test_resnet" in page.read_text()


def test_a_finished_sweep_has_nothing_to_resume(finished):
    console = quiet()
    assert resume(finished[0], console=console) == 0
    assert "nothing to run" in console.file.getvalue()


@pytest.fixture(scope="session")
def bundle(finished, tmp_path_factory):
    """The bundle of the last complete trial, which a reused worker ran."""
    _, studies = load_studies(finished[0])
    last = max(trial.number for trial in studies["search"].get_trials() if trial.state.name == "COMPLETE")
    out = tmp_path_factory.mktemp("bundle")
    return out, export(finished[0], out, trial=last, graphs=False), studies["search"].get_trials()[last]


def test_the_bundle_holds_config_weights_metrics_and_provenance(bundle):
    out, metrics, trial = bundle
    assert yaml.safe_load((out / "best.yaml").read_text()) == trial.user_attrs["config"]
    with safe_open(out / "student.safetensors", framework="pt") as weights:
        assert sum(weights.get_tensor(name).numel() for name in weights.keys()) > 4e5  # noqa: SIM118
    assert json.loads((out / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert metrics["miou"] == trial.value
    assert metrics["splits"]["val"]["miou"] == pytest.approx(trial.value, abs=1e-6)
    assert set(metrics["splits"]["test"]["iou"]) == {"a", "b", "c"}
    made_by = json.loads((out / "provenance.json").read_text())
    assert len(made_by["teacher"]["sha256"]) == 64
    assert made_by["versions"]["torch"]


def test_training_the_bundle_in_a_fresh_process_reaches_the_same_miou(bundle, tmp_path):
    """Also says that a reused worker carried nothing over from the trials it ran before."""
    out, metrics, _ = bundle
    again = heteroakd("train", out / "best.yaml", "--out", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    last = (tmp_path / "again" / "log.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["miou"] == pytest.approx(metrics["miou"], abs=1e-6)


def test_the_best_by_miou_and_by_gain_are_the_frames_best(finished, tmp_path):
    done = load_frames(finished[0]).trials_of("search", "COMPLETE")
    for by in ("miou", "gain"):
        assert export(finished[0], tmp_path / by, by=by, graphs=False)["trial"] == done.loc[done[by].idxmax(), "number"]


def test_a_changed_data_set_is_refused(finished, tiny_data, tmp_path):
    study, data = tmp_path / "study", tmp_path / "data"
    shutil.copytree(finished[0], study)
    shutil.copytree(tiny_data, data)
    (data / "images/val/0.png").write_bytes((data / "images/val/1.png").read_bytes())
    spec = yaml.safe_load((study / "study.yaml").read_text())
    spec["base"]["data"] = str(data)
    (study / "study.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(StudyError, match="another"):
        resume(study, console=quiet())


def test_weights_that_score_otherwise_are_not_exported(finished, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(finished[0], study)
    _, studies = load_studies(study)
    done = next(trial.number for trial in studies["search"].get_trials() if trial.state.name == "COMPLETE")
    path = next((study / f"trials/search-{done:05d}").glob("*.safetensors"))
    from trainables.kept import checkpoint

    tensors, meta = checkpoint.load(path)
    head = [name for name in tensors if name.endswith(("head.weight", "head.bias"))]
    tensors |= {name: -tensors[name] for name in head}  # now the least likely class wins
    checkpoint.write(path, tensors, meta)
    with pytest.raises(StudyError, match="score mIoU"):
        export(study, tmp_path / "out", trial=done, graphs=False)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_a_study_that_resume_completes_exactly(ray_local, tiny_spec, cache, tmp_path):
    base = {**tiny_spec["base"], "steps": 16, "eval_every": 4}
    long = {**tiny_spec, "base": base, "num_trials": 3, "pruner": "nop", "max_concurrent": 1}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(long))
    command = [os.environ["WARM_PYTHON"], "-c", HEAR, "sweep", "spec.yaml", "--out", "study"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    _wait_for(lambda: len(list((tmp_path / "study").glob("trials/*/log.jsonl"))) >= 2, process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "heteroakd resume study" in said
    _, before = load_studies(tmp_path / "study")
    begun = {t.number: t.intermediate_values for t in before["search"].get_trials() if t.state.name == "RUNNING"}

    assert resume(tmp_path / "study", console=quiet()) == 0

    _, after = load_studies(tmp_path / "study")
    trials = after["search"].get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    assert [trial.state.name for trial in after["baseline"].get_trials()] == ["COMPLETE"]
    for trial in trials:
        assert sorted(trial.intermediate_values) == list(range(4, 17, 4))
        assert begun.get(trial.number, {}).items() <= trial.intermediate_values.items()


def _wait_for(condition, process):
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_objectives_and_constraints_hold_in_a_sweep(without_ray, tiny_spec, cache, tmp_path):
    spec = {
        **tiny_spec,
        "space": {
            "student": ["segformer:tu-test_efficientnet", "fpn:tu-test_resnet"],
            "lambda_kd": tiny_spec["space"]["lambda_kd"],
        },
        "base": {**tiny_spec["base"], "teacher": "fpn:tu-test_resnet"},
        "enqueue": [{"student": "fpn:tu-test_resnet"}, {"student": "segformer:tu-test_efficientnet"}],
        "num_trials": 4,
        "objectives": ["miou", "latency_ms"],
        "constraints": {"parameters_millions": 1},
    }
    console = quiet()
    with without_ray():
        assert sweep(StudySpec.parse(spec), tmp_path / "study", console=console) == 0
    assert "left out: fpn:tu-test_resnet has parameters_millions" in console.file.getvalue()
    _, studies = load_studies(tmp_path / "study")
    trials = studies["search"].get_trials()
    assert len(trials) == 4
    assert {trial.params["student"] for trial in trials} == {"segformer:tu-test_efficientnet"}
    latency = studies["search"].user_attrs["costs"]["segformer:tu-test_efficientnet"]["latency_ms"]
    assert 0.1 < latency < 10_000
    whole = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert whole
    assert {tuple(trial.values) for trial in whole} == {(trial.intermediate_values[4], latency) for trial in whole}
    frames = load_frames(tmp_path / "study")
    assert frames.cost == "latency_ms"
    assert set(frames.trials["latency_ms"]) == {latency}
    assert export(tmp_path / "study", tmp_path / "best", graphs=False)["miou"] == max(
        trial.values[0] for trial in whole
    )


def dawdles(params):
    for step in range(1, params["config"]["steps"] + 1):
        time.sleep(0.1)
        tune.report({"step": step, "miou": 0.1})


def test_a_time_budget_leaves_the_rest_open(ray_local, spec, tmp_path):
    study = spec(num_trials=50, pruner="nop")
    arms = open_arms(study, tmp_path, data_digest="d")
    bridge = open_bridge(study, arms, root=str(tmp_path))
    fit(bridge, dawdles, tmp_path, {"cpu": 1}, 2, time_budget_s=2)
    assert bridge.num_open() > 0
    states = {trial.state.name for arm in arms.values() for trial in arm.trials()}
    assert states
    assert "FAIL" not in states


def test_pairs_lists_families_and_costs(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    names = ("mit_b0:mbv3s", "fpn_r18:mbv3s")
    monkeypatch.setattr("search_spaces.pairs.PAIRS", {name: PAIRS[name] for name in names})
    said = CliRunner().invoke(app, ["pairs", "--height", "64", "--width", "64"])
    assert said.exit_code == 0, said.output
    across, within = (next(line for line in said.output.splitlines() if f" {name} " in line) for name in names)
    assert "Transformer->CNN" in across
    assert "CNN->CNN" in within
    assert "-> 2.0" in within  # million parameters


def test_more_than_the_machine_has_is_refused(ray_local, tiny_spec, cache, tmp_path):
    greedy = StudySpec.parse({**tiny_spec, "cpus_per_trial": 64, "max_concurrent": 1})
    with pytest.raises(StudyError, match="Ask for less"):
        sweep(greedy, tmp_path / "study", console=quiet())
    with pytest.raises(StudyError, match="a trial holds no GPU"):
        sweep(StudySpec.parse({**tiny_spec, "gpu_hours": 1}), tmp_path / "study", console=quiet())
    assert not (tmp_path / "study" / "study.yaml").exists()  # so that a mended spec can be launched


def test_a_study_has_one_driver_at_a_time(finished):
    with sole_driver(finished[0]), pytest.raises(StudyError, match="Another process is running"):
        resume(finished[0], console=quiet())
