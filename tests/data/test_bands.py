"""Images of any channels and bits: the numbers that NumPy wrote come back, are normalised, cut, kept and measured."""

from __future__ import annotations

import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image, ImageOps
from typer.testing import CliRunner

import explorer
from explorer.cli.app import app
from trainables.bands import RGB, Bands
from trainables.config import TrialConfig
from trainables.data import banded
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.deep import turned
from trainables.data.doctor import IMAGE, diagnose
from trainables.data.feed import feed
from trainables.data.loader import train_batches
from trainables.data.measure import measure
from trainables.data.transforms import augment, normalize
from trainables.drawing.shown import picture
from trainables.errors import ConfigError, DataError, MissingExtra

HEIGHT, WIDTH = 48, 64
FOUR = Bands(4, (0.1, 0.2, 0.3, 0.4), (0.05, 0.1, 0.15, 0.2), 10000.0, (3, 2, 1))
CONFIG = TrialConfig(method="task", steps=3, batch_size=2, crop_height=32, crop_width=32, device="cpu")


def numbers(channels, kind=np.uint16, top=10000, seed=0):
    return np.random.default_rng(seed).integers(0, top, (HEIGHT, WIDTH, channels), dtype=kind)


def tif(values, path, **options):
    options = {"photometric": "minisblack", "planarconfig": "contig", **options}
    tifffile.imwrite(path, values, **options)


def planes(values, path, **options):
    tif(np.moveaxis(values, 2, 0), path, **{"planarconfig": "separate", **options})


def png(values, path):
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(values.squeeze())))


