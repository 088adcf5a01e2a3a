"""A teacher is trained once for all that share it, and found again by what determines its weights."""

from __future__ import annotations

import hashlib
import shutil
import time

import numpy as np
import pytest
import torch
from PIL import Image

from trainables import teachers
from trainables.data.catalogue import open_dataset
from trainables.data.masks import read_mask
from trainables.errors import TeacherError
from trainables.kept import checkpoint
from trainables.kept.cache import default_cache
from trainables.loop import train
from trainables.serving.samples import known_teacher
from trainables.teachers import cached_path, ensure_teacher, kept_path, load_teacher, weights_hash
from trainables.tune import train_teacher


def refuse(*_args, **_options):
    raise AssertionError("a teacher was trained")


@pytest.fixture
def key(small, dataset, tmp_path):
    """The folder of a config's teacher, whose name holds the key."""

    def make(of=dataset, **fields):
        return cached_path(small(**{"method": "kd", **fields}), dataset=of, cache=tmp_path)

    return make


def test_a_teacher_in_the_cache_is_not_trained_again(small, dataset, cache, monkeypatch):
    monkeypatch.setattr(teachers, "train", refuse)
    path = ensure_teacher(small(method="kd"), dataset=dataset, cache=cache)
    assert path.is_file()
    with pytest.raises(AssertionError, match="a teacher was trained"):
        ensure_teacher(small(method="kd", teacher_recipe={"steps": 3}), dataset=dataset, cache=cache)


def test_the_cache_holds_the_weights_of_the_teachers_own_trial(small, dataset, cache, tmp_path):
    config = small(method="kd")
    state = train(config.teacher_config(), dataset=dataset, directory=tmp_path)
    tensors, meta = checkpoint.load(ensure_teacher(config, dataset=dataset, cache=cache))
    assert tensors.keys() == state.weights().keys()
    assert all(torch.equal(value, tensors[name]) for name, value in state.weights().items())
    assert meta["model"] == config.teacher
    assert meta["miou"] == state.history[-1].miou
    assert meta["data"] == dataset.digest()
    assert meta["config"] == config.teacher_config().model_dump(mode="json")


def test_a_teacher_of_a_gpu_is_found_where_there_is_none_and_ones_own_comes_first(small, dataset, cache, tmp_path):
    config = small(method="kd")
    trained = ensure_teacher(config, dataset=dataset, cache=cache)
    own, gpu = (cached_path(config, dataset=dataset, cache=tmp_path, device=kind) for kind in ("cpu", "cuda"))
    assert kept_path(config, dataset=dataset, cache=tmp_path) is None
    shutil.copytree(trained.parent, gpu.parent)
    assert kept_path(config, dataset=dataset, cache=tmp_path) == gpu
    found = known_teacher(config, dataset, caches=[tmp_path / "empty", tmp_path])
    assert all(torch.equal(value, checkpoint.load(gpu)[0][name]) for name, value in found.state_dict().items())
    assert weights_hash(config, dataset=dataset, cache=tmp_path) == hashlib.sha256(gpu.read_bytes()).hexdigest()
    shutil.copytree(trained.parent, own.parent)
    assert kept_path(config, dataset=dataset, cache=tmp_path) == own


def test_an_interrupted_teacher_goes_on_from_its_checkpoint(small, dataset, cache, tmp_path, monkeypatch):
    """A training that ended, but for the last file, is not done again."""
    config = small(method="kd")
    kept = ensure_teacher(config, dataset=dataset, cache=cache)
    folder = tmp_path / kept.parent.name
    shutil.copytree(kept.parent, folder)
    (folder / "teacher.safetensors").unlink()
    monkeypatch.setattr("trainables.loop.losses", refuse)
    again = ensure_teacher(config, dataset=dataset, cache=tmp_path)
    assert again.read_bytes() == kept.read_bytes()


@pytest.fixture
def unlabelled(folder, tmp_path):
    """The tiny data without a labelled pixel in its validation split."""
    root = shutil.copytree(folder, tmp_path / "unlabelled")
    for path in (root / "labels" / "val").iterdir():
        Image.fromarray(np.full_like(read_mask(path), 255)).save(path)
    return open_dataset(str(root))


def test_a_teacher_without_a_score_ends_the_sweep_and_is_not_cached(small, unlabelled, tmp_path):
    config = small(method="kd", data=str(unlabelled.root))
    with pytest.raises(TeacherError, match=r"has no mIoU on the validation split of .*unlabelled: no pixel there is"):
        ensure_teacher(config, dataset=unlabelled, cache=tmp_path)
    assert not cached_path(config, dataset=unlabelled, cache=tmp_path).exists()


