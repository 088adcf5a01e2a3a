"""teacher_checkpoint: the user's own weights."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from trainables import teachers
from trainables.errors import HeteroakdError, TeacherError
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
    assert str(caught.value) == f"teacher_checkpoint {str(path)!r} is no file. Give a .safetensors file of {FAST!r}."


def test_a_pickle_is_refused_by_name_and_not_read(load, weights, tmp_path):
    path = tmp_path / "own.pth"
    torch.save(weights, path)
    with pytest.raises(HeteroakdError, match=r"own\.pth is no whole safetensors file"):
        load(path)


def test_a_home_folder_is_spelt_out(load, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_file(weights, tmp_path / "own.safetensors")
    assert torch.equal(load("~/own.safetensors").state_dict()["head.bias"], weights["head.bias"])
