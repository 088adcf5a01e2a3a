"""What a trial sees, from a study told by hand: no Ray."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import yaml
from optuna.trial import TrialState
from PIL import Image
from typer.testing import CliRunner

from explorer.cli.app import app
from explorer.show import samples
from trainables.data.catalogue import open_dataset
from trainables.errors import DataError, StudyError
from trainables.serving.samples import Seen

COLOURS = {(200, 0, 0), (0, 200, 0), (0, 0, 200)}


@pytest.fixture(scope="module")
def data(tiny_data, tmp_path_factory):
    """The tiny set in colours of its own; the upper half of its first validation image is ignored."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    shutil.copytree(tiny_data, root)
    (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": [*"abc"], "palette": [[*one] for one in COLOURS]}))
    first = root / "labels/val/0.png"
    label = np.array(Image.open(first))
    label[:32] = 255
    Image.fromarray(label).save(first)
    return root


@pytest.fixture(scope="module")
def study(make_study, data, tmp_path_factory):
    """Trial 0 complete, trial 1 pruned, as a sweep leaves them."""
    directory = tmp_path_factory.mktemp("study")
    _, arms = make_study(directory, data, num_trials=1, steps=1)
    trial, _ = arms["search"].ask()
    arms["search"].report(trial, 0.1, 1)
    arms["search"].tell(trial, TrialState.PRUNED)
    return directory


def colours_of(picture):
    return {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}


def test_a_trial_is_shown_beside_its_label_and_teacher(study, data):
    found = samples.of_trial(study, 0)
    assert [one.name for one in found] == ["0.png", "1.png", "2.png", "3.png"]
    for one in found:
        assert (one.image == np.array(Image.open(data / "images/val" / one.name))).all()
        assert {picture.shape for picture in (one.label, one.teacher, one.student, one.difference)} == {(64, 64, 3)}
        assert colours_of(one.teacher) | colours_of(one.student) <= COLOURS
        assert 0 <= one.miou <= 1
    again = samples.of_trial(study, 0, num=2)
    assert [one.name for one in again] == ["0.png", "2.png"]
    assert (again[1].student == found[2].student).all()
    assert [one.name for one in samples.of_trial(study, 0, names=["3", "1.png"])] == ["3.png", "1.png"]


def test_the_difference_marks_wrong_pixels_and_no_ignored_one(study):
    ignored, *others = samples.of_trial(study, 0)
    assert len(colours_of(ignored.label[:32])) == 2  # stripes
    assert (ignored.difference[:32] == ignored.label[:32]).all()
    for one in others:
        wrong = (one.label != one.student).any(axis=2)
        marked = (one.difference == samples.WRONG).all(axis=2)
        assert (marked == wrong).all()
    wrong = (ignored.label[32:] != ignored.student[32:]).any(axis=2)
    assert ((ignored.difference[32:] == samples.WRONG).all(axis=2) == wrong).all()


def test_the_score_is_of_the_image_alone(study, data):
    one = samples.of_trial(study, 0, num=1, names=["1"])[0]
    truth = np.array(Image.open(data / "labels/val/1.png"))
    table = {colour: number for number, colour in enumerate(open_dataset(str(data)).palette)}
    found = np.array([[table[tuple(pixel)] for pixel in row] for row in one.student.tolist()])
    iou = [((truth == n) & (found == n)).sum() / ((truth == n) | (found == n)).sum() for n in range(3)]
    assert one.miou == pytest.approx(np.mean(iou))


def test_a_student_alone_and_a_trial_whose_teacher_is_gone_have_no_teacher(study, tmp_path, monkeypatch):
    assert samples.of_trial(study, 0, role="baseline", num=1)[0].teacher is None
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path))
    assert samples.of_trial(study, 0, num=1)[0].teacher is None
    assert not list(tmp_path.glob("**/teacher.safetensors"))  # none was trained for it


@pytest.mark.parametrize(
    ("number", "why"), [(1, "has no checkpoint"), (99, "holds no search trial 99"), (-1, "holds no")]
)
def test_a_trial_without_weights_is_one_sentence(study, number, why):
    with pytest.raises(StudyError, match=why):
        samples.of_trial(study, number)


def test_an_unknown_image_or_split_is_one_sentence(study):
    with pytest.raises(DataError, match=r"Nearest: 1\.png"):
        samples.of_trial(study, 0, names=["11.png"])
    with pytest.raises(DataError, match="split 'nope' is missing"):
        samples.of_trial(study, 0, split="nope")


def test_large_images_become_small_pictures_whose_ids_are_not_mixed():
    dataset = open_dataset("earth")
    ids = np.random.default_rng(0).integers(0, 7, (600, 900), dtype=np.uint8)
    seen = Seen("big", np.zeros((600, 900, 3), np.uint8), ids, ids, None, 1.0)
    drawn = samples.draw(seen, dataset, longest=300)
    assert drawn.label.shape == (200, 300, 3)
    assert colours_of(drawn.label) <= {tuple(colour) for colour in dataset.palette}
    assert samples.WRONG not in colours_of(drawn.difference)


def test_the_sheet_has_a_block_for_each_trial(study, tmp_path):
    heights = []
    for trials in (["--trial", "0"], ["--trial", "0", "--trial", "0"]):
        said = CliRunner().invoke(app, ["pictures", str(study), *trials, "--out", str(tmp_path / "sheet.png")])
        assert said.exit_code == 0, said.output
        with Image.open(tmp_path / "sheet.png") as sheet:
            heights.append(sheet.height)
            assert {colour for _, colour in sheet.convert("RGB").getcolors(2**24)} >= COLOURS
    assert heights[1] - heights[0] > 4 * 200  # four more rows of pictures