def test_one_that_an_older_release_has_cached_ends_it_too(small, unlabelled, tmp_path):
    config = small(method="kd", data=str(unlabelled.root))
    path = cached_path(config, dataset=unlabelled, cache=tmp_path)
    checkpoint.write(path, {"weight": torch.zeros(1)}, {"miou": float("nan")})
    with pytest.raises(TeacherError, match="has no mIoU"):
        train_teacher(config.model_dump(mode="json"), cache=str(tmp_path))


OTHER_PROCESS = """
from trainables import teachers
from trainables.data.catalogue import open_dataset

dataset, plain = open_dataset(config.data), teachers.train

def noted(*args, **options):
    (cache / "other").touch()
    return plain(*args, **options)

teachers.train = noted
(cache / "ready").touch()
(cache / "told").write_text(str(teachers.ensure_teacher(config, dataset=dataset, cache=cache)))
"""


@pytest.mark.xdist_group("fresh")
def test_two_processes_at_once_train_one_teacher(small, dataset, fresh, tmp_path, monkeypatch):
    config, plain, here = small(method="kd"), teachers.train, []

    def noted(*args, **options):
        here.append(1)
        return plain(*args, **options)

    monkeypatch.setattr(teachers, "train", noted)
    other = fresh(OTHER_PROCESS, config=config, cache=tmp_path)
    while not (tmp_path / "ready").exists() and other.is_alive():
        time.sleep(0.005)
    path = ensure_teacher(config, dataset=dataset, cache=tmp_path)
    other.join(240)
    assert other.exitcode == 0
    assert len(here) + (tmp_path / "other").exists() == 1
    assert (tmp_path / "told").read_text() == str(path)
    assert path.is_file()


@pytest.mark.parametrize(
    "fields",
    [
        {"teacher": "fpn:resnet18"},
        {"teacher_recipe": {"lr": 0.5}},
        {"teacher_recipe": {"seed": 1}},
        {"teacher_recipe": {"steps": 3}},
        {"teacher_recipe": {"optimizer": "sgd"}},
    ],
)
def test_the_key_changes_with_the_teacher_and_its_recipe(key, fields):
    assert key(**fields) != key()


@pytest.mark.parametrize(
    "fields",
    [
        {"student": "fpn:resnet18"},
        {"method": "heteroakd"},
        {"seed": 5},
        {"lr": 0.5},
        {"steps": 99},
        {"temperature": 4.0},
        {"lambda_kd": 3.0},
        {"projector_tap": "stage2"},
        {"eval_every": 3},
    ],
)
def test_the_key_does_not_change_with_the_students_fields(key, fields):
    assert key(**fields) == key()


@pytest.mark.parametrize("fields", [{"num_workers": 2}, {"device": "auto"}], ids="-".join)
def test_the_key_does_not_change_with_what_leaves_the_weights_as_they_are(key, fields, monkeypatch):
    """Where there is no CUDA, `auto` is the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert key(**fields) == key()


def test_the_key_changes_with_one_pixel_of_the_data(key, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    path = tmp_path / "other" / "labels" / "train" / "r0.png"
    label = Image.open(path)
    label.putpixel((0, 0), 3 if label.getpixel((0, 0)) != 3 else 2)
    label.save(path)
    assert key(open_dataset(str(tmp_path / "other"))) != key()


def test_the_key_does_not_change_when_the_data_set_is_moved(key, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    moved = open_dataset(str(tmp_path / "elsewhere"))
    assert moved.digest() == open_dataset(str(folder)).digest()
    assert key(moved, data=str(tmp_path / "elsewhere")) == key()


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("HETEROAKD_CACHE", raising=False)
    assert default_cache() == tmp_path / "xdg" / "heteroakd"
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"


def test_a_trials_record_names_the_very_weights_that_taught_it(small, dataset, cache, monkeypatch, tmp_path):
    config = small(method="kd")
    path = ensure_teacher(config, dataset=dataset, cache=cache)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv("HETEROAKD_CACHE", str(cache))
    assert weights_hash(config, dataset=dataset) == expected
    assert weights_hash(small(method="kd", teacher_checkpoint=str(path)), dataset=dataset) == expected
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path))
    assert weights_hash(config, dataset=dataset) is None


def test_two_loads_are_one_network(small, dataset, cache):
    config = small(method="kd")
    one, other = (load_teacher(config, dataset=dataset, cache=cache).state_dict() for _ in range(2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
