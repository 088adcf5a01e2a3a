from __future__ import annotations

import math
import shutil

import pytest

from trainables.errors import DataError, ModelError, TeacherError
from trainables.run import run

ABSENT = [
    "No pixel of train is e: cannot be learned.",
    "No pixel of val is e: will be left out of its mIoU unless predicted.",
]


def test_a_trial_runs_from_its_config_alone_and_says_each_evaluation(small, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROAKD_CACHE", str(cache))
    said = []
    config = small(method="heteroakd", projector_tap="stage3", steps=3, eval_every=2)
    last = run(config, directory=tmp_path, say=said.append)
    assert last.step == 3
    assert said[:2] == ABSENT
    assert said[2].startswith("train and val have 7 images")
    assert [line.partition(":")[0] for line in said[3:]] == ["step 2/3", "step 3/3"]
    assert f"mIoU {100 * last.miou:.2f} %" in said[-1]
    assert all(name in said[-1] for name in ("loss_task", "loss_kd", "loss_hakd", "loss_proj"))


def test_a_method_without_a_teacher_asks_for_none(small, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "trainables.run.load_teacher", lambda *_args, **_options: pytest.fail("a teacher was asked for")
    )
    config = small(method="task", steps=1, teacher="no:network", teacher_checkpoint="none.safetensors")
    assert run(config, directory=tmp_path).step == 1


def test_a_collaborative_trial_says_both_scores_and_needs_no_teacher(small, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "trainables.run.load_teacher", lambda *_args, **_options: pytest.fail("a teacher was asked for")
    )
    said = []
    last = run(small(method="collaborative", steps=1, region_size=8), directory=tmp_path, say=said.append)
    low, high = 100 * last.miou_low, 100 * last.miou_high
    span = f"mIoU {100 * last.miou:.2f} % ({low:.2f} to {high:.2f} on other such images)"
    assert f"{span}, of the other student {100 * last.peer_miou:.2f} %, loss_task" in said[3]


def test_files_that_were_skipped_are_named(small, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "torn")
    image = tmp_path / "torn" / "images" / "train" / "r1.png"
    image.write_bytes(image.read_bytes()[:-200])
    said = []
    config = small(data=str(tmp_path / "torn"), steps=2, eval_every=2, on_corrupt="skip")
    last = run(config, directory=tmp_path / "trial", say=said.append)
    assert last.skipped == [str(image)]
    assert said[4:] == [f"skipped, since it cannot be read: {image}"]
    assert '"skipped": ["' in (tmp_path / "trial" / "log.jsonl").read_text()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"data": "no-such-set"}, DataError),
        ({"student": "fpn:no_such_net"}, ModelError),
        ({"method": "kd", "teacher_checkpoint": "none.safetensors"}, TeacherError),
    ],
)
def test_what_a_user_got_wrong_is_an_error_of_ours(small, tmp_path, fields, error):
    with pytest.raises(error):
        run(small(**fields), directory=tmp_path)


def test_a_damaged_mask_is_found_before_training(small, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "torn")
    mask = tmp_path / "torn" / "labels" / "val" / "r1.png"
    mask.write_bytes(mask.read_bytes()[:60])
    with pytest.raises(DataError, match=r"val/r1\.png"):
        run(small(data=str(tmp_path / "torn")), directory=tmp_path / "trial")
    assert not (tmp_path / "trial").exists()


@pytest.mark.parametrize("method", ["heteroakd", "skd", "collaborative"])
def test_a_crop_of_any_side_trains_and_is_scored(method, small, cache, tmp_path, monkeypatch):
    """40 x 50 pixels, which networks see as 64 x 64; sliding windows are of 40 x 50 too."""
    monkeypatch.setenv("HETEROAKD_CACHE", str(cache))
    fields = {"projector_tap": "stage3", "crop_height": 40, "crop_width": 50, "eval_mode": "slide", "region_size": 8}
    last = run(small(method=method, steps=2, eval_every=2, **fields), directory=tmp_path)
    assert last.step == 2
    assert all(math.isfinite(value) for value in last.terms.values())
