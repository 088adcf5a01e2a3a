"""Images beyond what Pillow opens are named with a remedy; those that it only warns of are images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from trainables.data.images import image_size, read_image
from trainables.data.masks import read_mask
from trainables.errors import DataError
from trainables.serving.predict import pixels

READERS = {"image": read_image, "size": image_size, "mask": read_mask, "predict": pixels}


@pytest.fixture
def picture(tmp_path):
    """A PNG of 3000 pixels."""
    Image.fromarray(np.zeros((50, 60), np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_more_than_twice_the_limit_is_one_sentence_with_a_remedy(picture, monkeypatch, read):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1499)
    with pytest.raises(DataError) as caught:
        read(picture)
    told = "more than 0 million pixels, which is more than Pillow opens. Cut it into tiles."
    assert str(caught.value) == f"{picture} has {told}"


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_up_to_twice_the_limit_an_image_is_read_without_a_word(picture, monkeypatch, read):
    """A warning would fail this test."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    read(picture)
