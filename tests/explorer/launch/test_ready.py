"""Sweeps whose teachers are good already, here networks of other libraries with random weights in their own formats."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

import explorer
from explorer.cli.app import app
from explorer.launch import sweep
from explorer.results.trials import load_frames, load_studies
from explorer.study import StudySpec
from trainables.errors import StudyError, TeacherError

transformers = pytest.importorskip("transformers")
STUDENT = "segformer:tu-test_efficientnet"
HEAR = "from explorer.cli.app import main; main()"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A SegFormer of transformers that knows two of the three classes, and an FPN of smp that knows their order."""
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(0)
    names = ["A", "b", "sky", "sea"]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}
    small = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "decoder_hidden_size": 16}
    hf, theirs = (tmp_path_factory.mktemp(name) for name in ("hf", "smp"))
    transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(**small, **labels)).save_pretrained(hf)
    smp.create_model("fpn", "tu-test_resnet", encoder_weights=None, classes=3).save_pretrained(theirs)
    return hf, theirs


@pytest.fixture
def spec(folders, tiny_data):
    hf, theirs = folders
    crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2}
    return {
        "name": "ready",
        "space": {"pair": [f"hf:{hf}>{STUDENT}", f"smp:{theirs}>{STUDENT}"], "lambda_kd": {"low": 0.1, "high": 1.0}},
        "base": {**crop, "data": str(tiny_data), "steps": 6, "eval_every": 2, "lambda_hakd": 1.0},
        "num_trials": 4,
        "pruner": "nop",
        "balance": "pair",
        "max_concurrent": 1,
    }


def test_a_sweep_killed_in_the_middle_goes_on_with_the_same_teachers(ray_local, spec, folders, tmp_path):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**spec, "group_size": 2}))
    command = [os.environ["WARM_PYTHON"], "-c", HEAR, "sweep", "spec.yaml", "--out", "study", "--force"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "study").glob("trials/search-*/log.jsonl")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert "c  - (nobody)" in said
    assert "Left out of every term on logits" in said

    assert sweep.resume(tmp_path / "study", console=Console(file=io.StringIO())) == 0

    _, studies = load_studies(tmp_path / "study")
    assert [trial.state.name for trial in studies["search"].get_trials()] == ["COMPLETE"] * 4
    for trial in studies["search"].get_trials():
        assert sorted(trial.intermediate_values) == [2, 4, 6]
    recorded = studies["search"].user_attrs["teacher_files"]
    assert {name.partition(":")[0] for name in recorded} == {"hf", "smp"}
    assert all("model.safetensors" in files for files in recorded.values())
    assert "(own weights)" in load_frames(tmp_path / "study").summary["teachers"]

    study = explorer.open_study(tmp_path / "study")
    bundle = study.export(tmp_path / "bundle", onnx=False)
    taught = json.loads((tmp_path / "bundle/provenance.json").read_text())["teacher"]
    assert taught["files"] == recorded[taught["model"]]
    assert bundle.metrics["teacher"]["own_weights"] is True

    config = folders[0] / "config.json"
    text = config.read_text()
    config.write_text(text + "\n")
    try:
        with pytest.raises(StudyError, match=r"is not the one that this study began with: config\.json changed"):
            sweep.resume(tmp_path / "study", console=Console(file=io.StringIO()))
    finally:
        config.write_text(text)


@pytest.mark.parametrize(
    ("teacher", "fields", "sentence"),
    [
        ("hf:/no/such/folder", {}, "/no/such/folder is no folder"),
        ("hf:{hf}@v2", {}, "which has no revision"),
        ("hf:{hf}", {"teacher_classes": {"d": "A"}}, "Unknown class in teacher_classes 'd'"),
        ("hf:{hf}", {"teacher_classes": "order"}, "has 4 classes and the data set has 3"),
        ("hf:{hf}", {"method": "collaborative"}, "is good already"),
    ],
)
def test_what_cannot_teach_ends_with_2_before_a_worker_starts(
    spec, folders, tmp_path, without_ray, teacher, fields, sentence
):
    name = teacher.format(hf=folders[0])
    space = {"lr": {"low": 1e-4, "high": 1e-3}} if "method" in fields else {"lambda_kd": {"low": 0.1, "high": 1.0}}
    base = {**spec["base"], "pair": f"{name}>{STUDENT}", **fields}
    changed = {**spec, "space": space, "base": base, "balance": None}
    if "method" in fields:
        base.pop("lambda_hakd")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(changed))
    with pytest.raises(ValueError, match=sentence) as caught:
        sweep.sweep(StudySpec.load(tmp_path / "spec.yaml"), tmp_path / "study", console=Console(quiet=True))
    assert isinstance(caught.value, explorer.HeteroakdError)
    assert not (tmp_path / "study").exists()


def test_weights_and_classes_may_be_given_by_teacher(folders):
    from search_spaces.space import SearchSpace

    hf = f"hf:{folders[0]}"
    space = SearchSpace.from_dict({"pair": [f"{hf}>mbv3s", "fpn_r18:mbv3s", "r18:mbv3s"]})
    base = {
        "teacher_weights": {"fpn_r18": "/w/a.pth", "deeplabv3:resnet18": "/w/b.pth"},
        "teacher_classes": {hf: {"a": "A"}},
    }
    space.check(base)
    found = [space.config({"pair": pair}, base) for pair in (f"{hf}>mbv3s", "fpn_r18:mbv3s", "r18:mbv3s")]
    assert [config.teacher_checkpoint for config in found] == [None, "/w/a.pth", "/w/b.pth"]
    assert [config.teacher_classes for config in found] == [{"a": "A"}, None, None]
    assert [config.trains_teacher for config in found] == [False, False, False]


def test_a_teacher_is_looked_at_in_one_command_and_again_from_the_cache(folders, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path))
    name = f"hf:{folders[0]}"
    found = explorer.check_teacher(name, data=tiny_data, crop_height=64, crop_width=64)
    assert list(found.iou().index) == ["a", "b", "c"]
    assert found.facts.covered == [0, 1]
    told = CliRunner().invoke(app, ["teacher", "check", name, "--data", str(tiny_data), "--set", "crop_height=64"])
    assert told.exit_code == (0 if found.sound else 1)
    for part in ("  c  - (nobody)", "unused: sky, sea", "calibration: error", "licence of the weights: unknown"):
        assert part in told.output
    monkeypatch.setattr("trainables.preflight.look._look", lambda *_: pytest.fail("it was scored again"))
    again = explorer.check_teacher(name, data=tiny_data, crop_height=64, crop_width=64)
    assert again.facts == found.facts
    with pytest.raises(TeacherError, match="is trained by the sweep that needs it"):
        explorer.check_teacher("fpn:resnet18", data=tiny_data)