@pytest.fixture
def make(tmp_path):
    """Writes a set of 3 training images and 2 others, with these fields in dataset.yaml; gives root and images."""

    def of(stored, write=tif, ending="tif", *, kind=np.uint16, top=10000, **fields):
        root, held = tmp_path / "set", {}
        for split, count in (("train", 3), ("val", 2)):
            for folder in ("images", "labels"):
                (root / folder / split).mkdir(parents=True)
            for number in range(count):
                values = numbers(stored, kind, top, seed=len(held))
                path = root / "images" / split / f"{number}.{ending}"
                write(values, path)
                held[path] = values
                ids = np.kron(np.arange(12).reshape(3, 4) % 3, np.ones((16, 16), int)).astype(np.uint8)
                Image.fromarray(ids).save(root / "labels" / split / f"{number}.png")
        (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": ["a", "b", "c"], **fields}))
        return root, held

    return of


TOLD = {"channels": 4, "scale": 10000, "mean": [0.1, 0.2, 0.3, 0.4], "std": [0.05, 0.1, 0.15, 0.2], "shown": [3, 2, 1]}


def lzw(values, path):
    tif(values, path, compression="lzw", predictor=True)


def tiled(values, path):
    tif(values, path, compression="deflate", tile=(16, 16), bigtiff=True, byteorder=">")


def pages(values, path):
    tif(np.moveaxis(values, 2, 0), path, planarconfig=None)


def with_copies(values, path):
    """A pyramid, as cloud-optimised GeoTIFFs have it."""
    with tifffile.TiffWriter(path) as file:
        file.write(values, photometric="minisblack", planarconfig="contig", subifds=1)
        file.write(values[::2, ::2], photometric="minisblack", planarconfig="contig", subfiletype=1)


@pytest.mark.parametrize("write", [tif, planes, pages, lzw, tiled, with_copies], ids=lambda write: write.__name__)
def test_four_bands_of_16_bits_are_the_numbers_that_were_written(make, write):
    root, held = make(4, write, **TOLD)
    dataset = open_dataset(str(root))
    assert dataset.bands == FOUR
    verify(dataset)
    for sample in dataset.samples("train"):
        image, ids = dataset.read(sample)
        assert (image.dtype, ids.dtype) == (torch.float32, torch.uint8)
        np.testing.assert_array_equal(image.numpy(), np.moveaxis(held[sample.image], 2, 0).astype(np.float32))


@pytest.mark.parametrize(
    ("stored", "channels", "kind", "fields"),
    [
        (1, 1, np.uint16, {"scale": 65535, "mean": [0.5], "std": [0.2]}),
        (3, 3, np.uint16, {"scale": 65535}),
        (4, 3, np.uint16, {"scale": 65535}),  # alpha is left out
        (4, 4, np.uint16, {"scale": 65535, "mean": [0.5] * 4, "std": [0.2] * 4}),
        (2, 1, np.uint16, {"scale": 65535, "mean": [0.5], "std": [0.2]}),
        (1, 1, np.uint8, {"mean": [0.5], "std": [0.2]}),
        (4, 4, np.uint8, {"mean": [0.5] * 4, "std": [0.2] * 4}),
    ],
)
def test_pngs_keep_all_their_bits_and_the_channels_that_count(make, stored, channels, kind, fields):
    root, held = make(stored, png, "png", kind=kind, top=np.iinfo(kind).max, channels=channels, **fields)
    dataset = open_dataset(str(root))
    verify(dataset)
    sample = dataset.samples("val")[1]
    image = dataset.read(sample)[0]
    assert image.dtype == (torch.uint8 if kind == np.uint8 else torch.float32)
    expected = np.moveaxis(held[sample.image][..., :channels], 2, 0)
    np.testing.assert_array_equal(image.numpy(), expected.astype(image.numpy().dtype))
    assert diagnose(str(root)).splits[0].bands == {f"{stored} x {np.dtype(kind).name}": 3}


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_images_are_turned_as_pillow_turns_those_of_8_bits(tmp_path, turn):
    values = numbers(3, np.uint8, 255)
    photo = Image.fromarray(values)
    photo.getexif()[274] = turn
    shown = np.asarray(ImageOps.exif_transpose(photo))
    np.testing.assert_array_equal(turned(values, turn), shown)
    tif(values.astype(np.uint16) * 200, tmp_path / "a.tif", extratags=[(274, "H", 1, turn, True)], photometric="rgb")
    exif = Image.Exif()
    exif[274] = turn
    Image.fromarray(values).save(tmp_path / "8.png", exif=exif)
    content, held = (tmp_path / "8.png").read_bytes(), imagecodecs.png_encode(values.astype(np.uint16) * 200)
    start = content.index(b"eXIf") - 4
    chunk = content[start : start + 12 + int.from_bytes(content[start : start + 4], "big")]
    (tmp_path / "a.png").write_bytes(held[:33] + chunk + held[33:])
    for name in ("a.tif", "a.png"):
        bands = Bands(scale=65535.0)
        np.testing.assert_array_equal(banded.read(tmp_path / name, bands), shown.astype(np.float32) * 200)
        assert banded.header(tmp_path / name, bands)[:3] == (shown.shape[:2], (HEIGHT, WIDTH), turn)


def test_where_a_file_says_that_it_has_no_data_there_is_the_mean(tmp_path):
    values = numbers(4).astype(np.float32) / 10000
    values[0, 1, 2], values[3, 4], values[5, 6, 0] = np.nan, -9999, np.inf
    tif(values, tmp_path / "a.tif", extratags=[(42113, "s", 0, "-9999", True)])
    bands = Bands(4, FOUR.mean, FOUR.std, 1.0)
    expected = values.copy()
    expected[0, 1, 2], expected[3, 4], expected[5, 6, 0] = 0.3, FOUR.mean, 0.1
    np.testing.assert_allclose(banded.read(tmp_path / "a.tif", bands), expected, rtol=1e-6)


def test_values_are_divided_by_the_scale_and_normalised_by_channel():
    values = numbers(4).astype(np.float32)
    found = normalize(torch.from_numpy(values).permute(2, 0, 1)[None], FOUR)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, (values / 10000 - np.array(FOUR.mean)) / np.array(FOUR.std), atol=1e-5)


