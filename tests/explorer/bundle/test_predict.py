"""`heteroakd predict` on photos as people have them. The bundle is made by hand, around a tiny network."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from explorer.bundle.predict import files
from explorer.cli.app import app
from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.data.masks import mask_kind, read_mask
from trainables.drawing.palette import distinct
from trainables.errors import CheckpointError, ConfigError, DataError, HeteroakdError
from trainables.kept import checkpoint
from trainables.scoring.evaluate import predict
from trainables.serving.predict import Predictor

CLASSES = ["a", "b", "c", "d"]
PALETTE = [[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]]


def trained():
    """A network that sees every class in noise."""
    made = tiny.network(num_classes=4).eval()
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made.head.bias -= predict(made, pixels, TrialConfig(device="cpu"))[0].mean(dim=(1, 2))
    return made


@pytest.fixture
def bundle(home, tmp_path):
    """Makes a bundle's folder, with changes to its config."""

    def make(**changes):
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        config = TrialConfig.parse({"student": "mine_tiny:net", "method": "task", "device": "cpu", **changes})
        (folder / "best.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
        weights = trained().state_dict()
        meta = {"model": config.student, "classes": CLASSES, "palette": PALETTE}
        checkpoint.write(folder / "student.safetensors", weights, meta)
        return folder

    return make


@pytest.fixture
def photo(tmp_path):
    """Writes a photo of random pixels, wider than high."""

    def make(name, mode="RGB", size=(70, 45), **options):
        rng = np.random.default_rng(0)
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode).save(path, **options)
        return path

    return make


def heteroakd(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def logits_of(path, **changes):
    """By the evaluation's own function, of the file's pixels as RGB."""
    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None]
    with torch.no_grad():
        return predict(trained(), pixels, TrialConfig(device="cpu", **changes))[0]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1"])
def test_any_kind_of_8_bit_image_becomes_a_mask_that_a_data_set_takes(bundle, photo, tmp_path, mode):
    path = photo("photos/one.tif", mode)
    said = heteroakd(bundle(), path, "--out", tmp_path / "out")
    assert said.exit_code == 0, said.output
    mask = tmp_path / "out/masks/one.png"
    assert (read_mask(mask) == logits_of(path).argmax(dim=0).numpy()).all()
    assert len(np.unique(read_mask(mask))) > 1
    assert mask_kind(mask) == "8-bit palette"
    over = np.array(Image.open(tmp_path / "out/overlays/one.png")).astype(int)
    mean = (np.array(Image.open(path).convert("RGB")).astype(int) + np.array(PALETTE)[read_mask(mask)]) / 2
    assert np.abs(over - mean).max() <= 1


def test_windows_are_used_where_the_bundle_was_scored_in_windows(bundle, photo, tmp_path):
    windows = {"eval_mode": "slide", "crop_height": 32, "crop_width": 32, "eval_stride": 0.5}
    path = photo("one.png")
    assert heteroakd(bundle(**windows), path, "--out", tmp_path / "out", "--no-overlay").exit_code == 0
    found = read_mask(tmp_path / "out/masks/one.png")
    assert (found == logits_of(path, **windows).argmax(dim=0).numpy()).all()
    assert (found != logits_of(path).argmax(dim=0).numpy()).any()
    assert not (tmp_path / "out/overlays").exists()


def test_a_photo_is_predicted_as_one_sees_it(bundle, photo, tmp_path):
    turned = Image.Exif()
    turned[274] = 6  # to be shown turned by 90 degrees clockwise
    path = photo("turned.png", exif=turned)
    assert heteroakd(bundle(), path, "--out", tmp_path / "out").exit_code == 0
    Image.fromarray(np.rot90(np.array(Image.open(path)), -1)).save(tmp_path / "upright.png")
    expected = logits_of(tmp_path / "upright.png").argmax(dim=0).numpy()
    assert (read_mask(tmp_path / "out/masks/turned.png") == expected).all()


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_done(bundle, photo, tmp_path):
    photo("photos/b.png")
    whole = (tmp_path / "photos/b.png").read_bytes()
    (tmp_path / "photos/a.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "photos/deep.png")
    said = heteroakd(bundle(), tmp_path / "photos", "--out", tmp_path / "out")
    assert said.exit_code == 2
    assert f"{tmp_path}/photos/a.png cannot be decoded" in said.output
    assert f"{tmp_path}/photos/deep.png must have 8 bits a channel" in said.output
    assert [path.name for path in (tmp_path / "out/masks").iterdir()] == ["b.png"]


def test_a_folder_gives_its_images_a_pattern_what_fits_and_each_counts_once(photo, tmp_path):
    names = ["x/a.jpg", "x/B.PNG", "y/c.webp"]
    for name in names:
        photo(name)
    photo("x/a.jpg").with_name("notes.txt").write_text("no image")
    odd = photo("y/[1].png")
    assert files([str(tmp_path / "x")]) == [tmp_path / "x/B.PNG", tmp_path / "x/a.jpg"]
    every = {path.name for path in files([str(tmp_path / "**/*"), str(tmp_path / "x/a.jpg"), str(odd)])}
    assert every == {"a.jpg", "B.PNG", "c.webp", "[1].png"}


def test_two_images_of_one_name_are_refused_before_anything_is_written(bundle, photo, tmp_path):
    photo("x/a.jpg")
    photo("y/A.png")
    with pytest.raises(DataError, match=r"would both become A\.png"):
        files([str(tmp_path / "x"), str(tmp_path / "y")])


def test_a_file_that_is_given_twice_counts_once_however_it_is_spelt(photo, tmp_path):
    path = photo("x/a.png")
    (tmp_path / "linked").symlink_to(tmp_path / "x")
    assert files([str(path), f"{tmp_path}/x/../x/a.png", f"{tmp_path}/linked/a.png"]) == [path]


@pytest.mark.parametrize("given", ["nowhere", "nowhere/*.jpg", "empty"])
def test_what_gives_no_image_is_refused(tmp_path, given):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="gives no image"):
        files([str(tmp_path / given)])


