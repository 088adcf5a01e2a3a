from __future__ import annotations

import shutil

import pytest
from PIL import Image

from trainables.errors import DataError, ModelError, TeacherError
from trainables.models.build import build
from trainables.models.cost import cost
from trainables.preflight import check as module
from trainables.preflight.check import preflight

FAST, OTHER = "trainables.contracts.tiny:learner", "fpn:tu-mobilenetv3_small_050"


def test_it_tells_the_datas_digest_and_what_each_network_costs_at_the_crop(small, dataset):
    found = preflight([small(method="kd", teacher=OTHER), small(method="task")])
    assert found.data_digest == dataset.digest()
    expected = {name: cost(build(name, num_classes=5), height=64, width=64)._asdict() for name in (FAST, OTHER)}
    assert found.costs == expected


def test_latency_is_measured_when_it_is_asked_for(small):
    found = preflight([small(method="task")], timed=True)
    assert 0.01 < found.costs[FAST]["latency_ms"] < 10_000
    assert "latency_ms" not in preflight([small(method="task")]).costs[FAST]


def test_each_network_is_built_once(small, monkeypatch):
    built = []

    def counted(name, **options):
        built.append(name)
        return build(name, **options)

    monkeypatch.setattr(module, "build", counted)
    tap = {"projector_tap": "stage2"}
    preflight(small(method=method, teacher=OTHER, **tap) for method in ("task", "kd", "heteroakd"))
    assert sorted(built) == sorted([FAST, OTHER])


def test_a_teacher_that_is_not_read_is_not_built(small):
    assert preflight([small(method="task", teacher="no:network")]).costs.keys() == {FAST}


def test_a_tap_without_a_grid_is_found(small):
    fields = {"crop_height": 32, "crop_width": 32, "projector_tap": "stage4"}
    preflight([small(method="kd", **fields)])  # reads no tap
    with pytest.raises(ModelError, match="projector_tap 'stage4' of the student"):
        preflight([small(method="kd", **fields), small(method="heteroakd", **fields)])


def test_two_networks_that_a_method_cannot_compare_are_found(small, monkeypatch):
    def without(name, **options):
        model = build(name, **options)
        if name == OTHER:
            del model.taps["stage4"]
        return model

    monkeypatch.setattr(module, "build", without)
    preflight([small(method="kd", teacher=OTHER), small(method="collaborative", teacher=OTHER, lambda_region=0)])
    with pytest.raises(ModelError, match=f"'{OTHER}' has no tap 'stage4'"):
        preflight([small(method="collaborative", teacher=OTHER)])


def test_the_other_student_is_built_and_no_checkpoint_of_a_teacher_is_asked_for(small):
    found = preflight([small(method="collaborative", teacher=OTHER, teacher_checkpoint="none.safetensors")])
    assert found.costs.keys() == {FAST, OTHER}


@pytest.mark.parametrize("fields", [{"student": "fpn:no_such"}, {"method": "kd", "teacher": "fpn:no_such"}])
def test_an_unknown_network_is_found(small, fields):
    with pytest.raises(ModelError, match="no_such"):
        preflight([small(**fields)])


def test_a_network_that_cannot_take_the_crop_is_refused(small):
    """MobileViTv2 wants sides that are multiples of 64."""
    student = {"student": "fpn:tu-mobilevitv2_050", "method": "task"}
    assert preflight([small(**student, crop_height=64)]).costs
    with pytest.raises(ModelError, match="mobilevitv2_050"):
        preflight([small(**student, crop_height=96)])


def test_a_mask_with_an_unknown_id_is_found(small, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "wrong")
    path = tmp_path / "wrong" / "labels" / "train" / "r2.png"
    label = Image.open(path)
    label.putpixel((0, 0), 9)
    label.save(path)
    with pytest.raises(DataError, match=r"train/r2\.png holds id 9"):
        preflight([small(data=str(tmp_path / "wrong"))])


def test_a_missing_teacher_checkpoint_is_found_before_any_worker_starts(small):
    with pytest.raises(TeacherError, match=r"none\.safetensors"):
        preflight([small(method="kd", teacher_checkpoint="none.safetensors")])


def test_encoder_weights_that_are_not_there_are_refused_at_launch(small, tmp_path):
    with pytest.raises(ModelError, match=r"holds no tu-mobilenetv3_small_050\.safetensors"):
        preflight([small(student=OTHER, encoder_weights=str(tmp_path))])
    with pytest.raises(ModelError, match=r"holds no resnet18\.safetensors"):
        preflight(
            [small(method="kd", teacher="fpn:resnet18", teacher_recipe={"steps": 1, "encoder_weights": str(tmp_path)})]
        )
