"""One convention for EXIF's orientation: upright as one sees it, in training, the checks, `predict` and the bundle."""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from explorer.bundle import predict, snippet_onnx
from explorer.bundle.contents import predictor
from trainables.data import headers
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.decoded import DecodedFiles
from trainables.data.doctor import SIZE, diagnose
from trainables.data.images import header, image_size, read_image
from trainables.data.masks import read_mask
from trainables.errors import DataError
from trainables.serving.predict import pixels

ORIENTATION = 0x0112
STORED = {  # how a picture is stored that is to be shown upright, by the EXIF specification: row 0 is its ... side
    1: lambda shown: shown,  # top, column 0 left
    2: lambda shown: shown[:, ::-1],  # top, right
    3: lambda shown: shown[::-1, ::-1],  # bottom, right
    4: lambda shown: shown[::-1],  # bottom, left
    5: lambda shown: shown.swapaxes(0, 1),  # left, top
    6: lambda shown: shown.swapaxes(0, 1)[::-1],  # right, top
    7: lambda shown: shown.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda shown: shown.swapaxes(0, 1)[:, ::-1],  # left, bottom
}
CLASSES = ["a", "b", "c", "d"]
EVERY = pytest.mark.parametrize("orientation", range(1, 9))
ENDINGS = pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])


