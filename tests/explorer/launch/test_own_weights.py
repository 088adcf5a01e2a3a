"""A teacher of one's own is scored before the first trial, shown wherever the study is, and refused if it is worse than
guessing. The weights here say one class always, so that every score can be counted from the labels."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

import explorer
from explorer.bundle.export import export
from explorer.cli.app import app
from explorer.launch import sweep, teachers
from explorer.launch.submit import entrypoint
from explorer.results.trials import load_frames, load_studies
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import TeacherError
from trainables.models.build import build
from trainables.scoring.metrics import ConfusionMatrix, miou

NET = "trainables.contracts.tiny:learner"


def refuse(*_args, **_options):
    raise AssertionError("it was scored before")


@pytest.fixture
def shares(tiny_data):
    """Each class's share of the labelled pixels of val."""
    labels = np.stack([np.array(Image.open(path)) for path in sorted((tiny_data / "labels/val").iterdir())])
    counts = np.array([(labels == number).sum() for number in range(3)])
    return counts / counts.sum()


@pytest.fixture
def always(tiny_data, tmp_path, home):
    """Makes a spec whose teacher always says one class."""

    def make(number):
        network = build(NET, num_classes=3)
        with torch.no_grad():
            network.head.weight.zero_()
            network.head.bias.copy_(torch.eye(3)[number])
        save_file(network.state_dict(), tmp_path / f"always-{number}.safetensors")
        crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2, "steps": 1}
        base = {**crop, "method": "kd", "teacher": NET, "student": NET, "data": str(tiny_data), "device": "cpu"}
        base["teacher_checkpoint"] = str(tmp_path / f"always-{number}.safetensors")
        space = {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}}
        return StudySpec.parse({"name": "own", "space": space, "base": base, "num_trials": 1, "pruner": "none"})

    return make


def test_always_saying_the_commonest_class_scores_its_share_over_the_classes_that_are_there():
    matrix = ConfusionMatrix(4, ignore_index=255, device=torch.device("cpu"))
    matrix.counts = torch.tensor([[1, 2, 0, 0], [3, 2, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])  # 3, 6 and 1 labelled pixels
    assert matrix.majority_iou() == [0.0, 0.6, 0.0, None]
    assert miou(matrix.majority_iou()) == pytest.approx(0.2)


def test_where_nothing_is_labelled_there_is_no_commonest_class():
    matrix = ConfusionMatrix(3, ignore_index=255, device=torch.device("cpu"))
    assert matrix.majority_iou() == [None, None, None]


def test_one_that_is_worse_than_guessing_is_refused_before_a_study_is_begun(always, shares, tmp_path, without_ray):
    rarest = int(shares.argmin())
    with without_ray(), pytest.raises(TeacherError) as caught:
        sweep.sweep(always(rarest), tmp_path / "study", console=Console(quiet=True))
    said = str(caught.value)
    assert f"always-{rarest}.safetensors has mIoU {100 * shares[rarest] / 3:.2f} % on val" in said
    assert f"below the {100 * shares.max() / 3:.2f} % of always saying its commonest class" in said
    assert "--force (force=True)" in said
    assert not (tmp_path / "study" / SPEC_FILE).exists()


def test_forced_it_teaches_and_its_score_is_told_by_progress_dashboard_and_card(always, shares, tmp_path, without_ray):
    rarest, said, study = int(shares.argmin()), io.StringIO(), tmp_path / "study"
    with without_ray():
        assert sweep.sweep(always(rarest), study, console=Console(file=said, width=200), force=True) == 0
    score = f"{100 * shares[rarest] / 3:.2f} %"
    told = f"teacher {NET}: mIoU {score} on val, of {tmp_path}/always-{rarest}.safetensors"
    assert said.getvalue().count(told) == 1
    assert said.getvalue().index(told) < said.getvalue().index("baseline 0:")
    assert load_studies(study)[1]["search"].user_attrs["teachers"] == {NET: pytest.approx(shares[rarest] / 3)}
    assert load_frames(study, analyse=False).summary["teachers"] == f"{NET} {score} (own weights)"
    metrics = export(study, tmp_path / "best", graphs=False)
    assert metrics["teacher"] == {"model": NET, "miou": pytest.approx(shares[rarest] / 3), "own_weights": True}
    card = (tmp_path / "best" / "README.md").read_text()
    assert f"weights that it was given, with mIoU {score} on val" in card


def test_one_that_is_as_good_as_guessing_is_taken_and_a_resume_does_not_score_it_again(
    always, shares, tmp_path, without_ray, monkeypatch
):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    spec, quiet = always(int(shares.argmax())), Console(quiet=True)
    monkeypatch.setattr(sweep, "run_arms", interrupt)
    with without_ray(), pytest.raises(KeyboardInterrupt):
        sweep.sweep(spec, tmp_path / "study", console=quiet)
    monkeypatch.undo()
    monkeypatch.setattr(teachers, "score_teacher", refuse)
    with without_ray():
        assert sweep.resume(tmp_path / "study", console=quiet) == 0


@pytest.mark.parametrize("given", [[], ["--force"]])
def test_the_command_line_and_a_job_pass_it_on(monkeypatch, given):
    told = {}

    class Enough(Exception):
        pass

    def asked(*_args, **options):
        told.update(options)
        raise Enough

    monkeypatch.setattr(explorer, "sweep", asked)
    CliRunner().invoke(app, ["sweep", "--preset", "lambdas", *given])
    assert told["force"] == bool(given)
    assert ("--force" in entrypoint("/a", resume=False, force=bool(given)).split()) == bool(given)
