"""What is on disk arrives as ids and pixels, or is refused with the file's name."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from trainables.config import TrialConfig
from trainables.data.cache import SampleCache
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify
from trainables.data.feed import feed
from trainables.data.masks import read_mask
from trainables.errors import DataError

IDS = (np.arange(48 * 64, dtype=np.uint8) % 7).reshape(48, 64)


def refusal(root, check=verify):
    with pytest.raises(DataError) as caught:
        check(open_dataset(str(root)))
    return str(caught.value)


def read_all(dataset):
    for sample in dataset.samples("train"):
        dataset.read(sample)


def palette_mask(ids):
    image = Image.fromarray(ids)
    image.putpalette([byte for i in range(256) for byte in (i, 255 - i, 38)])  # puts mode P on the same bytes
    assert image.mode == "P"
    return image


@pytest.mark.parametrize("bits", [4, 8])
def test_ids_survive_a_palette_png_of_any_depth(tmp_path, bits):
    palette_mask(IDS).save(tmp_path / "mask.png", bits=bits)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), IDS)


def test_ids_survive_an_8_bit_grey_png(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), IDS)


@pytest.mark.parametrize(
    ("image", "options", "kind"),
    [
        (Image.fromarray(IDS // 4).convert("RGB"), {}, "8-bit RGB"),
        (Image.fromarray(IDS // 4).convert("RGBA"), {}, "8-bit RGBA"),
        (Image.fromarray(IDS // 4).convert("LA"), {}, "8-bit grey with alpha"),
        (Image.fromarray((IDS // 4).astype(np.uint16)), {}, "16-bit grey"),
        (Image.fromarray((IDS // 4) * 17), {"bits": 4}, "4-bit grey"),
        (Image.fromarray(IDS > 3), {}, "1-bit grey"),
    ],
)
def test_masks_that_hold_no_ids_are_refused_with_what_they_hold(tree, image, options, kind):
    path = tree / "labels" / "train" / "r0.png"
    image.save(path, **options)
    light = {"1-bit grey": 255, "4-bit grey": 17}.get(kind, 1)
    table = f"colours: {{NAME: [0, 0, 0], NAME: {[light] * 3}}}"
    remedy = f"Or, if its colours are classes, name them in dataset.yaml: `{table}`."
    if kind == "16-bit grey":
        remedy = "Or say in dataset.yaml what its ids are, such as `ids: {0: NAME, 1: NAME}`."
    usual = "Save class ids as a palette or 8-bit grey PNG."
    assert refusal(tree) == f"{path} is a {kind} PNG, whose pixels are no class ids. {usual} {remedy}"


def test_a_jpeg_named_png_is_no_mask(tree):
    path = tree / "labels" / "train" / "r0.png"
    Image.fromarray(IDS).save(path, format="JPEG")
    assert refusal(tree) == f"{path} is no readable PNG file. Replace it."


def test_unknown_id_is_refused_naming_file_id_and_classes(tree):
    ids = IDS.copy()
    ids[5, 7] = 9
    Image.fromarray(ids).save(tree / "labels" / "train" / "r0.png")
    sentence = "/r0.png holds id 9, but dataset.yaml names 7 classes (0-6) and ignore_index 255."
    assert refusal(tree).endswith(f"tiny/labels/train{sentence}")
    assert refusal(tree, read_all) == refusal(tree)


def test_many_unknown_ids_are_counted(tree):
    Image.fromarray(IDS * 30).save(tree / "labels" / "train" / "r0.png")
    assert "holds ids 30, 60, 90 and 3 more, but" in refusal(tree)


def test_ignore_index_is_a_known_id(tree, describe):
    ids = IDS.copy()
    ids[:9] = 200
    Image.fromarray(ids).save(tree / "labels" / "train" / "r0.png")
    assert "holds id 200" in refusal(tree)
    describe(ignore_index=200)
    verify(open_dataset(str(tree)))


@pytest.mark.parametrize("check", [verify, read_all])
def test_sizes_that_differ_are_refused_with_both(tree, check):
    Image.fromarray(IDS.T.copy()).save(tree / "labels" / "train" / "r1.png")
    message = refusal(tree, check)
    assert "images/train/r1.png is 64x48 but " in message
    assert "labels/train/r1.png is 48x64 (width x height). Both must have one size." in message


def test_verify_reads_only_the_splits_it_is_given(tree):
    Image.fromarray(IDS + 7).save(tree / "labels" / "test" / "r0.png")
    dataset = open_dataset(str(tree))
    verify(dataset)
    with pytest.raises(DataError, match="labels/test/r0"):
        verify(dataset, ["test"])


def pixels_or_reason(root):
    dataset = open_dataset(str(root))
    try:
        return dataset.read(dataset.samples("train")[0])[0]
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_cut_anywhere_is_refused_or_whole(tree, suffix):
    """Pillow raises many kinds of errors, by where the file ends; only bytes after the pixels may be missing."""
    (tree / "images" / "train" / "r0.png").unlink()
    path = tree / "images" / "train" / f"r0.{suffix}"
    Image.effect_noise((64, 48), 60).convert("RGB").save(path)
    content = path.read_bytes()
    whole = pixels_or_reason(tree)
    refused = []
    for end in range(0, len(content), 23):
        path.write_bytes(content[:end])
        result = pixels_or_reason(tree)
        refused.append(isinstance(result, str))
        assert str(path) in result if refused[-1] else torch.equal(result, whole)
    assert sum(refused) > 0.95 * len(refused)


def test_a_torn_mask_is_refused(tree):
    path = tree / "labels" / "train" / "r2.png"
    path.write_bytes(path.read_bytes()[:70])
    assert str(path) in refusal(tree)


def test_a_file_removed_after_opening_is_refused(tree):
    dataset = open_dataset(str(tree))
    sample = dataset.samples("val")[0]
    sample.label.unlink()
    with pytest.raises(DataError, match=r"val/r0\.png does not exist"):
        dataset.read(sample)


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA"])
def test_images_of_any_8_bit_mode_become_rgb(tree, mode):
    path = tree / "images" / "train" / "r0.png"
    Image.fromarray(IDS * 30).convert(mode).save(path)
    dataset = open_dataset(str(tree))
    image, label = dataset.read(dataset.samples("train")[0])
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 48, 64))
    assert (label.dtype, tuple(label.shape)) == (torch.uint8, (48, 64))
    if mode in {"L", "RGBA", "LA"}:
        np.testing.assert_array_equal(image[1].numpy(), IDS * 30)


@pytest.mark.parametrize("check", [verify, read_all])
def test_16_bit_images_are_refused_because_conversion_would_clip_them(tree, check):
    path = tree / "images" / "train" / "r0.png"
    Image.fromarray(IDS.astype(np.uint16) * 300).save(path)
    assert refusal(tree, check) == (
        f"{path} must have 8 bits a channel, got 16. Rescale it to 0-255. Or say in dataset.yaml what it holds: "
        "channels, scale."
    )


def test_a_sample_is_decoded_once(tree):
    dataset = open_dataset(str(tree))
    sample = dataset.samples("train")[0]
    image, _ = dataset.read(sample)
    sample.image.unlink()
    assert torch.equal(dataset.read(sample)[0], image)


def test_the_cache_stops_at_its_limit_and_travels_empty():
    decoded = []

    def decode(key):
        decoded.append(key)
        return torch.zeros(60, dtype=torch.uint8), torch.zeros(20, dtype=torch.uint8)

    cache = SampleCache(limit_bytes=100)
    for key in ("a", "b", "a", "b"):
        cache.get(key, decode)
    assert decoded == ["a", "b", "b"]
    pickle.loads(pickle.dumps(cache)).get("a", decode)
    assert decoded == ["a", "b", "b", "a"]


def test_an_empty_split_is_refused(tree):
    dataset = open_dataset(str(tree))
    with pytest.raises(DataError, match=r"split 'val' of .*tiny is empty"):
        verify(replace(dataset, splits={**dataset.splits, "val": ()}))


def test_a_set_whose_files_hold_no_ignored_id_is_padded_with_ignored_pixels(tree):
    """Ids 0-6 are classes in another order; 64x48 images of which a crop of 96 has to be padded."""
    plain = open_dataset(str(tree))
    dataset = replace(plain, ids={number: 6 - number for number in range(7)})
    crop = {"crop_height": 96, "crop_width": 96, "scale_min": 1.0, "scale_max": 1.0}
    config = TrialConfig(method="task", steps=1, batch_size=2, **crop)
    (labels,), (expected,) = (
        [batch.labels for batch in feed(one, config, device=torch.device("cpu"))] for one in (dataset, plain)
    )
    assert (labels == 255).sum() == 2 * (96 * 96 - 48 * 64)
    assert torch.equal(labels[labels != 255], 6 - expected[expected != 255])


def test_an_image_in_two_splits_is_refused(tree):
    dataset = open_dataset(str(tree))
    both = {**dataset.splits, "train": (*dataset.splits["train"], dataset.splits["val"][0])}
    with pytest.raises(DataError, match=r"is in 'train' and in 'val': a score on it would say nothing"):
        verify(replace(dataset, splits=both))
