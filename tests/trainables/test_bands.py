"""Trials on four bands of 16 bits: trained, taught, scored and refused as those on photos are."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.contracts.datasets import CLAIMS, Data
from trainables.data.catalogue import open_dataset
from trainables.errors import ConfigError, TeacherError
from trainables.kept import checkpoint
from trainables.loop import train
from trainables.preflight.check import preflight
from trainables.preflight.rehearsal import footprint, step_time
from trainables.run import run_trial
from trainables.scoring.evaluate import evaluate_weights
from trainables.serving import samples
from trainables.state import student_weights
from trainables.teachers import cached_path, load_teacher

FAST = "trainables.contracts.tiny:learner"
SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The fourth band tells two classes apart; the others are noise."""
    root = tmp_path_factory.mktemp("bands") / "set"
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            ids = np.kron(rng.integers(0, 2, (4, 4)), np.ones((16, 16), int)).astype(np.uint8)
            noise = rng.integers(0, 10000, (SIDE, SIDE, 3))
            fourth = 2000 + 6000 * ids.astype(int) + rng.integers(-500, 500, ids.shape)
            values = np.dstack([noise, fourth]).astype(np.uint16)
            path = root / "images" / split / f"{number}.tif"
            tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")
            Image.fromarray(ids).save(root / "labels" / split / f"{number}.png")
    (root / "images" / "unlabelled").mkdir()
    for number, path in enumerate(sorted(root.glob("images/val/*.tif"))):
        values = tifffile.imread(path)[::-1]
        place = root / "images" / "unlabelled" / f"u{number}.tif"
        tifffile.imwrite(place, values, photometric="minisblack", planarconfig="contig")
    told = {"channels": 4, "scale": 10000, "mean": [0.5] * 4, "std": [0.3] * 4, "shown": [3, 1, 0]}
    (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": ["dark", "bright"], **told}))
    return root


@pytest.fixture
def dataset(folder):
    return open_dataset(str(folder))


@pytest.fixture
def config(folder):
    def make(**changes):
        recipe = {"steps": 60, "batch_size": 4, "crop_height": SIDE, "crop_width": SIDE, "lr": 0.02}
        fields = {"method": "task", "student": FAST, "teacher": FAST, "data": str(folder), "device": "cpu", **recipe}
        return TrialConfig.parse({**fields, "eval_every": 60, "teacher_recipe": recipe, **changes})

    return make


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_student_learns_what_only_the_fourth_band_shows(dataset, config, tmp_path):
    state = train(config(), dataset=dataset, directory=tmp_path / "trial")
    assert state.student.channels == 4
    assert state.history[-1].miou > 0.9
    weights = student_weights(checkpoint.latest(tmp_path / "trial", digest=config().digest())[0])
    assert evaluate_weights(config(), weights, dataset, "val").iou == state.history[-1].iou
    (seen,) = samples.look(config(), dataset, dataset.samples("val")[:1], student=state.student, teacher=None)
    assert (seen.image.dtype, seen.image.shape) == (np.uint8, (SIDE, SIDE, 3))
    red = seen.image[..., 0].astype(float)
    assert red[seen.label == 1].mean() - red[seen.label == 0].mean() > 150  # the fourth band is shown as red


@pytest.mark.parametrize(
    "changes", [{}, {"views": 2, "teacher_cache": True}, {"augment_on": "device", "unlabelled_ratio": 0.5}]
)
def test_a_taught_trial_has_a_teacher_of_as_many_channels(dataset, config, tmp_path, changes):
    taught = config(method="heteroakd", steps=4, eval_every=4, projector_tap="stage3", **changes)
    report = run_trial(taught, dataset=dataset, directory=tmp_path / "trial", report=lambda _: None)
    assert {"loss_kd", "loss_hakd"} <= report.terms.keys()
    assert load_teacher(taught, dataset=dataset).channels == 4
    meta = checkpoint.load(cached_path(taught, dataset=dataset))[1]
    assert meta["bands"] == dataset.bands.record
    assert meta["miou"] > 0.9


def test_two_students_that_teach_each_other_have_four_channels_both(dataset, config, tmp_path):
    state = train(config(method="collaborative", steps=2, eval_every=2), dataset=dataset, directory=tmp_path / "trial")
    assert [network.channels for network in state.networks] == [4, 4]


def test_the_preflight_builds_counts_and_times_networks_of_four_channels(config, dataset):
    found = preflight([config(method="kd"), config(student="fpn:resnet18")], timed=True)
    assert found.costs[FAST]["latency_ms"] > 0
    weights = sum(one.numel() for one in tiny.learner(2, 4).parameters())
    assert found.costs[FAST]["parameters_millions"] * 1e6 == weights
    assert step_time(config(method="kd"), dataset=dataset).seconds > 0
    assert footprint(config(), dataset=dataset).each > 4 * weights


def test_what_does_not_fit_is_refused_before_a_worker_starts(config, tmp_path):
    checkpoint.write(tmp_path / "rgb.safetensors", tiny.learner(2).state_dict(), {"model": FAST, "classes": ["a", "b"]})
    ready = config(method="kd", teacher=f"file:{tmp_path}/rgb.safetensors")
    with pytest.raises(TeacherError, match="takes images of 3 channels, but the data set has 4"):
        preflight([ready])
    own = config(method="kd", teacher_checkpoint=str(tmp_path / "rgb.safetensors"))
    with pytest.raises(TeacherError, match=r"does not hold the weights of .* for this data set: .*size mismatch"):
        preflight([own])
    with pytest.raises(ConfigError, match=r"color_jitter is 0\.5, but it is of RGB images of 8 bits"):
        preflight([config(color_jitter=0.5)])


def test_the_contract_of_data_sets_holds(folder):
    for claim in CLAIMS:
        claim.check(Data(lambda: open_dataset(str(folder))))


def test_a_trial_that_is_resumed_equals_one_that_was_not_interrupted(dataset, config, tmp_path):
    class Stop(Exception):
        pass

    def stop(report):
        if report.step == 4:
            raise Stop

    recipe = config(steps=8, eval_every=4, image_cache="disk")
    whole = train(recipe, dataset=dataset, directory=tmp_path / "whole")
    with pytest.raises(Stop):
        train(recipe, dataset=dataset, directory=tmp_path / "halves", report=stop)
    again = train(recipe, dataset=dataset, directory=tmp_path / "halves")
    assert [one.miou for one in again.history] == [one.miou for one in whole.history]
    for name, value in whole.weights().items():
        assert (again.weights()[name] == value).all(), name