def test_a_crop_of_deep_bands_is_resized_in_floats_and_padded_with_their_mean():
    recipe = TrialConfig(crop_height=32, crop_width=32, scale_min=0.25, scale_max=0.25, flip_horizontal=0)
    values = np.full((HEIGHT, WIDTH, 4), (1000.5, 20000.0, 3.0, 65535.0), np.float32)
    ids = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    image = torch.from_numpy(values).permute(2, 0, 1)
    found, _ = augment(image, ids, recipe, np.random.default_rng(0), pad_id=255, bands=FOUR)
    inside, outside = found[:, :12, :16], found[:, 12:]
    np.testing.assert_allclose(inside.numpy(), np.moveaxis(values[:12, :16], 2, 0), rtol=1e-6)
    np.testing.assert_allclose(outside.amin((1, 2)).numpy(), (1000, 2000, 3000, 4000), rtol=1e-6)
    assert normalize(found[None], FOUR)[0, :, 12:].abs().max() < 1e-5


def test_batches_are_the_same_from_memory_from_disk_and_made_on_the_device(make, tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "cache"))
    root, _ = make(4, **TOLD)

    def batches(**changes):
        config = CONFIG.model_copy(update=changes)
        return [(one.pixels, one.labels) for one in feed(open_dataset(str(root)), config, device=torch.device("cpu"))]

    expected = batches()
    assert expected[0][0].shape == (2, 4, 32, 32)
    others = [batches(image_cache="disk"), batches(image_cache="disk"), batches(augment_on="device")]
    for found in others:
        for (pixels, labels), (wanted, ids) in zip(found, expected, strict=True):
            assert torch.equal(pixels, wanted)
            assert torch.equal(labels, ids)
    kept = [path for path in (tmp_path / "cache" / "decoded").rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in kept] == [16 + HEIGHT * WIDTH * (4 * 4 + 1)] * 3


def test_the_digest_is_of_what_a_network_sees(make):
    root, _ = make(3, png, "png", kind=np.uint8, top=255)

    def digest(**fields):
        (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": ["a", "b", "c"], **fields}))
        return open_dataset(str(root)).digest()

    plain = digest()
    assert digest(channels=3, scale=255) == digest(shown=[2, 1, 0]) == plain
    assert len({plain, digest(scale=100), digest(mean=[0.5] * 3, std=[0.2] * 3)}) == 3


def test_mean_and_std_are_those_of_all_pixels_that_hold_data(make):
    root, held = make(4, **{name: TOLD[name] for name in ("channels", "scale")})
    values = np.stack([one for path, one in held.items() if path.parent.name == "train"]).reshape(-1, 4) / 10000
    found = measure(open_dataset(str(root)))
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, values.std(axis=0), rtol=1e-12)
    said = CliRunner().invoke(app, ["data", "check", str(root), "--measure"])
    assert said.exit_code == 1  # since they are not in dataset.yaml yet
    lines = [line.strip() for line in said.output.splitlines()]
    told = yaml.safe_load("\n".join(line for line in lines if line.startswith(("mean:", "std:"))))
    np.testing.assert_allclose(told["mean"], values.mean(axis=0), rtol=1e-4)
    (root / "dataset.yaml").write_text(
        yaml.safe_dump({"classes": ["a", "b", "c"], "channels": 4, "scale": 10000, **told})
    )
    assert explorer.check_data(root).sound
    assert "bands: 4 x uint16 3" in str(explorer.check_data(root, measure=True))


def test_the_check_draws_the_bands_that_are_shown_from_dark_to_bright(make, tmp_path):
    root, held = make(4, **TOLD)
    assert explorer.check_data(root).sheet(tmp_path / "sheet.png").stat().st_size > 1000
    values = next(iter(held.values())).astype(np.float32)
    found = picture(values, FOUR)
    low, high = np.percentile(values[..., 3], [2, 98])
    expected = np.rint(255 * ((values[..., 3] - low) / (high - low)).clip(0, 1))
    assert np.abs(found[..., 0] - expected).max() <= 1
    flat = picture(np.zeros((4, 4, 4), np.float32), FOUR)
    assert (flat.dtype, flat.shape, flat.max()) == (np.uint8, (4, 4, 3), 0)
    rgb = numbers(3, np.uint8, 255)
    np.testing.assert_array_equal(picture(rgb, RGB), rgb)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"channels": 0}, "channels must be >= 1, got 0."),
        ({"scale": -1}, "scale must be > 0.0, got -1."),
        (
            {"mean": [0.5] * 3},
            "mean and std must be given both, or neither: `heteroakd data check --measure` says them.",
        ),
        (
            {"channels": 4, "mean": [0.5] * 3, "std": [1] * 3},
            "mean must hold one number for each of the 4 channels, got 3.",
        ),
        ({"shown": [0, 1, 3]}, "shown must name three channels, counted from 0 to 2, got 0, 1, 3."),
    ],
)
def test_a_wrong_field_is_one_sentence(make, fields, sentence):
    root, _ = make(3, png, "png", kind=np.uint8, top=255, **fields)
    with pytest.raises(DataError) as caught:
        open_dataset(str(root))
    assert str(caught.value) == f"{root / 'dataset.yaml'}: {sentence}"


