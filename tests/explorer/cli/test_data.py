from __future__ import annotations

import shutil

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from explorer.cli.app import app
from trainables.data.catalogue import open_dataset
from trainables.errors import DataError


def check(*arguments):
    return CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


def test_a_sound_set_exits_with_zero_and_leaves_its_sheet(layout, tmp_path):
    root = layout("camvid", tmp_path / "camvid")
    found = check(f"camvid:{root}", "--split", "val", "--out", tmp_path / "sheet.png")
    assert found.exit_code == 0
    assert "val: 2 samples" in found.output
    assert "train:" not in found.output
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_a_fault_exits_with_one_and_is_named(layout, tmp_path):
    root = layout("camvid", tmp_path / "camvid")
    (root / "valannot" / "0001.png").write_bytes(b"")
    found = check(f"camvid:{root}")
    assert found.exit_code == 1
    assert f"{root}/valannot/0001.png is no readable PNG file." in found.output


SCENES = {f"scene{number}": 2 + number % 3 for number in range(10)}
DESCRIBED = "# by hand\nclasses: [a, b]   # two\nsplit:\n  val: 0.5  # half\nname: mine\n"


@pytest.fixture
def flat(tmp_path):
    """Thirty images of ten scenes in one folder, each mask a quarter b."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    mask = np.zeros((8, 8), np.uint8)
    mask[:4, :4] = 1
    rng = np.random.default_rng(0)
    for name in (f"{scene}_{frame}.png" for scene, frames in SCENES.items() for frame in range(frames)):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "images" / name)
        Image.fromarray(mask).save(tmp_path / "labels" / name)
    (tmp_path / "dataset.yaml").write_text("classes: [a, b]\n", encoding="utf-8")
    return tmp_path


def split(*arguments):
    return CliRunner().invoke(app, ["data", "split", *map(str, arguments)])


def held(root):
    return {name: [one.image.name for one in samples] for name, samples in open_dataset(str(root)).splits.items()}


def test_a_split_is_written_shown_and_again_changes_nothing(flat):
    done = split(flat, "--val", 0.3, "--test", 0.2, "--by", "{scene}_*")
    assert done.exit_code == 0, done.output
    written = (flat / "dataset.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(written)
    assert values["classes"] == ["a", "b"]
    assert values["split"].keys() == {"val", "test", "seed", "by"}
    found = held(flat)
    scenes = {name: {image.split("_")[0] for image in images} for name, images in found.items()}
    assert sum(map(len, scenes.values())) == 10
    for name, share in (("train", 0.5), ("val", 0.3), ("test", 0.2)):
        number = len(found[name])
        assert abs(number / 29 - share) < 0.05  # of the seeds, one of the nearest
        told = (
            f"{name}: {number} images, {100 * number / 29:.1f} % (wanted {100 * share:.1f} %), in {len(scenes[name])}"
        )
        assert told in done.output
    assert f"written: {flat}/dataset.yaml" in done.output
    assert "1 b 25.00 % 25.00 % 25.00 %" in " ".join(done.output.split())

    again = split(flat)
    assert "written already: nothing has changed" in again.output
    for name in ("0", "1"):
        for kind in ("images", "labels"):
            shutil.copy(flat / kind / "scene0_0.png", flat / kind / f"added_{name}.png")
    assert "written already" in split(flat, "--val", 0.3).output
    more = held(flat)
    assert all(set(images) <= set(more[name]) for name, images in found.items())
    assert (flat / "dataset.yaml").read_text(encoding="utf-8") == written
    assert "seed 7" in split(flat, "--seed", 7).output
    assert yaml.safe_load((flat / "dataset.yaml").read_text(encoding="utf-8"))["split"] == {
        **values["split"],
        "seed": 7,
    }


def test_comments_and_other_keys_stay_as_they_are(flat):
    (flat / "dataset.yaml").write_text(DESCRIBED, encoding="utf-8")
    assert split(flat, "--seed", 1, "--test", "0.1").exit_code == 0
    assert (flat / "dataset.yaml").read_text(encoding="utf-8") == (
        "# by hand\nclasses: [a, b]   # two\nsplit: {val: 0.5, test: 0.1, seed: 1}  # half\nname: mine\n"
    )


def test_lists_hold_the_images_of_the_same_shares(flat):
    (flat / "dataset.yaml").write_text(DESCRIBED, encoding="utf-8")
    assert split(flat, "--val", 0.3, "--seed", 4, "--by", "{scene}_*").exit_code == 0
    by_shares = held(flat)
    done = split(flat, "--lists", "lists")
    assert done.exit_code == 0, done.output
    assert (flat / "lists" / "val.txt").read_text(encoding="utf-8").splitlines() == [
        f"images/{name}" for name in by_shares["val"]
    ]
    assert (flat / "dataset.yaml").read_text(encoding="utf-8") == (
        "# by hand\nclasses: [a, b]   # two\nname: mine\nsplits: {train: lists/train.txt, val: lists/val.txt}\n"
    )
    assert held(flat) == by_shares
    same = split(flat, "--val", 0.3, "--seed", 4, "--by", "{scene}_*", "--lists", "lists")
    assert "written already" in same.output
    refused = split(flat, "--seed", 5, "--lists", "lists")
    assert isinstance(refused.exception, DataError)
    assert "lists/train.txt lists other images. Remove it to split anew" in str(refused.exception)
    assert "names the splits under `splits`. Remove that" in str(split(flat).exception)


def test_a_set_split_by_folders_or_without_description_is_not_split_anew(flat, layout, tmp_path_factory):
    folders = flat / "images" / "train"
    folders.mkdir()
    assert str(split(flat).exception).startswith(f"{flat} is split by folders: it has {folders}. Move the files")
    folders.rmdir()
    before = (flat / "dataset.yaml").read_bytes()
    (flat / "labels" / "scene0_0.png").unlink()
    assert "has images without label: scene0_0." in str(split(flat).exception)
    assert (flat / "dataset.yaml").read_bytes() == before
    (flat / "dataset.yaml").write_text("{classes: [a, b]}", encoding="utf-8")
    (flat / "images" / "scene0_0.png").unlink()
    assert "is written so that no line can be added. Write `split: {val: 0.2, test: 0.0, seed: " in str(
        split(flat).exception
    )
    (flat / "dataset.yaml").unlink()
    assert f"{flat}/dataset.yaml is missing." in str(split(flat).exception)
