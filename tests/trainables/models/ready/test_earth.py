"""The teachers that come with the embedded data: what they have seen, and what they are."""

from __future__ import annotations

import re

import pytest
import torch

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.errors import TeacherError
from trainables.kept import checkpoint
from trainables.models.licences import licences
from trainables.models.ready import load
from trainables.scoring.evaluate import evaluate
from trainables.teachers import load_teacher

KINDS = ("cnn", "transformer")


def blocks(tile):
    """Places of 256 pixels a side that a tile of 128 pixels, named by its upper left one, lies in."""
    row, column = map(int, re.fullmatch(r"r(\d+)_c(\d+)", tile).groups())
    return {(y // 256, x // 256) for y in (row, row + 127) for x in (column, column + 127)}


@pytest.mark.parametrize("kind", KINDS)
def test_it_saw_no_pixel_of_a_block_of_val_or_test(kind):
    tiles = checkpoint.load(load.shipped(kind))[1]["tiles"].split()
    earth = open_dataset("earth")
    scored = set().union(*(blocks(s.image.stem) for split in ("val", "test") for s in earth.samples(split)))
    assert len(tiles) == len({*tiles}) == 939
    assert not scored & set().union(*map(blocks, tiles))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_small_half_precision_and_knows_the_classes_by_name(kind):
    path = load.shipped(kind)
    tensors, meta = checkpoint.load(path)
    earth = open_dataset("earth")
    assert path.stat().st_size < 8e6
    assert {value.dtype for value in tensors.values() if value.is_floating_point()} == {torch.float16}
    assert tuple(meta["classes"]) == earth.classes
    assert load.origin(f"earth:{kind}").licence == "apache-2.0"


@pytest.mark.parametrize("kind", KINDS)
def test_it_scores_what_its_card_says(kind):
    """And so is loaded as it was trained: bands, order of classes, precision."""
    earth = open_dataset("earth")
    config = TrialConfig.parse({"method": "kd", "teacher": f"earth:{kind}", "device": "cpu"})
    card = load.shipped(kind).with_name("README.md").read_text(encoding="utf-8")
    found = evaluate(load_teacher(config, dataset=earth), earth, "val", config).miou
    assert f"| `earth:{kind}` | {100 * found:.1f} % |" in card


def test_another_name_says_which_there_are():
    with pytest.raises(TeacherError, match=r"Unknown teacher of earth .rnn.. Nearest: cnn."):
        load.shipped("rnn")


def test_its_licences_are_stated():
    found = licences("earth:cnn")
    assert found.weights == "Apache-2.0"
    assert found.data == "NASA Blue Marble and MODIS: free to reuse"
    assert "timm" in found.code