def test_no_name_at_all_is_not_the_current_folder(photo, tmp_path, monkeypatch):
    monkeypatch.chdir(photo("x/a.png").parent)
    with pytest.raises(DataError, match="'' gives no image"):
        files([""])


@pytest.mark.parametrize("given", ["a**/x", "~nouser-of-this-name/x.png", "a" * 5000])
def test_what_is_no_path_is_one_sentence(given):
    with pytest.raises(DataError, match="is no path or pattern that can be read: "):
        files([given])


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_place_that_cannot_be_a_folder_is_refused_without_talk_of_resuming(bundle, photo, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    said = heteroakd(bundle(), photo("one.png"), "--out", tmp_path / out)
    assert isinstance(said.exception, ConfigError)
    assert "file is a file. Give another place." in str(said.exception).replace("it is", "file is")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_while_predicting_is_no_reason_to_resume_a_sweep(bundle, photo, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder, path = bundle(), photo("one.png")
    monkeypatch.setattr(Image.Image, "save", full)
    said = heteroakd(folder, path, "--out", tmp_path / "out")
    assert str(said.exception).endswith("Free space, then run the same command again.")


def test_the_other_student_of_a_trial_that_had_one_student_is_one_sentence(bundle):
    with pytest.raises(CheckpointError, match=r"has no peer\.safetensors: only a collaborative trial has one"):
        Predictor.open(bundle(), weights="peer")


@pytest.mark.parametrize(
    "palette", [[[1, 2, 3]], [[1, 2, 999]] * 4, [["a"]] * 4, [[1, 2, -3]] * 4, [[1, 2, 0.5]] * 4, "abcd", [1, 2, 3, 4]]
)
def test_a_palette_that_is_none_gives_way_to_colours_of_ours(bundle, palette):
    folder = bundle()
    weights, meta = checkpoint.load(folder / "student.safetensors")
    checkpoint.write(folder / "student.safetensors", weights, {**meta, "palette": palette})
    assert Predictor.open(folder).palette == distinct(4)
    checkpoint.write(folder / "student.safetensors", weights, meta)
    assert Predictor.open(folder).palette == tuple(map(tuple, PALETTE))


def test_an_image_is_not_overwritten_by_its_own_mask(bundle, photo, tmp_path):
    path = photo("masks/a.png")
    before = path.read_bytes()
    said = heteroakd(bundle(), path, "--out", tmp_path)
    assert isinstance(said.exception, DataError)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [("best.yaml", "is no bundle"), ("student.safetensors", "is no bundle"), (None, "does not hold the weights")],
)
def test_what_is_no_bundle_is_one_sentence(bundle, broken, sentence):
    folder = bundle()
    if broken:
        (folder / broken).unlink()
    else:
        weights = tiny.network(num_classes=4, width=5).state_dict()
        checkpoint.write(folder / "student.safetensors", weights, {"model": "mine_tiny:net", "classes": CLASSES})
    with pytest.raises(HeteroakdError, match=sentence):
        Predictor.open(folder)


def test_generated_colours_differ_and_the_first_stay_when_classes_are_added():
    every = distinct(255)
    assert len(set(every)) == 255
    assert distinct(7) == every[:7]
    assert distinct(1) == every[:1]
    greys = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in every[7:20]]
    assert max(greys) - min(greys) > 100  # apart for an eye without any cones, too


def test_hidden_files_are_passed_over_unless_they_are_named(photo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo("a.png").read_bytes())
    for name in ("._a.png", ".hidden.png"):  # macOS leaves the first beside each file
        (folder / name).write_bytes(b"no image")
    assert files([str(folder)]) == files([str(folder / "*.png")]) == [folder / "a.png"]
    assert files([str(folder / ".hidden.png")]) == files([str(folder / ".h*.png")]) == [folder / ".hidden.png"]
    with pytest.raises(DataError, match="gives no image"):
        files([str(folder / "*hidden.png")])
