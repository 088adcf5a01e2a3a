"""Trials on a set in its publisher's layout, and on one whose files are damaged."""

from __future__ import annotations

import shutil

import pytest

from trainables.data.catalogue import open_dataset
from trainables.errors import DataError
from trainables.loop import train
from trainables.run import run


def test_a_trial_trains_and_scores_on_cityscapes(small, layout, tmp_path):
    data = f"cityscapes:{layout('cityscapes', tmp_path / 'set')}"
    config = small(data=data, steps=2, eval_every=1, eval_mode="slide", crop_height=32, crop_width=64)
    final = run(config, directory=tmp_path / "trial")
    assert final.step == 2
    assert len(final.iou) == 19
    assert 0 <= final.miou < 1


@pytest.fixture
def damaged(folder, tmp_path):
    """Torn after the launch's check: an image of train, and one of val."""
    root = shutil.copytree(folder, tmp_path / "set")
    paths = [root / "images" / "train" / "r2.png", root / "images" / "val" / "r0.png"]
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    return open_dataset(str(root)), [str(path) for path in paths]


def test_a_damaged_file_ends_the_trial_with_its_name(damaged, small, tmp_path):
    dataset, paths = damaged
    with pytest.raises(DataError, match=f"{paths[0]} cannot be decoded"):
        train(small(), dataset=dataset, directory=tmp_path / "trial")


def test_a_trial_told_to_skip_says_what_it_skipped(damaged, small, tmp_path):
    dataset, paths = damaged
    state = train(small(on_corrupt="skip", steps=4, eval_every=2), dataset=dataset, directory=tmp_path / "trial")
    assert [report.skipped for report in state.history] == [paths, paths]


def test_a_teacher_is_scored_and_trained_as_its_students_are(small):
    config = small(method="kd", eval_mode="slide", eval_stride=0.5, on_corrupt="skip").teacher_config()
    assert (config.eval_mode, config.eval_stride, config.on_corrupt) == ("slide", 0.5, "skip")
