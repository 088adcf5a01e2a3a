"""Ready teachers and other bands: refused where channels differ, else asked with their own normalisation."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch

from trainables.bands import RGB, Bands
from trainables.errors import TeacherError
from trainables.kept import checkpoint
from trainables.models.build import build
from trainables.models.ready import load

CLASSES = ("water", "forest", "shrubland")
FOUR = Bands(4, (0.1, 0.2, 0.3, 0.4), (0.05, 0.1, 0.15, 0.2), 10000.0)
OTHER = Bands(4, (0.3, 0.3, 0.2, 0.2), (0.1, 0.2, 0.1, 0.2), 10000.0)
NET = "fpn:resnet18"


def scaled(channels=4):
    return torch.rand(2, channels, 64, 96, generator=torch.Generator().manual_seed(1))


def normalised(images, bands):
    return (images - torch.tensor(bands.mean).view(-1, 1, 1)) / torch.tensor(bands.std).view(-1, 1, 1)


def network(channels):
    torch.manual_seed(0)
    return build(NET, num_classes=3, channels=channels).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of smp's save_pretrained, by channels; and files of ours, with and without what they say of their bands."""
    root = tmp_path_factory.mktemp("ready")
    for channels in (3, 4):
        torch.manual_seed(0)
        smp.Unet("resnet18", encoder_weights=None, in_channels=channels, classes=3).save_pretrained(
            root / f"s{channels}"
        )
        torch.save(network(channels).state_dict(), root / f"{channels}.pth")
    meta = {"model": NET, "classes": list(CLASSES)}
    checkpoint.write(root / "rgb.safetensors", network(3).state_dict(), meta)
    checkpoint.write(root / "other.safetensors", network(4).state_dict(), {**meta, "bands": OTHER.record})
    return root


@pytest.mark.parametrize(("name", "bands"), [("s3", FOUR), ("s4", RGB)])
@pytest.mark.parametrize("kind", ["smp", "file"])
def test_a_teacher_of_other_channels_is_refused(folder, name, bands, kind):
    where = f"smp:{folder}/{name}" if kind == "smp" else f"file:{folder}/{name[1]}.pth@{NET}"
    with pytest.raises(TeacherError) as caught:
        load.load(where, classes=CLASSES, bands=bands)
    assert str(caught.value) == (
        f"{where!r} takes images of {name[1]} channels, but the data set has {bands.channels}. Name a teacher that is "
        "trained on it, such as deeplabv3:resnet18, or one of as many channels."
    )


@torch.no_grad()
def test_one_of_as_many_channels_is_asked_as_the_data_set_is_prepared(folder):
    images = scaled()
    theirs = smp.from_pretrained(str(folder / "s4")).eval()
    found = load.load(f"smp:{folder}/s4", classes=CLASSES, bands=FOUR)(normalised(images, FOUR)).logits
    torch.testing.assert_close(found, theirs(normalised(images, FOUR)), rtol=1e-3, atol=1e-4)
    ours = load.load(f"file:{folder}/4.pth@{NET}", classes=CLASSES, bands=FOUR)
    torch.testing.assert_close(ours(normalised(images, FOUR)).logits, network(4)(normalised(images, FOUR)).logits)


@torch.no_grad()
def test_a_file_that_says_its_bands_is_asked_with_its_own_mean_and_std(folder):
    images = scaled()
    found = load.load(f"file:{folder}/other.safetensors", classes=CLASSES, bands=FOUR)(normalised(images, FOUR)).logits
    torch.testing.assert_close(found, network(4)(normalised(images, OTHER)).logits, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_an_rgb_teacher_sees_16_bit_rgb_as_the_photo_that_it_is(folder):
    images, deep = scaled(3), Bands(3, (0.2, 0.3, 0.4), (0.1, 0.1, 0.3), 65535.0)
    for name in ("rgb.safetensors", f"3.pth@{NET}"):
        found = load.load(f"file:{folder}/{name}", classes=CLASSES, bands=deep)(normalised(images, deep)).logits
        torch.testing.assert_close(found, network(3)(normalised(images, RGB)).logits, rtol=1e-3, atol=1e-4)
