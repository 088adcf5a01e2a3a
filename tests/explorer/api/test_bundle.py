"""A Bundle: class ids of any image, whatever it is held in. The network is one convolution made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import explorer
from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.data.masks import read_mask
from trainables.kept import checkpoint
from trainables.scoring.evaluate import predict

CLASSES, PALETTE = ["a", "b", "c", "d"], [[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]]
METRICS = {"trial": 7, "pair": "<b>\x1b", "miou": 0.5, "gain": 0.0125, "confirmed": None}


def trained():
    """A network that sees every class in noise."""
    made = tiny.network(num_classes=4).eval()
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made.head.bias -= predict(made, pixels, TrialConfig(device="cpu"))[0].mean(dim=(1, 2))
    return made


@pytest.fixture
def folder(home, tmp_path):
    place = tmp_path / "bundle"
    place.mkdir()
    config = TrialConfig.parse({"student": "mine_tiny:net", "method": "task", "device": "cpu"})
    (place / "best.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    (place / "metrics.json").write_text(json.dumps(METRICS))
    meta = {"model": config.student, "classes": CLASSES, "palette": PALETTE}
    checkpoint.write(place / "student.safetensors", trained().state_dict(), meta)
    return place


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)


def by_hand(pixels):
    with torch.no_grad():
        logits = predict(trained(), torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None], TrialConfig(device="cpu"))
    return logits[0].argmax(dim=0).numpy()


def test_a_path_an_image_and_an_array_have_the_same_ids(folder, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    bundle = explorer.Bundle.load(folder)
    wanted = by_hand(pixels)
    assert len(np.unique(wanted)) > 1
    for given in (str(tmp_path / "photo.png"), tmp_path / "photo.png", Image.fromarray(pixels), pixels, pixels[::-1]):
        found = bundle.predict(given)
        assert (found.dtype, found.shape) == (np.uint8, (45, 70))
        assert (
            found == (by_hand(pixels[::-1]) if given is not pixels and isinstance(given, np.ndarray) else wanted)
        ).all()
    assert (bundle.classes, bundle.palette) == (tuple(CLASSES), tuple(map(tuple, PALETTE)))


def test_an_image_with_alpha_or_turned_by_exif_is_seen_as_people_see_it(folder, pixels, tmp_path):
    bundle = explorer.Bundle.load(folder)
    clear = Image.fromarray(np.dstack([pixels, np.zeros((45, 70), np.uint8)]))
    assert (bundle.predict(clear) == by_hand(pixels)).all()
    turned = Image.Exif()
    turned[274] = 6  # to be shown turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    wanted = by_hand(np.ascontiguousarray(np.rot90(pixels, -1)))
    for given in (tmp_path / "turned.png", Image.open(tmp_path / "turned.png")):
        assert (bundle.predict(given) == wanted).all()


def test_the_overlay_is_half_image_half_colour(folder, pixels):
    bundle = explorer.Bundle.load(folder)
    ids = bundle.predict(pixels)
    mean = (pixels.astype(int) + np.array(PALETTE)[ids]) / 2
    for over in (bundle.overlay(pixels, ids), bundle.overlay(Image.fromarray(pixels))):
        assert np.abs(np.asarray(over).astype(int) - mean).max() <= 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((4, 4, 3)), "must be uint8 of height x width x 3, got float64 of 4x4x3"),
        (np.zeros((4, 4), np.uint8), "got uint8 of 4x4"),
        (np.zeros((3, 4, 4), np.uint8), "got uint8 of 3x4x4"),
        (np.zeros((0, 4, 3), np.uint8), "got uint8 of 0x4x3"),
        (np.uint8(3), "An image must be a path, a PIL image or an array, got uint8"),
        ("nowhere.jpg", "nowhere.jpg does not exist"),
        (Image.new("I;16", (8, 8)), "The image must have 8 bits a channel, got mode 'I;16'"),
    ],
)
def test_what_is_no_image_of_8_bits_is_one_sentence(folder, given, sentence):
    with pytest.raises(explorer.DataError, match=sentence):
        explorer.Bundle.load(folder).predict(given)


def test_a_torn_file_that_was_opened_is_one_sentence(folder, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    whole = (tmp_path / "photo.png").read_bytes()
    (tmp_path / "photo.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "photo.png") as torn, pytest.raises(explorer.DataError, match="cannot be decoded"):
        explorer.Bundle.load(folder).predict(torn)


def test_a_folder_of_photos_becomes_masks_and_a_bad_one_is_named(folder, pixels, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/a.png")
    (tmp_path / "photos/b.png").write_bytes(b"no image")
    said = []
    done = explorer.predict(folder, tmp_path / "photos", tmp_path / "out", say=said.append)
    assert done == (tmp_path / "out/masks", tmp_path / "out/overlays", 1, 1, {})
    assert (read_mask(done.masks / "a.png") == by_hand(pixels)).all()
    assert len(said) == 1
    assert "b.png is no readable image file" in said[0]
    assert explorer.predict(folder, tmp_path / "photos/a.png", tmp_path / "bare", overlay=False).overlays is None


def test_a_folder_that_is_no_bundle_is_refused_when_it_is_loaded(tmp_path):
    with pytest.raises(explorer.CheckpointError, match=r"is no bundle: it needs best\.yaml"):
        explorer.Bundle.load(tmp_path)
    with pytest.raises(explorer.CheckpointError, match=r"no readable metrics\.json"):
        explorer.Bundle(tmp_path).metrics  # noqa: B018
    assert "no metrics" in repr(explorer.Bundle(tmp_path))


def test_weights_are_the_students_or_the_peers_and_no_path(folder):
    with pytest.raises(explorer.ConfigError, match=r"weights must be student or peer, got '\.\./student'"):
        explorer.Bundle.load(folder, weights="../student")
    with pytest.raises(explorer.CheckpointError, match="only a collaborative trial has one"):
        explorer.Bundle.load(folder, weights="peer")


def test_what_a_bundle_says_of_itself_is_escaped(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    bundle = explorer.Bundle(folder)
    facts = "trial 7, '<b>\\x1b', mIoU 50.00 %, +1.25 points over the student alone, not confirmed"
    assert repr(bundle) == f"Bundle('bundle': {facts})"
    assert "<b>" not in bundle._repr_html_()
    assert "\x1b" not in bundle._repr_html_()
