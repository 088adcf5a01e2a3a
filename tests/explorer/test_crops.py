"""A study on a named data set trains on the papers' crops, unless it says or searches another."""

from __future__ import annotations

from explorer.study import StudySpec

CROPS = ("crop_height", "crop_width")


def spec(base, space=None):
    return StudySpec.parse({"base": base, "space": space or {"lambda_kd": {"low": 0.1, "high": 1.0}}})


def test_student_and_teacher_have_the_sets_crop():
    base = spec({"data": "cityscapes:/data/cs"}).trial_base
    assert [base[name] for name in CROPS] == [512, 1024]
    assert [base["teacher_recipe"][name] for name in CROPS] == [512, 1024]


def test_a_fixed_crop_stays():
    base = spec({"data": "voc:/data/voc", "crop_height": 256}).trial_base
    assert [base[name] for name in CROPS] == [256, 512]


def test_a_searched_crop_is_not_fixed_and_the_teacher_keeps_the_sets():
    asked = spec({"data": "voc:/data/voc"}, {"crop_height": [256, 512], "lambda_kd": {"low": 0.1, "high": 1.0}})
    asked.check()
    assert "crop_height" not in asked.trial_base
    assert [asked.trial_base["teacher_recipe"][name] for name in CROPS] == [512, 512]
    assert asked.trial_base["crop_width"] == 512


def test_other_data_has_the_fields_own_default():
    assert not {*CROPS} & set(spec({"data": "earth"}).trial_base)