@pytest.mark.parametrize(
    ("write", "stored", "kind", "fields", "sentence"),
    [
        (tif, 3, np.uint16, {}, "must have 4 channels, as the data set says, got 3. Choose them."),
        (tif, 4, np.uint8, {}, "has 8 bits a channel, but scale is 10000. Save it with all its bits, or set scale to "),
        (tif, 4, np.uint32, {}, "must hold integers of 8 or 16 bits or floats, got uint32. Convert it."),
        (tif, 4, np.uint16, {"scale": 255}, "must have 8 bits a channel, as scale 255 says, got uint16. Rescale it to"),
        (
            lambda values, path: tif(np.stack([values, values]), path),
            4,
            np.uint16,
            {},
            "must hold bands of rows and columns, got 2x48x64x4 (",
        ),
        (
            lambda values, path: tif(values[..., 0], path, photometric="miniswhite"),
            4,
            np.uint16,
            {},
            "is MINISWHITE, whose numbers are no bands. Save it as MINISBLACK.",
        ),
        (lambda values, path: path.write_bytes(b"II*\0"), 4, np.uint16, {}, "cannot be decoded: "),
    ],
)
def test_a_file_of_other_bands_is_refused_by_its_header(make, write, stored, kind, fields, sentence):
    root, held = make(4, **{**TOLD, **fields})
    path = next(iter(held))
    write(numbers(stored, kind, 200), path)
    with pytest.raises(DataError) as caught:
        banded.header(path, open_dataset(str(root)).bands)
    assert str(caught.value).startswith(f"{path} {sentence}")


def test_a_file_that_is_cut_off_is_a_fault_of_the_check(make):
    root, held = make(4, **TOLD)
    path = next(iter(held))
    path.write_bytes(path.read_bytes()[:5000])
    assert diagnose(str(root)).faults == {IMAGE: [f"{path} cannot be decoded: it is cut off. Replace it."]}


def test_bands_without_mean_and_std_and_colours_to_jitter_are_refused(make):
    root, _ = make(4, channels=4, scale=10000)
    dataset = open_dataset(str(root))
    sentence = (
        f"{root} has 4 channels, scale 10000, and dataset.yaml says no mean and std of them. `heteroakd data check "
        f"{root} --measure` prints the lines to add."
    )
    with pytest.raises(DataError) as caught:
        verify(dataset)
    assert str(caught.value) == sentence
    assert list(diagnose(str(root)).faults) == [sentence]
    with pytest.raises(ConfigError, match=r"color_jitter is 0\.2, but it is of RGB images of 8 bits, and those of"):
        next(train_batches(dataset, CONFIG.model_copy(update={"color_jitter": 0.2})))


@pytest.mark.parametrize("missing", ["tifffile", "imagecodecs"])
def test_a_package_that_is_missing_is_named_before_any_work(make, monkeypatch, missing):
    root, _ = make(4, **TOLD)
    monkeypatch.setitem(sys.modules, missing, None)
    for look in (lambda: verify(open_dataset(str(root))), lambda: explorer.check_data(root)):
        with pytest.raises(MissingExtra) as caught:
            look()
        assert str(caught.value) == f"{missing} is not installed. `pip install 'heteroakd-explorer[bands]'`."
