"""A sweep over the user's own loss, networks and data set, from the folder that holds them and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from dashboards import report
from explorer.launch import travel
from explorer.results.trials import load_frames, load_studies
from explorer.study import StudySpec
from trainables.config import TrialConfig

# as the installed command: no folder on the path
HEAR = "import sys; sys.path.pop(0); from explorer.cli.app import main; main()"
MINE = """
from pathlib import Path
from trainables.contracts import tiny
from trainables.data.dataset import SegDataset
from trainables.data.folder import read_folder
from trainables.losses.kd import Kd
from trainables.models.segmodel import SegModel

class Own(Kd):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weights["loss_kd"] = self.config.own["alpha"] * self.config.own["beta"]

class Learns(Kd):
    def forward(self, student, teacher, labels):
        return super().forward(student, teacher, labels) | {"loss_kd": teacher.logits.float().square().mean()}

def net(num_classes: int) -> SegModel:
    return tiny.network(num_classes=num_classes)

def tiles(root: Path) -> SegDataset:
    return read_folder(root)
"""


def heteroakd(*arguments, **options):
    command = [os.environ["WARM_PYTHON"], "-c", HEAR, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture
def code(tmp_path):
    (tmp_path / "mine_swept.py").write_text(MINE)
    return tmp_path


@pytest.fixture
def forms(tiny_data):
    crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2, "steps": 2}
    named = {"method": "mine_swept:Own", "own": {"beta": 0.5}, "data": f"mine_swept:tiles:{tiny_data}"}
    return {
        "space": {"own.alpha": {"low": 0.5, "high": 2.0}, "pair": ["mine_swept:net>mine_swept:net"]},
        "base": {**crop, **named, "projector_tap": "stage3", "teacher_recipe": crop},
        "num_trials": 2,
        "max_concurrent": 1,
        "pruner": "none",
    }


def test_own_code_is_swept_from_its_folder(code, forms, tmp_path):
    (code / "study.yaml").write_text(yaml.safe_dump(forms))
    environment = {**os.environ, "HETEROAKD_CACHE": str(tmp_path / "cache")}
    done = heteroakd("sweep", "study.yaml", "--out", "out", cwd=code, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    _, studies = load_studies(code / "out")
    for trial in studies["search"].get_trials():
        assert trial.state.name == "COMPLETE"
        assert trial.user_attrs["config"]["own"] == {"alpha": trial.params["own.alpha"], "beta": 0.5}
    assert [trial.state.name for trial in studies["baseline"].get_trials()] == ["COMPLETE"]
    assert "own.alpha" in report.write(load_frames(code / "out"), tmp_path / "page.html").read_text()
    assert heteroakd("export", "out", "--out", "best", "--no-onnx", cwd=code, env=environment).returncode == 0
    assert TrialConfig.load(code / "best/best.yaml").method == "mine_swept:Own"


def test_a_sweep_without_its_module_is_refused_before_a_worker_starts(forms, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(forms))
    done = heteroakd("sweep", "study.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "mine_swept" in done.stderr
    assert not (tmp_path / "out").exists()


def test_check_prints_each_claim_and_fails_with_the_broken_one(code):
    sound = heteroakd("check", "mine_swept:Own", "--set", "own.alpha=1.0", "--set", "own.beta=1.0", cwd=code)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    assert sound.stdout.splitlines()[0] == "mine_swept:Own, a loss"
    assert sound.stdout.splitlines()[-1] == "20 of 20 claims hold."
    assert sound.stdout.count("✓") == 20
    broken = heteroakd("check", "mine_swept:Learns", cwd=code)
    assert broken.returncode == 1
    assert "✗ no gradient reaches the teacher\n    loss_kd sends a gradient to the teacher." in broken.stdout


def test_check_calls_nothing_that_does_not_say_what_it_is(code):
    done = heteroakd("check", "os:abort", cwd=code)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: 'os:abort' must be a subclass of Criterion or SegModel, or a function")


def test_own_packages_go_along_to_a_cluster(code, forms, monkeypatch):
    monkeypatch.chdir(code)
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = StudySpec.parse(forms)
    named = travel.own_code(spec)
    assert {*named} == {"mine_swept:Own", "mine_swept:net", "mine_swept:tiles"}
    modules = travel.environment(code / "study", named)["py_modules"]
    assert modules == [*travel.environment(code / "study")["py_modules"], str(code / "mine_swept.py")]
    travel.check(spec, code / "study")
