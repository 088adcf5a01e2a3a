"""teacher_checkpoint: the user's own weights."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from trainables import teachers
from trainables.errors import HeteroakdError, Interrupted, TeacherError
from trainables.models import given
from trainables.models.build import build
from trainables.teachers import load_teacher

FAST = "fpn:tu-mobilenetv3_small_050"


@pytest.fixture
def load(small, dataset, monkeypatch, tmp_path):
    """Load a checkpoint as the FAST teacher; nothing is trained."""

    def refuse(*_args, **_options):
        raise AssertionError("a teacher was trained")

    monkeypatch.setattr(teachers, "train", refuse)

    def go(path):
        config = small(method="kd", teacher=FAST, teacher_checkpoint=str(path))
        return load_teacher(config, dataset=dataset, cache=tmp_path)

    return go


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(4)
    return build(FAST, num_classes=5).state_dict()


def test_weights_under_our_names_are_loaded_and_frozen(load, weights, tmp_path):
    save_file(weights, tmp_path / "own.safetensors")
    teacher = load(tmp_path / "own.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in teacher.state_dict().items())
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_weights_under_the_librarys_names_give_the_librarys_logits(load, tmp_path):
    torch.manual_seed(4)
    theirs = smp.create_model("fpn", FAST.partition(":")[2], encoder_weights=None, classes=5).eval()
    assert any(name.startswith("segmentation_head.0.") for name in theirs.state_dict())
    save_file(theirs.state_dict(), tmp_path / "smp.safetensors")
    teacher = load(tmp_path / "smp.safetensors")
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        upsampled = theirs.segmentation_head[1](teacher(images).logits)
        torch.testing.assert_close(upsampled, theirs(images))


def wrong_classes(weights):
    return {name: torch.cat([value, value]) if name.startswith("head.") else value for name, value in weights.items()}


def missing(weights):
    return {name: value for name, value in weights.items() if name != "head.bias"}


def too_many(weights):
    return weights | {"aux.weight": torch.zeros(1)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [(wrong_classes, "size mismatch for head.weight"), (missing, '"head.bias"'), (too_many, '"aux.weight"')],
)
def test_weights_that_do_not_fit_are_refused_with_file_network_and_reason(load, weights, tmp_path, change, reason):
    path = tmp_path / "own.safetensors"
    save_file(change(weights), path)
    with pytest.raises(TeacherError) as caught:
        load(path)
    told = str(caught.value)
    assert told.startswith(f"{path} does not hold the weights of {FAST!r} for this data set: ")
    assert reason in told
    assert "\n" not in told


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_path_that_is_no_file_is_refused_by_name(load, tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / "none.safetensors"
    with pytest.raises(TeacherError) as caught:
        load(path)
    remedy = f"Give a .safetensors or .pth file of {FAST!r}."
    assert str(caught.value) == f"teacher_checkpoint {str(path)!r} is no file. {remedy}"


def prefixed(weights, *prefixes):
    return {"".join(prefixes) + name: value for name, value in weights.items()}


PLAIN = {
    "plain": lambda weights: weights,
    "DataParallel": lambda weights: prefixed(weights, "module."),
    "no counters": lambda weights: {
        name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")
    },
}
WRAPPED = {
    "Lightning": lambda weights: {
        "state_dict": prefixed(weights, "model."),
        "epoch": 3,
        "hyper_parameters": {"lr": 0.1},
    },
    "compiled": lambda weights: {"model": prefixed(weights, "_orig_mod.", "module."), "optimizer": {"state": {}}},
    "script": lambda weights: {"model_state_dict": weights, "loss": 0.5},
}


@pytest.mark.parametrize(
    ("wrap", "name", "write"),
    [(wrap, "own.safetensors", save_file) for wrap in PLAIN.values()]
    + [(wrap, "own.pth", torch.save) for wrap in (PLAIN | WRAPPED).values()]
    + [(WRAPPED["Lightning"], "own.ckpt", torch.save)],
    ids=[*PLAIN, *(f"{name}, pickled" for name in PLAIN | WRAPPED), "Lightning's own"],
)
def test_weights_as_training_scripts_leave_them_are_loaded(load, weights, tmp_path, wrap, name, write):
    path = tmp_path / name
    write(wrap(weights), path)
    teacher = load(path).state_dict()
    assert all(torch.equal(value, teacher[name]) for name, value in weights.items())


def test_a_prefix_that_is_the_networks_own_stays():
    own = {"model.a": torch.ones(1), "model.b": torch.ones(1)}
    assert given.named(own, own).keys() == own.keys()
    assert given.named(prefixed(own, "model."), own).keys() == own.keys()


class Runs:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["own.pth", "own.safetensors"])
def test_a_pickle_of_more_than_tensors_is_refused_and_does_not_run(load, weights, tmp_path, name):
    torch.save({**weights, "more": Runs(str(tmp_path / "ran"))}, tmp_path / name)
    with pytest.raises(HeteroakdError, match=r"own\.(pth cannot be read without running|safetensors is no whole)"):
        load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("held", [[1, 2], {}, {"state_dict": {"a": "text"}}, torch.ones(2)])
def test_a_file_of_torchs_without_weights_is_one_sentence(load, tmp_path, held):
    torch.save(held, tmp_path / "own.pth")
    with pytest.raises(HeteroakdError, match=r"own\.pth holds no weights\. Save them so: torch\.save\("):
        load(tmp_path / "own.pth")


def test_a_torn_file_of_torchs_is_one_sentence(load, weights, tmp_path):
    torch.save(weights, tmp_path / "own.pth")
    (tmp_path / "own.pth").write_bytes((tmp_path / "own.pth").read_bytes()[:100])
    with pytest.raises(HeteroakdError, match=r"own\.pth cannot be read without running"):
        load(tmp_path / "own.pth")


def test_a_home_folder_is_spelt_out(load, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_file(weights, tmp_path / "own.safetensors")
    assert torch.equal(load("~/own.safetensors").state_dict()["head.bias"], weights["head.bias"])


@pytest.mark.parametrize("name", ["own.pth", "own.safetensors"])
def test_weights_that_cannot_be_read_for_a_while_are_no_wrong_weights(weights, tmp_path, monkeypatch, name):
    (torch.save if name.endswith("pth") else save_file)(weights, tmp_path / name)

    def away(*_args, **_options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", away)
        with pytest.raises(Interrupted, match="Input/output error"):
            given.read(tmp_path / name)
    assert given.read(tmp_path / name).keys() == weights.keys()