def labels(height, width):
    """Four classes in quarters of unlike size, so that no turn or flip but none gives the same."""
    ids = np.zeros((height, width), np.uint8)
    ids[: height // 4, width // 4 :] = 1
    ids[height // 4 :, : width // 4] = 2
    ids[height // 4 :, width // 4 :] = 3
    return ids


def save(shown, path, orientation, **options):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if path.suffix == ".jpg":
        options |= {"quality": 100, "subsampling": 0}
    if path.suffix == ".webp":
        options["lossless"] = True
    Image.fromarray(np.ascontiguousarray(STORED[orientation](shown))).save(path, exif=exif, **options)


def write(root, orientation, ending="png", size=(48, 80)):
    """A set whose images are grey of 60 times the class as one sees them."""
    ids = labels(*size)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        shown = (60 * ids)[..., None].repeat(3, axis=2)
        shown[..., 2] += 20 * (split == "train")  # no image in two splits
        save(shown, root / "images" / split / f"one.{ending}", orientation)
        Image.fromarray(ids).save(root / "labels" / split / "one.png")
    (root / "dataset.yaml").write_text("classes: [a, b, c, d]\n")
    return ids


def image(root, ending="png"):
    return root / "images" / "val" / f"one.{ending}"


@dataclass
class ByColour:
    """A network that says the class of each pixel by its colour."""

    palette: tuple[tuple[int, int, int], ...] = ((0, 0, 0), (60, 60, 60), (120, 120, 120), (180, 180, 180))

    def read(self, path):
        return pixels(path)

    def picture(self, rgb):
        return rgb

    def predict(self, rgb):
        return np.rint(rgb[..., 0] / 60).astype(np.uint8)


@EVERY
@ENDINGS
@pytest.mark.parametrize("size", [(48, 80), (64, 64)])
def test_every_reader_sees_the_image_as_people_do(tmp_path, orientation, ending, size):
    ids = write(tmp_path / "set", orientation, ending, size)
    path = image(tmp_path / "set", ending)
    dataset = open_dataset(str(tmp_path / "set"))
    verify(dataset)
    read, label = dataset.read(dataset.samples("val")[0])
    opened = Image.open(path)
    for rgb in (
        read.permute(1, 2, 0).numpy(),
        read_image(path),
        pixels(path),
        pixels(opened),
        snippet_onnx.read(str(path)),
    ):
        assert (ByColour().predict(rgb) == ids).all()
    assert image_size(path) == size
    assert (label.numpy() == ids).all()
    assert diagnose(str(tmp_path / "set")).faults == {}


@EVERY
@pytest.mark.parametrize("size", [(48, 80), (64, 64)])
def test_predicted_masks_lie_on_their_images_as_labels_do(tmp_path, orientation, size):
    write(tmp_path / "set", orientation, size=size)
    path = image(tmp_path / "set")
    assert predict.run(ByColour(), [path], tmp_path / "out", overlay=True, say=print) == 0
    label = read_mask(tmp_path / "set" / "labels" / "val" / "one.png")
    assert (read_mask(tmp_path / "out" / "masks" / "one.png") == label).all()
    over = np.asarray(Image.open(tmp_path / "out" / "overlays" / "one.png"))
    assert (np.abs(over[..., 0].astype(int) - 60 * label) <= 1).all()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@ENDINGS
def test_a_mask_that_fits_only_the_unturned_image_is_a_fault_that_says_so(tmp_path, orientation, ending):
    root = tmp_path / "set"
    ids = write(root, orientation, ending)
    Image.fromarray(np.ascontiguousarray(STORED[orientation](ids))).save(root / "labels" / "val" / "one.png")
    sentence = (
        f"{image(root, ending)} is shown upright, 80x48 (width x height), as its EXIF says, but "
        f"{root}/labels/val/one.png is 48x80 and fits the image only as it is stored. Turn the mask, or store the "
        "image without that orientation."
    )
    dataset = open_dataset(str(root))
    for look in (verify, lambda one: one.read(one.samples("val")[0])):
        with pytest.raises(DataError) as caught:
            look(dataset)
        assert str(caught.value) == sentence
    assert diagnose(str(root)).faults == {SIZE: [sentence]}


def test_turned_images_are_named_before_the_first_trial_and_by_the_check(tmp_path):
    write(tmp_path / "set", 3)
    said = [
        f"Turned upright, as EXIF says: 1 image of {split}. Masks must lie on the upright image."
        for split in ("train", "val")
    ]
    assert verify(open_dataset(str(tmp_path / "set"))) == said
    assert set(said) <= set(diagnose(str(tmp_path / "set")).advice)


@EVERY
def test_an_orientation_that_a_png_holds_behind_its_pixels_counts_too(tmp_path, orientation):
    ids = write(tmp_path / "set", 1)
    for split in ("train", "val"):
        path = tmp_path / "set" / "images" / split / "one.png"
        shown = (60 * ids)[..., None].repeat(3, axis=2)
        shown[..., 2] += 20 * (split == "train")
        save(shown, path, orientation)
        content = path.read_bytes()
        start = content.index(b"eXIf") - 4
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        path.write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])
    dataset = open_dataset(str(tmp_path / "set"))
    verify(dataset)
    assert diagnose(str(tmp_path / "set")).faults == {}
    for rgb in (dataset.read(dataset.samples("val")[0])[0].permute(1, 2, 0).numpy(), snippet_onnx.read(str(path))):
        assert (ByColour().predict(rgb) == ids).all()


@EVERY
def test_an_orientation_in_imagemagicks_text_counts_too(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    held = exif.tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(held):8}\n{held.hex()}\n", zip=True)
    shown = (60 * labels(48, 80))[..., None].repeat(3, axis=2)
    path = tmp_path / "one.png"
    Image.fromarray(np.ascontiguousarray(STORED[orientation](shown))).save(path, pnginfo=text)
    assert (read_image(path) == shown).all()
    assert header(path).size == (48, 80)


@pytest.mark.filterwarnings("ignore:.*EXIF data")  # Pillow's own
def test_exif_that_cannot_be_read_or_means_nothing_turns_nothing(tmp_path):
    shown = (60 * labels(48, 80))[..., None].repeat(3, axis=2)
    for number, exif in enumerate([b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b""]):
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(shown).save(path, exif=exif, quality=100, subsampling=0)
        assert (read_image(path) == shown).all()
        assert (snippet_onnx.read(str(path)) == shown).all()
    for orientation in (0, 9, 65535):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        Image.fromarray(shown).save(tmp_path / "odd.png", exif=exif)
        assert (read_image(tmp_path / "odd.png") == shown).all()
        assert image_size(tmp_path / "odd.png") == (48, 80)


def test_a_mask_with_an_orientation_of_its_own_is_upright_too(tmp_path):
    ids = labels(48, 80)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    mask = Image.fromarray(np.ascontiguousarray(STORED[6](ids)))
    mask.putpalette(range(0, 256))
    mask.save(tmp_path / "mask.png", exif=exif)
    assert (read_mask(tmp_path / "mask.png") == ids).all()


def test_images_that_an_older_release_kept_decoded_are_decoded_anew(tmp_path):
    """They may not be upright."""
    (tmp_path / "one.u8").write_bytes(b"decoded1" + (1).to_bytes(4, "little") * 2 + bytes(4))
    pair = torch.ones(3, 1, 1, dtype=torch.uint8), torch.ones(1, 1, dtype=torch.uint8)
    for _ in range(2):
        image, ids = DecodedFiles(tmp_path, {"key": "one.u8"}).get("key", lambda _: pair)
        assert image.tolist() == [[[1]]] * 3
        assert ids.tolist() == [[1]]


@pytest.mark.parametrize(
    "name", ["refusal", "_pages", "_tiff_refusal", "_numbers", "_too_deep", "orientation", "upright"]
)
def test_the_bundles_script_holds_our_own_reader(name, tmp_path):
    (tmp_path / "predict_written.py").write_text(predictor(onnx=True), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("predict_written", tmp_path / "predict_written.py")
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    assert inspect.getsource(getattr(written, name)) == inspect.getsource(getattr(headers, name))
    assert "trainables" not in predictor(onnx=True)
