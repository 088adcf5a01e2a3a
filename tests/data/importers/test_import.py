"""An import as a whole: what it writes, what it leaves alone, how it divides, and what the command says."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import explorer
from explorer.cli.app import app
from trainables.data.importers import IMPORTERS
from trainables.data.importers.report import Report
from trainables.data.importers.target import Target
from trainables.errors import ConfigError, DataError, MissingExtra

ROOT = Path(__file__).parents[3]


@pytest.fixture
def source(tmp_path, photo, written):
    """Twenty images of four places, half of each covered by a polygon, as Labelme writes it."""
    half = {"label": "water", "points": [[0, 0], [4, 5]], "shape_type": "rectangle"}
    for number in range(20):
        name = f"place{number % 4}_{number:02}"
        photo(tmp_path / f"src/{name}.png")
        written(tmp_path / f"src/{name}.json", {"shapes": [half], "imagePath": f"{name}.png"})
    return tmp_path / "src"


def tree(folder):
    """Every file with its content and its time of writing."""
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_a_second_run_writes_nothing_and_says_so(source, tmp_path):
    before = tree(source)
    first = explorer.import_data("labelme", source, tmp_path / "set")
    assert "files: 20 images linked, 20 labels written" in str(first)
    there = tree(tmp_path / "set")
    again = explorer.import_data("labelme", source, tmp_path / "set")
    assert tree(tmp_path / "set") == there
    assert tree(source) == before
    assert "files: 20 images kept, 20 labels kept" in str(again)
    assert sorted(there) == sorted([*(name for name in there if name.startswith(("images/", "labels/"))), *TOP])


TOP = ["dataset.yaml", "import.json"]


def test_the_second_run_repairs_what_is_not_right(source, tmp_path):
    done = explorer.import_data("labelme", source, tmp_path / "set", copy=True)
    whole = {name: content for name, (content, _) in tree(done.folder).items()}
    image, label = (next(done.folder.glob(f"{kind}/train/*.png")) for kind in ("images", "labels"))
    image.write_bytes(b"torn")
    label.unlink()
    (done.folder / "labels/val/.r.png.part-0123456789ab").write_bytes(b"half")
    (done.folder / "dataset.yaml").unlink()
    again = explorer.import_data("labelme", source, tmp_path / "set", copy=True)
    assert "1 images copied, 19 images kept, 19 labels kept, 1 labels written" in str(again)
    assert {name: content for name, (content, _) in tree(done.folder).items()} == whole


def test_images_are_linked_or_else_copied(source, tmp_path, monkeypatch):
    linked = explorer.import_data("labelme", source, tmp_path / "linked").folder
    copied = explorer.import_data("labelme", source, tmp_path / "copied", copy=True).folder
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("another disk")))
    symbolic = explorer.import_data("labelme", source, tmp_path / "symbolic").folder
    for folder, same, is_link in ((linked, True, False), (copied, False, False), (symbolic, True, True)):
        path = next(folder.glob("images/val/*.png"))
        assert path.samefile(source / path.name) == same
        assert path.is_symlink() == is_link
        assert path.read_bytes() == (source / path.name).read_bytes()


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(source, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(DataError, match=r"other is not empty, and holds no import\. Give another place"):
        explorer.import_data("labelme", source, other)
    assert tree(other).keys() == {"thesis.tex"}
    done = explorer.import_data("labelme", source, tmp_path / "set")
    for options in ({"seed": 1}, {"ignore": ["water"]}, {"background": "land"}):
        with pytest.raises(DataError, match=r"set holds another import, see import\.json in it"):
            explorer.import_data("labelme", source, done.folder, **options)
    for place in (source, source / "set", tmp_path):
        with pytest.raises(ConfigError, match="must lie outside of"):
            explorer.import_data("labelme", source, place)


def test_files_of_an_earlier_run_that_no_longer_belong_are_named_and_kept(source, tmp_path, photo):
    done = explorer.import_data("labelme", source, tmp_path / "set")
    gone = next(done.folder.glob("labels/train/*.png")).stem
    (source / f"{gone}.json").unlink()
    (source / f"{gone}.png").unlink()
    photo(done.folder / "images/unlabelled/own.png")  # which is the user's
    again = explorer.import_data("labelme", source, tmp_path / "set")
    strangers = [f"images/train/{gone}.png", f"labels/train/{gone}.png"]
    assert again.left_out == [(file, "is not of this import. Remove it.") for file in strangers]
    assert (done.folder / strangers[1]).is_file()
    told = (done.folder / "left-out.txt").read_text()
    assert told == "".join(f"{file}: is not of this import. Remove it.\n" for file in strangers)


def test_images_that_are_added_move_no_other(source, tmp_path, photo, written):
    done = explorer.import_data("labelme", source, tmp_path / "set")
    before = tree(done.folder)
    for number in range(20, 60):
        photo(source / f"more_{number}.png")
        written(source / f"more_{number}.json", {"shapes": [], "imagePath": f"more_{number}.png"})
    again = explorer.import_data("labelme", source, tmp_path / "set")
    assert "files: 20 images kept, 40 images linked, 20 labels kept, 40 labels written" in str(again)
    assert {name: content for name, content in tree(done.folder).items() if name in before} == before
    elsewhere = explorer.import_data("labelme", source, tmp_path / "other", seed=json.loads(before[TOP[1]][0])["seed"])
    assert elsewhere.report.images == again.report.images


def test_a_description_that_was_changed_stays_unless_its_classes_differ(source, tmp_path):
    done = explorer.import_data("labelme", source, tmp_path / "set")
    described = done.folder / "dataset.yaml"
    values = yaml.safe_load(described.read_text())
    assert values["imported"] == {"kind": "labelme", "source": str(source)}
    described.write_text(yaml.safe_dump({**values, "name": "lakes"}))
    explorer.import_data("labelme", source, done.folder)
    assert yaml.safe_load(described.read_text())["name"] == "lakes"
    described.write_text(yaml.safe_dump({**values, "classes": ["water"]}))
    with pytest.raises(DataError, match=r"dataset\.yaml has classes \['water'\], but the import has \['background'"):
        explorer.import_data("labelme", source, done.folder)


def test_images_of_one_group_stay_together(source, tmp_path):
    done = explorer.import_data("labelme", source, tmp_path / "set", by="place{place}_*", val=0.3, test=0.25)
    places = {split: {path.stem[:6] for path in done.folder.glob(f"labels/{split}/*")} for split in done.report.images}
    assert [len(found) for found in places.values()] == [2, 1, 1]
    assert len(set.union(*places.values())) == 4
    assert "20 images divided by shares, 0.3 val, 0.25 test; seed " in str(done)
    assert "together by place{place}_*." in str(done)
    for options, sentence in (
        ({"by": "site{site}_*"}, "split.by 'site{site}_*' does not fit 20 images: place0_00, "),
        ({"by": "place0"}, "must name the part that is the group"),
        ({"by": "{all}0_*", "test": 0}, "does not fit 15 images"),
        ({"by": "pl{x}ce*"}, "split leaves "),
        ({"val": 1.5}, "val must be < 1"),
        ({"val": 0.6, "test": 0.4}, "split must leave images to train: val 0.6 and test 0.4 are all."),
    ):
        with pytest.raises(explorer.HeteroakdError, match=re.escape(sentence)):
            explorer.import_data("labelme", source, tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()


def test_a_val_that_is_missing_comes_out_of_train_and_splits_that_are_there_stay(source, tmp_path):
    for split, numbers in (("train", range(12)), ("test", range(12, 16)), ("val", range(16, 18))):
        (source / split).mkdir()
        for number in numbers:
            for path in source.glob(f"place*_{number:02}.*"):
                path.rename(source / split / path.name)
    (source / "val").rename(tmp_path / "val")
    for path in source.glob("*.json"):
        path.unlink()
    without = explorer.import_data("labelme", source, tmp_path / "without")
    assert without.report.images["test"] == 4
    assert {path.stem[-2:] for path in without.folder.glob("labels/test/*")} == {"12", "13", "14", "15"}
    assert without.report.images["train"] + without.report.images["val"] == 12
    assert without.report.images["val"] in (2, 3)
    (tmp_path / "val").rename(source / "val")
    whole = explorer.import_data("labelme", source, tmp_path / "whole")
    assert whole.report.images == {"train": 12, "val": 2, "test": 4}
    with pytest.raises(ConfigError, match=r"has splits of its own \(.*\)\. Leave --val, --test, --seed and --by out\."):
        explorer.import_data("labelme", source, tmp_path / "third", seed=1)


def test_two_images_of_one_name_are_not_written_over_each_other(source, tmp_path):
    for name in ("Place0_00", "sub/x", "sub_x"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / f"{name}.png").write_bytes((source / "place1_01.png").read_bytes())
        (source / f"{name}.json").write_text(json.dumps({"shapes": [], "imagePath": f"{name.split('/')[-1]}.png"}))
    done = explorer.import_data("labelme", source, tmp_path / "set", val=0.01, test=0)
    twins = [reason for _, reason in done.left_out]
    assert all(reason.startswith("would have the name of ") for reason in twins)
    assert sum(done.report.images.values()) + len(twins) == 23
    assert len(list(done.folder.glob("images/*/*.png"))) == sum(done.report.images.values())


def test_every_kind_is_said_with_the_options_that_it_reads(source, tmp_path):
    with pytest.raises(ConfigError, match=r"Unknown kind 'labelmee'\. Nearest: labelme\."):
        explorer.import_data("labelmee", source, tmp_path / "set")
    with pytest.raises(ConfigError, match=r"tolerance is read by cvat, rgb, not by labelme\. Leave it out\."):
        explorer.import_data("labelme", source, tmp_path / "set", tolerance=3)
    with pytest.raises(ConfigError, match=r"Unknown class 'watr'\. Nearest: water\."):
        explorer.import_data("labelme", source, tmp_path / "set", ignore=["watr"])
    (tmp_path / "export.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"export\.zip is an archive\. Unpack it, and give the folder\."):
        explorer.import_data("coco", tmp_path / "export.zip", tmp_path / "set")
    with pytest.raises(DataError, match=r"nowhere does not exist\."):
        explorer.import_data("coco", tmp_path / "nowhere", tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_without_pycocotools_it_says_which_extra_brings_it(kind, source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtra) as missing:
        explorer.import_data(kind, source, tmp_path / "set")
    assert str(missing.value) == "pycocotools is not installed. `pip install 'heteroakd-explorer[import]'`."


def test_a_full_disk_ends_the_import_and_the_next_run_goes_on(source, tmp_path, monkeypatch):
    bring = Target.bring
    left = [7]

    def fills_up(self, place, file):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return bring(self, place, file)

    monkeypatch.setattr(Target, "bring", fills_up)
    with pytest.raises(explorer.Interrupted, match=r"is full .* then run the same command again\."):
        explorer.import_data("labelme", source, tmp_path / "set")
    assert not (tmp_path / "set/dataset.yaml").exists()  # a part of a data set is none
    monkeypatch.undo()
    done = explorer.import_data("labelme", source, tmp_path / "set")
    assert sum(done.report.images.values()) == 20
    assert done.report.placed["images kept"] == 7


def test_ctrl_c_ends_the_import_without_the_images_that_have_not_begun(source, tmp_path, monkeypatch):
    bring, add = Target.bring, Report.add

    def slowly(self, place, file):
        time.sleep(0.05)
        return bring(self, place, file)

    def interrupted(self, done, named):
        raise KeyboardInterrupt

    monkeypatch.setattr(Target, "bring", slowly)
    monkeypatch.setattr(Report, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        explorer.import_data("labelme", source, tmp_path / "set")
    assert len(list(tmp_path.glob("set/images/*/*.png"))) < 15
    monkeypatch.setattr(Report, "add", add)
    assert sum(explorer.import_data("labelme", source, tmp_path / "set").report.images.values()) == 20


def test_the_command_lists_what_is_left_out_and_exits_with_1(source, tmp_path):
    for number in range(23):
        (source / f"broken{number:02}.json").write_text("{")
    arguments = ["data", "import", "labelme", str(source), str(tmp_path / "set"), "--val", "0.25", "--test", "0.25"]
    said = CliRunner().invoke(app, [*arguments, "--no-background", "--ignore", "water"])
    assert isinstance(said.exception, ConfigError)  # nothing is left
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 1
    assert "images: train 10, val 5, test 5" in said.output
    assert "  1 water: 50.00 % of all pixels, 20 objects" in said.output
    assert "left out: 23" in said.output
    assert said.output.count("is no JSON") == 20
    assert f"and 3 more: {tmp_path / 'set/left-out.txt'}" in said.output
    assert (tmp_path / "set/left-out.txt").read_text().count("is no JSON") == 23
    assert CliRunner().invoke(app, ["data", "check", str(tmp_path / "set")]).exit_code == 0
    label = next((tmp_path / "set/labels/val").iterdir())
    assert np.array(Image.open(label)).tolist() == 6 * [5 * [1] + 5 * [0]]


def test_the_kinds_are_those_of_the_pages_and_of_the_help():
    said = CliRunner().invoke(app, ["data", "import", "--help"], env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).output
    page = (ROOT / "docs/data.md").read_text()
    for kind in IMPORTERS:
        assert kind in said
        assert f"| `{kind}` |" in page
