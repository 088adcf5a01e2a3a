"""A study on four bands of 16 bits leaves as a bundle: graphs, the stand-alone script, masks, pictures and the card."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import explorer
from explorer.bundle.export import export
from explorer.show import pictures
from trainables.bands import Bands
from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.data.catalogue import open_dataset
from trainables.errors import DataError, TeacherError
from trainables.models.ready import load
from trainables.scoring.evaluate import predict
from trainables.serving import exported

BANDS = Bands(4, (0.5, 0.5, 0.4, 0.5), (0.3, 0.3, 0.2, 0.25), 10000.0, (3, 1, 0))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("bands") / "set"
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 3)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            ids = np.kron(rng.integers(0, 3, (4, 4)), np.ones((16, 16), int))
            values = np.dstack([rng.integers(0, 10000, (64, 64, 3)), 1000 + 3000 * ids]).astype(np.uint16)
            path = root / "images" / split / f"{number}.tif"
            tifffile.imwrite(path, np.moveaxis(values, 2, 0), photometric="minisblack", planarconfig="separate")
            Image.fromarray(ids.astype(np.uint8)).save(root / "labels" / split / f"{number}.png")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "bands", "classes": ["a", "b", "c"], **BANDS.record}))
    return root


@pytest.fixture(scope="module")
def study(make_study, data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    make_study(directory, data)
    return directory


@pytest.fixture(scope="module")
def bundle(study, tmp_path_factory):
    """(folder, what export returned)."""
    out = tmp_path_factory.mktemp("bundle") / "best"
    return out, export(study, out)


@pytest.fixture
def network(bundle):
    made = tiny.network(num_classes=3, channels=4).eval()
    made.load_state_dict(load_file(bundle[0] / "student.safetensors"))
    return made


def values_of(path):
    return np.moveaxis(tifffile.imread(path), 0, 2).astype(np.float32)


@torch.no_grad()
def by_hand(network, values):
    """(value / scale - mean) / std by channel, then the network, enlarged."""
    pixels = (torch.from_numpy(values) / 10000 - torch.tensor(BANDS.mean)) / torch.tensor(BANDS.std)
    logits = network(pixels.permute(2, 0, 1)[None]).logits
    return torch.nn.functional.interpolate(logits, size=values.shape[:2], mode="bilinear")[0]


def test_the_graphs_take_the_stored_numbers_and_say_what_the_network_says(bundle, data, network):
    out, metrics = bundle
    assert metrics["bands"] == {"channels": 4, "mean": [*BANDS.mean], "std": [*BANDS.std], "scale": 10000.0}
    image = open_dataset(str(data)).read(open_dataset(str(data)).samples("val")[0])[0][None, :, :50, :60]
    with torch.no_grad():
        expected = predict(network, image, TrialConfig(device="cpu"), BANDS)
    for form in exported.FORMS:
        assert metrics["files"][form.file]["size"] == "multiples of 32 from 64", metrics["files"]
        got = form.read(out / form.file)(exported.pad(image, BANDS))[..., :50, :60]
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_the_script_that_stands_alone_the_verb_and_the_door_predict_the_same(bundle, data, network, tmp_path):
    out, _ = bundle
    path = data / "images" / "val" / "1.tif"
    values = values_of(path)
    logits = by_hand(network, values)
    first, second = logits.topk(2, dim=0).values
    sure = (first - second > 1e-4).numpy()
    expected = logits.argmax(dim=0).numpy()
    command = [os.environ["WARM_PYTHON"], out / "predict.py", path, tmp_path / "mask.png"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    explorer.predict(out, path, tmp_path / "out")
    loaded = explorer.Bundle.load(out)
    found = [np.asarray(Image.open(place)) for place in (tmp_path / "mask.png", tmp_path / "out" / "masks" / "1.png")]
    for ids in (*found, loaded.predict(path), loaded.predict(values), loaded.predict(values.astype(np.uint16))):
        assert (ids == expected)[sure].all()
    with Image.open(tmp_path / "out" / "overlays" / "1.png") as over:
        assert over.mode == "RGB"
    with pytest.raises(DataError, match="An image must be a file or an array of height x width x 4, of the numbers"):
        loaded.predict(values[..., :3])


def test_an_image_of_other_bands_is_one_sentence(bundle, tmp_path):
    out, _ = bundle
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "photo.png")
    command = [os.environ["WARM_PYTHON"], out / "predict.py", "photo.png", tmp_path / "mask.png"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    reason = "must have 4 channels, as the data set says, got 3. Choose them."
    assert (said.returncode, said.stderr) == (2, f"Error: photo.png cannot be read: {reason}\n")
    heard = []
    assert explorer.predict(out, tmp_path / "photo.png", tmp_path / "out", say=heard.append).failed == 1
    assert heard == [f"{tmp_path / 'photo.png'} {reason}"]


def test_the_card_and_the_record_say_what_the_bands_are(bundle):
    out, _ = bundle
    card = (out / "README.md").read_text()
    assert "It gives each pixel of an image (4 channels, scale 10000) one of 3 classes" in card
    assert (
        "float32 numbers as the files hold them (they are divided by 10000 inside), [batch, 4, height, width]" in card
    )
    assert "with the values (5000, 5000, 4000, 5000)" in card
    assert json.loads((out / "metrics.json").read_text())["bands"]["channels"] == 4
    versions = json.loads((out / "provenance.json").read_text())["versions"]
    for name in ("tifffile", "imagecodecs"):  # `reproduce.sh` installs them
        assert f"{name}=={versions[name]}" in (out / "reproduce.sh").read_text()


def test_its_weights_teach_sets_of_its_bands_and_no_others(bundle, study, tmp_path):
    name = f"file:{bundle[0]}/student.safetensors"
    teacher = load.load(name, classes=("a", "b", "c"), bands=BANDS)
    assert (teacher.channels, type(teacher).__name__) == (4, "SegModel")  # asked as it is
    with pytest.raises(TeacherError, match="takes images of 4 channels, but the data set has 3"):
        load.load(name, classes=("a", "b", "c"))
    pictures.write(study, [0], tmp_path / "sheet.png", num=1)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000
