"""DATA@N: a set with N labels."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from explorer.launch import travel
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.data.catalogue import absolute, open_dataset
from trainables.errors import DataError, StudyError


def test_ten_labels_evenly_apart_and_all_other_images_without():
    whole, few = open_dataset("earth"), open_dataset("earth@10")
    images = whole.samples("train")
    kept = few.samples("train")
    assert kept == tuple(images[place] for place in (0, 17, 34, 51, 69, 86, 103, 121, 138, 155))  # of 173
    assert [len(few.unlabelled), len(whole.unlabelled)] == [766 + 163, 766]
    assert {*few.unlabelled} == {image.image for image in images if image not in kept} | {*whole.unlabelled}
    assert few.samples("val") == whole.samples("val")
    assert few.name == "earth@10"
    assert few.digest() != whole.digest()


@pytest.mark.parametrize("wrong", [0, 174])
def test_more_labels_than_there_are_or_none_are_refused(wrong):
    with pytest.raises(DataError, match=rf"earth@{wrong} asks for {wrong} labels, but train has 173. Ask for 1 to 173"):
        open_dataset(f"earth@{wrong}")


def test_all_of_them_are_the_set_itself():
    assert open_dataset("earth@173").digest() == open_dataset("earth").digest()


def test_a_folder_is_named_for_workers_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine@7").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute("mine@3") == f"{tmp_path}/mine@3"
    assert absolute("mine@7") == f"{tmp_path}/mine@7"  # a folder of this name is meant, all of it
    assert absolute("voc:mine@3") == f"voc:{tmp_path}/mine@3"
    assert absolute("earth@3") == "earth@3"


@pytest.mark.parametrize("data", ["camvid:there@30", "camvid@30"])
def test_crops_and_weights_of_the_papers_are_those_of_the_whole_set(data):
    assert TrialConfig.parse({"method": "afdcd", "data": data}).lambda_afdcd_contrast == 0.16


def test_what_travels_must_still_be_found_there():
    def check(data):
        spec = StudySpec.parse({"space": {"lambda_kd": [1, 2]}, "base": {"data": data}})
        travel.check(spec, PurePosixPath("/shared/study"))

    check("earth@10")
    check("/shared/mine@10")
    with pytest.raises(StudyError, match=r"data must be an absolute path .*got 'mine'"):
        check("mine@10")
